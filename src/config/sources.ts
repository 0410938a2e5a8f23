// Where an option's text comes from: a flag, else `[slapgrid]`, else `[slapos]`, else `[DEFAULT]`. The first slapgrid
// read its options from [slapgrid]; the reference reads only [slapos].
import * as Result from "effect/Result"
import type { ConfigDocument } from "./dialect.ts"
import { DEFAULT_SECTION } from "./dialect.ts"
import { interpolate } from "./interpolation.ts"

/** Options that can be given on the command line too, there with `-` for `_`. */
export const FLAG_NAMES = [
  "instance_root",
  "software_root",
  "master_url",
  "computer_id",
  "key_file",
  "cert_file",
  "certificate_repository_path",
  "master_ca_file",
  "buildout",
] as const
export type FlagName = (typeof FLAG_NAMES)[number]
export type Flags = { readonly [name in FlagName]?: string | undefined }

export interface ConfigFile {
  readonly path: string
  readonly document: ConfigDocument
}

export interface Sources {
  readonly flags: Flags
  /** Undefined when there is none, or it cannot be read. */
  readonly file: ConfigFile | undefined
}

export interface Setting {
  readonly option: string
  readonly source: string
  /** Failure: what is wrong with it in the file. */
  readonly text: Result.Result<string, string>
}

/** Sections in which options stand, the winning one first. */
export const NODE_SECTIONS = ["slapgrid", "slapos"] as const
/** The reference throws both sections into one, so keys of the network cache work in either. */
export const NETWORK_CACHE_SECTIONS = ["networkcache", ...NODE_SECTIONS] as const

export const flagOf = (option: string): string => `--${option.replaceAll("_", "-")}`

const isFlag = (option: string): option is FlagName => FLAG_NAMES.some((name) => name === option)

const inFile = (
  { path, document }: ConfigFile,
  section: string,
  spelling: string,
  option: string,
): Setting | undefined => {
  const own = document.sections.get(section)?.get(spelling)
  const found = own ?? document.defaults.get(spelling)
  if (found === undefined) return undefined
  const text = interpolate(document, section, spelling)
  return {
    option,
    source: `${path}:${found.line} [${own === undefined ? DEFAULT_SECTION : section}]`,
    text: Result.mapBoth(text, {
      onFailure: (error) => error.mistakes[0].explanation,
      onSuccess: (value) => value ?? found.raw,
    }),
  }
}

/** The setting of an option, undefined when nobody set it. `spellings` are the names it has in the file. */
export const findSetting = (
  { flags, file }: Sources,
  option: string,
  sections: ReadonlyArray<string> = NODE_SECTIONS,
  spellings: ReadonlyArray<string> = [option],
): Setting | undefined => {
  const flag = isFlag(option) ? flags[option] : undefined
  if (flag !== undefined) return { option, source: flagOf(option), text: Result.succeed(flag) }
  if (file === undefined) return undefined
  const candidates = sections.flatMap((section) => spellings.map((spelling) => ({ section, spelling })))
  const own = candidates.find(({ section, spelling }) => file.document.sections.get(section)?.has(spelling))
  // As in configparser, the defaults are seen through a section: one that is there.
  const inherited = candidates.find(
    ({ section, spelling }) => file.document.sections.has(section) && file.document.defaults.has(spelling),
  )
  const place = own ?? inherited
  return place === undefined ? undefined : inFile(file, place.section, place.spelling, option)
}
