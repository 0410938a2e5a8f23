// Which entry of the index is for this machine: pure rules. slap-protocol.md (Network cache), node-behaviour.md (Binary
// cache). What an entry says counts only after its signature was verified.
import * as Schema from "effect/Schema"

/** Distributor's id, version and codename, as the reference's `distro` names them. */
export type Distribution = readonly [id: string, version: string, codename: string]

/** Text of an entry and its signature in base64, as they are in the index. */
export type SignedEntry = readonly [text: string, signature: string]

export interface CacheEntry {
  readonly sha512: string
  /** Undefined when the uploader did not tell. */
  readonly softwareUrl: string | undefined
  readonly softwareRoot: string | undefined
  readonly multiarch: string
  readonly os: Distribution
}

export interface Wanted {
  readonly url: string
  readonly multiarch: string
  readonly os: Distribution
  /** Whether releases built in that software root find themselves in ours. */
  readonly isOurRoot: (softwareRoot: string) => boolean
}

const Index = Schema.fromJsonString(Schema.Array(Schema.Unknown))
const Pair = Schema.Tuple([Schema.String, Schema.String])

/** The pairs of an index; others in it are left out. Undefined: it is no index. */
export const parseIndex = (text: string): ReadonlyArray<SignedEntry> | undefined => {
  const index = Schema.decodeOption(Index)(text)
  return index._tag === "None" ? undefined : index.value.filter(Schema.is(Pair))
}

const Entry = Schema.fromJsonString(
  Schema.Struct({
    sha512: Schema.String.check(Schema.isPattern(/^[0-9a-f]{128}$/)),
    software_url: Schema.optionalKey(Schema.String),
    software_root: Schema.optionalKey(Schema.String),
    multiarch: Schema.optionalKey(Schema.String),
    machine: Schema.optionalKey(Schema.String),
    os: Schema.Union([Schema.Tuple([Schema.String, Schema.String, Schema.String]), Schema.String]),
  }),
)

/** What entries of before `multiarch` say by `machine`. */
const oldMachine = { machine: "x86_64", multiarch: "x86_64-linux-gnu" }

/** Undefined: no binary release, or one whose machine is not told in a way that is known. */
export const parseEntry = (text: string): CacheEntry | undefined => {
  const entry = Schema.decodeOption(Entry)(text)
  if (entry._tag === "None") return undefined
  const { machine, multiarch, os, sha512, software_root, software_url } = entry.value
  const isOld = multiarch === undefined && machine === oldMachine.machine
  const distribution = typeof os === "string" ? (isOld ? parsePythonTuple(os) : undefined) : os
  const architecture = isOld ? oldMachine.multiarch : multiarch
  if (distribution === undefined || architecture === undefined) return undefined
  return { sha512, softwareUrl: software_url, softwareRoot: software_root, multiarch: architecture, os: distribution }
}

/** `('debian', '12.1', u'')`: the text of a Python tuple of three strings. */
const parsePythonTuple = (text: string): Distribution | undefined => {
  const string = String.raw`\s*u?('[^'\\]*'|"[^"\\]*")\s*`
  const found = new RegExp(String.raw`^\s*\(${string},${string},${string},?\s*\)\s*$`).exec(text)
  if (found === null) return undefined
  const [id = "", version = "", codename = ""] = found.slice(1).map((quoted) => quoted.slice(1, -1))
  return [id, version, codename]
}

/** Debian's minor releases do not differ in what counts, and its codename was not always told. */
const essence = ([id, version, codename]: Distribution): Distribution => {
  const name = id.toLowerCase()
  return name === "debian" || name === "raspbian"
    ? ["debian", version.split(".", 1)[0] ?? "", ""]
    : [name, version, codename]
}

const isSame = (one: Distribution, other: Distribution): boolean =>
  essence(one).every((part, index) => part === essence(other)[index])

/** What keeps an entry from being used here; undefined: nothing. */
export const misfit = (entry: CacheEntry, wanted: Wanted): string | undefined => {
  const { multiarch, os, softwareRoot = "", softwareUrl = wanted.url } = entry
  // An index that gives one release's entry for another's would have the wrong software run.
  if (softwareUrl !== wanted.url) return `is of ${softwareUrl}`
  if (multiarch !== wanted.multiarch) return `is for ${multiarch}, this machine is ${wanted.multiarch}`
  if (!isSame(os, wanted.os)) return `is for ${shown(os)}, this machine has ${shown(wanted.os)}`
  // Scripts and libraries of a release have its own path in them.
  if (softwareRoot !== "" && !wanted.isOurRoot(softwareRoot)) return `was built in ${softwareRoot}`
  return undefined
}

const shown = (os: Distribution): string => os.filter((part) => part !== "").join(" ")

/** Whether a release is one of those that a list of prefixes names. */
export const isListed = (url: string, prefixes: ReadonlyArray<string>): boolean =>
  prefixes.some((prefix) => url.startsWith(prefix))

const unquote = (value: string): string => {
  const [, double, single] = /^(?:"(.*)"|'(.*)')$/.exec(value) ?? []
  return (double?.replaceAll(/\\(["$`\\])/g, "$1") ?? single ?? value).trim()
}

/** The distribution in the text of os-release(5). */
export const distributionOf = (osRelease: string): Distribution => {
  const facts = new Map(
    osRelease.split("\n").flatMap((line) => {
      const [, name = "", value = ""] = /^\s*([A-Z_]+)=(.*)$/.exec(line) ?? []
      return name === "" ? [] : [[name, unquote(value.trim())] as const]
    }),
  )
  const id = facts.get("ID")?.toLowerCase().replaceAll(" ", "_") ?? "linux"
  const inVersion = /\(([^)]+)\)|,\s*(\S.*)$/.exec(facts.get("VERSION") ?? "")
  const codename =
    facts.get("VERSION_CODENAME") ?? facts.get("UBUNTU_CODENAME") ?? inVersion?.[1] ?? inVersion?.[2] ?? ""
  return [id, facts.get("VERSION_ID") ?? "", codename]
}

const debianArchitectures: Readonly<Record<string, string>> = {
  arm: "arm-linux-gnueabihf",
  arm64: "aarch64-linux-gnu",
  ia32: "i686-linux-gnu",
  loong64: "loongarch64-linux-gnu",
  ppc64: "powerpc64le-linux-gnu",
  riscv64: "riscv64-linux-gnu",
  s390x: "s390x-linux-gnu",
  x64: "x86_64-linux-gnu",
}

/** What `gcc -dumpmachine` would say on a Debian or a derivative that has no gcc; undefined elsewhere. */
export const multiarchWithoutCompiler = (osRelease: string, architecture: string): string | undefined => {
  const isDebian = /^(?:ID|ID_LIKE)=.*\b(?:debian|raspbian|ubuntu)\b/m.test(osRelease)
  return isDebian ? debianArchitectures[architecture] : undefined
}

export interface UploadFacts {
  readonly url: string
  readonly softwareRoot: string
  readonly multiarch: string
  readonly os: Distribution
  readonly sha512: string
}

/** The text of an entry, in ASCII as the reference writes it. Servers ask for `file` and `urlmd5`, whatever they say. */
export const formatEntry = ({ multiarch, os, sha512, softwareRoot, url }: UploadFacts): string =>
  JSON.stringify({
    file: "file",
    urlmd5: "urlmd5",
    software_url: url,
    software_root: softwareRoot,
    multiarch,
    os,
    sha512,
  }).replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
