// The options of [networkcache]: where binaries of software releases come from and go to, whose signatures are trusted,
// and which releases are left out. A pair of URLs of which one is missing or empty is no cache, as for the reference.
import { X509Certificate } from "node:crypto"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import { quote } from "./DialectError.ts"
import type { PathNeed } from "./disk.ts"
import { NETWORK_CACHE_SECTIONS, type Setting } from "./sources.ts"
import { parseLines, type Rule } from "./values.ts"

/** Content by hash, and an index of signed entries. */
export interface CachePlace {
  readonly cacheUrl: Redacted.Redacted
  readonly dirUrl: Redacted.Redacted
}

export interface TlsFiles {
  readonly caFile: string | undefined
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
}

export interface NetworkCacheConfig {
  readonly download: CachePlace | undefined
  readonly upload: CachePlace | undefined
  /** PEM texts of the certificates whose signatures are trusted. */
  readonly trusted: ReadonlyArray<string>
  readonly signatureKeyFile: string | undefined
  /** For the content. */
  readonly shacache: TlsFiles
  /** For the index. */
  readonly shadir: TlsFiles
  /** Prefixes of the URLs of releases that are not taken from the cache, are not put there, may come from nowhere else. */
  readonly neverDownloaded: ReadonlyArray<string>
  readonly neverUploaded: ReadonlyArray<string>
  readonly onlyDownloaded: ReadonlyArray<string>
}

/** What buildouts of software releases get, in the reference's order. */
const OF_BUILDOUT = [
  { key: "signature-private-key-file", isFile: true },
  { key: "upload-cache-url", isFile: false },
  { key: "upload-dir-url", isFile: false },
  { key: "shacache-ca-file", isFile: true },
  { key: "shacache-cert-file", isFile: true },
  { key: "shacache-key-file", isFile: true },
  { key: "shadir-ca-file", isFile: true },
  { key: "shadir-cert-file", isFile: true },
  { key: "shadir-key-file", isFile: true },
] as const

/** As much of SettingsReader as is needed. */
interface Reader {
  readonly find: (
    option: string,
    sections?: ReadonlyArray<string>,
    spellings?: ReadonlyArray<string>,
  ) => Setting | undefined
  readonly text: (setting: Setting | undefined) => string
  readonly path: (setting: Setting | undefined, text: string, need: Pick<PathNeed, "kind" | "access">) => string
  readonly report: (option: string, source: string, problem: string) => void
}

const find = (reader: Reader, key: string): Setting | undefined =>
  reader.find(
    key,
    NETWORK_CACHE_SECTIONS,
    key === "signature-private-key-file" ? [key, key.replaceAll("-", "_")] : [key],
  )

const readForBuildouts = (reader: Reader): ReadonlyArray<readonly [key: string, value: string]> =>
  OF_BUILDOUT.flatMap(({ key, isFile }) => {
    const setting = find(reader, key)
    const text = reader.text(setting)
    const value = isFile ? reader.path(setting, text, { kind: "file", access: "read" }) : text
    return value === "" ? [] : [[key, value] as const]
  })

const parseCacheUrl: Rule<Redacted.Redacted> = (text) => {
  const url = URL.parse(text)
  if (url === null || !/^https?:\/\/[^/]/i.test(text) || /\s/.test(text)) {
    return Result.fail(`${quote(text)} is not an http or https URL; write one such as https://shacache.example.com`)
  }
  return url.search === "" && url.hash === ""
    ? Result.succeed(Redacted.make(text.replace(/\/+$/, "")))
    : Result.fail(`${quote(text)} has a query or fragment, to which nothing can be added; remove it`)
}

const CERTIFICATE = "-----BEGIN CERTIFICATE-----"

/** PEM certificates one after the other. */
const parseCertificates: Rule<ReadonlyArray<string>> = (text) => {
  const [before = "", ...rest] = text.split(CERTIFICATE)
  if (before.trim() !== "") {
    return Result.fail(`does not begin with ${CERTIFICATE}; write the certificates themselves, not names of files`)
  }
  const certificates = rest.map((body) => `${CERTIFICATE}\n${body.trim()}\n`)
  const wrong = certificates.findIndex((pem) => !isCertificate(pem))
  return wrong < 0
    ? Result.succeed(certificates)
    : Result.fail(`certificate number ${wrong + 1} cannot be read; copy it anew from whoever signs, as PEM`)
}

const isCertificate = (pem: string): boolean => {
  try {
    return new X509Certificate(pem).publicKey !== undefined
  } catch {
    return false
  }
}

/** An option with a rule; undefined when it is not set, empty or wrong. */
const read = <A>(reader: Reader, key: string, rule: Rule<A>): A | undefined => {
  const setting = find(reader, key)
  const text = reader.text(setting)
  if (setting === undefined || text === "") return undefined
  const value = rule(text)
  if (Result.isSuccess(value)) return value.success
  reader.report(key, setting.source, value.failure)
  return undefined
}

const readPlace = (reader: Reader, direction: "download" | "upload"): CachePlace | undefined => {
  const cacheUrl = read(reader, `${direction}-binary-cache-url`, parseCacheUrl)
  const dirUrl = read(reader, `${direction}-binary-dir-url`, parseCacheUrl)
  return cacheUrl === undefined || dirUrl === undefined ? undefined : { cacheUrl, dirUrl }
}

/** `files` are those that buildouts get, too. */
const readNetworkCache = (reader: Reader, files: ReadonlyMap<string, string>): NetworkCacheConfig => {
  const prefixes = (key: string) => parseLines(reader.text(find(reader, key)))
  const tls = (of: "shacache" | "shadir"): TlsFiles => ({
    caFile: files.get(`${of}-ca-file`),
    certFile: files.get(`${of}-cert-file`),
    keyFile: files.get(`${of}-key-file`),
  })
  const blacklist = prefixes("download-from-binary-cache-url-blacklist")
  return {
    download: readPlace(reader, "download"),
    upload: readPlace(reader, "upload"),
    trusted: read(reader, "signature-certificate-list", parseCertificates) ?? [],
    signatureKeyFile: files.get("signature-private-key-file"),
    shacache: tls("shacache"),
    shadir: tls("shadir"),
    // The older name.
    neverDownloaded: blacklist.length > 0 ? blacklist : prefixes("binary-cache-url-blacklist"),
    neverUploaded: prefixes("upload-to-binary-cache-url-blacklist"),
    onlyDownloaded: prefixes("download-from-binary-cache-force-url-list"),
  }
}

export const readNetworkCaches = (reader: Reader) => {
  const buildoutNetworkCache = readForBuildouts(reader)
  return { buildoutNetworkCache, networkCache: readNetworkCache(reader, new Map(buildoutNetworkCache)) }
}
