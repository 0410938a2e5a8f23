// How a release comes out of the cache: an index entry that is trusted and fits, its content by hash, and what that
// unpacks to. Nothing of an archive is looked at before signature and hash have told whose it is, and nothing of it is
// visible before it is complete.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { CachePlace } from "../../config/networkCache.ts"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { SoftwareUrl } from "../../domain/ids.ts"
import { publicUrl } from "../../domain/text.ts"
import { stagingFor } from "../../files/archive/staging.ts"
import { unpack } from "../../files/archive/unpack.ts"
import { availableSpace, md5Hex, ownerOf, pathExists, realPath, releaseDirectory } from "../../files/machine.ts"
import { namelessFile } from "../../files/namelessFile.ts"
import { CacheServer } from "./CacheServer.ts"
import { type CacheEntry, isListed, misfit, parseEntry, parseIndex, type SignedEntry } from "./entries.ts"
import { type Machine, nodesOwn } from "./Machine.ts"
import { isSignedByOneOf } from "./signature.ts"

/** Why a release does not come from the cache. */
export class Miss extends Schema.TaggedError<Miss>()("Miss", {
  message: Schema.String,
  /** Whether somebody expected that it would. */
  isTrouble: Schema.Boolean,
}) {}

const miss = (message: string): Effect.Effect<never, Miss> => new Miss({ message, isTrouble: true })
const ordinaryMiss = (message: string): Effect.Effect<never, Miss> => new Miss({ message, isTrouble: false })

/** How many archives are tried for one release: a cache must not keep a node busy. */
const maximumTries = 3

/** Puts a release in its place. */
export const take = Effect.fnUntraced(function* (
  config: NodeConfigShape,
  machine: Effect.Effect<Machine, { readonly message: string }>,
  url: SoftwareUrl,
) {
  const { download, neverDownloaded, trusted } = config.networkCache
  if (download === undefined) return yield* ordinaryMiss("no download-binary-cache-url and -dir-url are configured")
  if (isListed(url, neverDownloaded)) return yield* ordinaryMiss("download-from-binary-cache-url-blacklist names it")
  const path = releaseDirectory(config.softwareRoot, url)
  if (pathExists(path)) return yield* ordinaryMiss(`${path} is there already; remove it to have it fetched`)
  if (trusted.length === 0) return yield* miss("signature-certificate-list names nobody who is trusted")
  const entries = yield* choose(config, download, machine, url)
  let failure = new Miss({ message: "", isTrouble: true })
  for (const entry of entries.slice(0, maximumTries)) {
    const outcome = yield* Effect.result(install(config, download, url, entry))
    if (outcome._tag === "Success") return
    failure = outcome.failure
  }
  return yield* failure
})

/** The entries of the index that are trusted and fit, each archive once. */
const choose = Effect.fnUntraced(function* (
  config: NodeConfigShape,
  { dirUrl }: CachePlace,
  machine: Effect.Effect<Machine, { readonly message: string }>,
  url: SoftwareUrl,
) {
  const index = yield* CacheServer.open(dirUrl, config.networkCache.shadir, false).pipe(
    Effect.flatMap((server) => server.text(md5Hex(url))),
    Effect.scoped,
    Effect.catch(({ message, reason }) =>
      reason === "Absent" ? ordinaryMiss("the network cache does not have it") : miss(message),
    ),
  )
  const pairs = parseIndex(index)
  if (pairs === undefined)
    return yield* miss(`the answer of ${new URL(publicUrl(dirUrl)).host} is no index of a network cache`)
  const trusted = trustedEntries(pairs, config.networkCache.trusted)
  if (trusted.length === 0) {
    return yield* pairs.length === 0
      ? ordinaryMiss("the network cache does not have it")
      : miss(`none of its ${pairs.length} entries in the network cache is signed by anybody who is trusted`)
  }
  const isOurRoot = (root: string) => realPath(root) === realPath(config.softwareRoot)
  const here = yield* Effect.catch(machine, ({ message }) => miss(message))
  const wanted = { ...here, url, isOurRoot }
  const fitting = trusted.filter((entry) => misfit(entry, wanted) === undefined)
  const [other] = trusted
  if (fitting.length === 0 && other !== undefined) {
    return yield* ordinaryMiss(`no entry in the network cache fits: one ${misfit(other, wanted) ?? ""}`)
  }
  return [...new Map(fitting.map((entry) => [entry.sha512, entry])).values()]
})

/** The first ones of an index that is made to keep a node busy are enough. */
const maximumEntries = 200

const trustedEntries = (
  pairs: ReadonlyArray<SignedEntry>,
  certificates: ReadonlyArray<string>,
): ReadonlyArray<CacheEntry> =>
  pairs.slice(0, maximumEntries).flatMap(([text, signature]) => {
    const entry = isSignedByOneOf(text, signature, certificates) ? parseEntry(text) : undefined
    return entry === undefined ? [] : [entry]
  })

const install = Effect.fnUntraced(
  function* (config: NodeConfigShape, { cacheUrl }: CachePlace, url: SoftwareUrl, { sha512 }: CacheEntry) {
    const { networkCache, softwareMinFreeSpace, softwareRoot } = config
    const folder = md5Hex(url)
    const archive = yield* namelessFile(softwareRoot)
    const room = () => availableSpace(softwareRoot) - softwareMinFreeSpace
    const server = yield* CacheServer.open(cacheUrl, networkCache.shacache, false)
    const size = yield* server.download(sha512, archive, room)
    const owner = yield* ownerOf(softwareRoot)
    const staging = yield* stagingFor(softwareRoot, folder)
    const homes = [...new Set([softwareRoot, realPath(softwareRoot)])].map((root) => `${root}/${folder}`)
    yield* unpack({
      archive,
      directory: staging.directory,
      folder,
      homes,
      owner,
      minFreeSpace: softwareMinFreeSpace,
      leftOut: nodesOwn,
    }).pipe(Effect.mapError(({ message }) => ({ message: `the archive ${sha512.slice(0, 16)}… ${message}` })))
    yield* staging.place(owner, 0o755)
    yield* Effect.logInfo(`${url} comes from the network cache (${Math.ceil(size / 1_000_000)} MB)`)
  },
  Effect.scoped,
  Effect.mapError(({ message }) => new Miss({ message, isTrouble: true })),
)
