// Reads and checks a node's configuration: the file, the flags that win over it, and what both name on the disk.
// All problems of all kinds end up in one ConfigError.
import { homedir } from "node:os"
import { join, resolve as absolute } from "node:path"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { ConfigError } from "./ConfigError.ts"
import type { ConfigProblem } from "./ConfigError.ts"
import { parseDialect } from "./dialect.ts"
import { isAbsent, observe, problemOf, readText } from "./disk.ts"
import type { NodeConfigShape } from "./NodeConfig.ts"
import { resolveSettings } from "./settings.ts"
import type { ConfigFile, Flags } from "./sources.ts"
import { NODE_SECTIONS } from "./sources.ts"

export const DEFAULT_FILE = "/etc/opt/slapos/slapos.cfg"
export const DEFAULT_FILE_VARIABLE = "SLAPOS_CONFIGURATION"
// The reference uses the zc.buildout that its own Python can import; this is where Debian's is.
const DEFAULT_BUILDOUT = "/usr/bin/buildout"

export interface ConfigRequest {
  /** The file that the operator named; undefined: the default one, where it is needed and exists. */
  readonly file: string | undefined
  readonly flags: Flags
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface ChosenFile {
  readonly path: string
  readonly source: string
}

/** Whether flags say all that is mandatory: then no file is looked for, so that another node's is not picked up. */
const suffice = (flags: Flags): boolean => {
  const hasPair = flags.key_file !== undefined || flags.cert_file !== undefined
  const pair = hasPair ? [flags.key_file, flags.cert_file, flags.certificate_repository_path] : []
  const needed = [flags.computer_id, flags.master_url, flags.instance_root, flags.software_root, ...pair]
  return needed.every((value) => value !== undefined)
}

const expandHome = (path: string, env: ConfigRequest["env"]): string =>
  path === "~" || path.startsWith("~/") ? join(env["HOME"] ?? homedir(), path.slice(1)) : path

/** The file to read. A file that somebody named is taken even if it does not exist, so that they are told. */
export const chooseFile = (
  { file, flags, env }: ConfigRequest,
  exists: (path: string) => boolean,
): ChosenFile | undefined => {
  if (file !== undefined) return { path: absolute(expandHome(file, env)), source: "command line" }
  if (suffice(flags)) return undefined
  const named = env[DEFAULT_FILE_VARIABLE]
  if (named !== undefined && named !== "") {
    return { path: absolute(expandHome(named, env)), source: `$${DEFAULT_FILE_VARIABLE}` }
  }
  return exists(DEFAULT_FILE) ? { path: DEFAULT_FILE, source: "default" } : undefined
}

const readConfigFile = ({ path, source }: ChosenFile): Result.Result<ConfigFile, ReadonlyArray<ConfigProblem>> => {
  const text = readText(path)
  if (Result.isFailure(text)) {
    return Result.fail([{ option: "configuration file", source, problem: text.failure }])
  }
  return Result.mapBoth(parseDialect(text.success), {
    onFailure: ({ mistakes }) =>
      mistakes.map(({ line, explanation }) => ({
        option: "configuration file",
        source: `${path}:${line}`,
        problem: explanation,
      })),
    onSuccess: (document) => ({ path, document }),
  })
}

const hintFor = (file: ConfigFile | undefined): string => {
  if (file === undefined) return `[slapos] of ${DEFAULT_FILE} or of a file that you name`
  const hasSection = NODE_SECTIONS.some((section) => file.document.sections.has(section))
  return `[slapos] of ${file.path}${hasSection ? "" : ", which has no such section"}`
}

// What may not be looked at is there: reading it will tell why it cannot be used.
const exists = (path: string): boolean => {
  const seen = observe({ path, access: "none" })
  return seen._tag === "Found" || !isAbsent(seen.error)
}

/** The settings of this node, or everything that is wrong with them. Relative paths count from the working directory. */
export const loadNodeConfig = (request: ConfigRequest): Effect.Effect<NodeConfigShape, ConfigError> =>
  Effect.suspend(() => {
    const chosen = chooseFile(request, exists)
    const read = chosen === undefined ? Result.succeed(undefined) : readConfigFile(chosen)
    const file = Result.getOrUndefined(read)
    const settings = resolveSettings(
      { flags: request.flags, file },
      {
        fileHint: hintFor(file),
        complete: Result.isSuccess(read),
        buildout: exists(DEFAULT_BUILDOUT) ? DEFAULT_BUILDOUT : undefined,
      },
    )
    const onDisk = settings.paths.flatMap((need) => {
      const problem = problemOf(need, observe(need))
      return problem === undefined ? [] : [{ option: need.option, source: need.source, problem }]
    })
    const [first, ...others] = [...(Result.isFailure(read) ? read.failure : []), ...settings.problems, ...onDisk]
    if (first !== undefined) return Effect.fail(new ConfigError({ problems: [first, ...others] }))
    return settings.config === undefined
      ? Effect.die(new Error("a configuration without problems has no values"))
      : Effect.succeed(settings.config)
  })
