// How a release that was built here goes to the cache: packed by tar as the software owner, who can read no more than
// its own, sent unless the cache has that content, and told to the index with a signature. Nobody waits for it.
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import type { CachePlace } from "../../config/networkCache.ts"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { SoftwareUrl } from "../../domain/ids.ts"
import { handedFile } from "../../files/archive/staging.ts"
import {
  agentDirectory,
  inheritedEnvironment,
  md5Hex,
  ownerOf,
  readEnd,
  readTrusted,
  releaseDirectory,
} from "../../files/machine.ts"
import { namelessFile } from "../../files/namelessFile.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { sessionEnclosure } from "../../process/containment/Containment.ts"
import type { Credentials } from "../../process/privileges.ts"
import type { Spawner } from "../../process/Spawner.ts"
import { checkSpace } from "../buildLimits.ts"
import { CacheServer } from "./CacheServer.ts"
import { contentOf, describeContent } from "./content.ts"
import { formatEntry, isListed } from "./entries.ts"
import { type Machine, nodesOwn } from "./Machine.ts"
import { signWith } from "./signature.ts"

/** What is there to make uploads with. */
export interface UploadTools {
  readonly config: NodeConfigShape
  readonly spawner: Spawner["Service"]
  /** As whom a release is packed. */
  readonly user: Effect.Effect<Credentials | undefined, { readonly message: string }>
  readonly machine: Effect.Effect<Machine, { readonly message: string }>
}

export class UploadError extends Schema.TaggedError<UploadError>()("UploadError", { message: Schema.String }) {}

const failed = (message: string): UploadError => new UploadError({ message })

/** A cache may need time to digest what failed to come through. */
const retryInterval = "30 minutes"
/** How often an agent tries. */
export const patientTries = 3
/** For packing and sending; one that takes longer hangs on something, and others wait behind it. */
const tryTimeout = "6 hours"

/** Parts that lie in a shared directory are missing in an archive of such a release. */
const sharedMarker = ".shared"

/** Why a release is not uploaded, or undefined when it is; "" when nobody wants to know. */
const obstacle = (
  { networkCache: { neverUploaded, signatureKeyFile, upload } }: NodeConfigShape,
  url: SoftwareUrl,
): string | undefined => {
  if (upload === undefined) return ""
  if (isListed(url, neverUploaded)) return "upload-to-binary-cache-url-blacklist names it"
  if (signatureKeyFile === undefined)
    return "there is no signature-private-key-file, and nobody trusts what is unsigned"
  // The index is public, and the archive has it, too.
  const { password = "", username = "" } = URL.parse(url) ?? {}
  return username === "" && password === "" ? undefined : "its URL has a password"
}

/** Uploads releases, one at a time. */
export const makeUploads = Effect.fnUntraced(function* (tools: UploadTools, tries: number) {
  const { config } = tools
  const turn = yield* Semaphore.make(1)

  const hasSharedParts = (url: SoftwareUrl) =>
    OwnedDirectory.open(releaseDirectory(config.softwareRoot, url)).pipe(
      Effect.flatMap((directory) => directory.exists(sharedMarker)),
      Effect.orElseSucceed(() => false),
    )

  /** Whether a release is to be uploaded; tells why not where somebody may wonder. */
  const isWanted = Effect.fnUntraced(function* (url: SoftwareUrl) {
    const why =
      obstacle(config, url) ?? ((yield* hasSharedParts(url)) ? "it has parts outside its directory" : undefined)
    if (why !== undefined && why !== "") {
      yield* Effect.logInfo(`${url} is not uploaded to the network cache: ${why}`)
    }
    return why === undefined
  })

  /** Uploads one that is wanted, with all its tries; gives whether the cache has it now. */
  const tryAll = Effect.fn("NetworkCache.upload")(function* (url: SoftwareUrl) {
    const { signatureKeyFile, upload } = config.networkCache
    if (upload === undefined || signatureKeyFile === undefined) return false
    let count = 0
    return yield* turn.withPermit(uploadOnce(tools, upload, signatureKeyFile, url)).pipe(
      Effect.tap((size) => Effect.logInfo(`${url} is in the network cache (${Math.ceil(size / 1_000_000)} MB)`)),
      Effect.tapError(({ message }) => {
        count += 1
        const then = count < tries ? `in ${retryInterval}` : "when slapgrid is started"
        const words = `${url} could not be uploaded to the network cache: ${message}`
        return Effect.logWarning(`${words}; it is tried again ${then}`)
      }),
      Effect.retry({ times: tries - 1, schedule: Schedule.spaced(retryInterval) }),
      Effect.as(true),
      Effect.orElseSucceed(() => false),
      Effect.catchDefect((defect) =>
        Effect.as(Effect.logError(`${url} could not be uploaded to the network cache`, defect), false),
      ),
    )
  })
  return { isWanted, tryAll }
})

/** Gives the size of the archive. */
const uploadOnce = Effect.fnUntraced(
  function* (tools: UploadTools, { cacheUrl, dirUrl }: CachePlace, signatureKeyFile: string, url: SoftwareUrl) {
    const { networkCache, softwareRoot } = tools.config
    // What takes no time comes first: nothing is packed that could not be told to the index.
    const machine = yield* tools.machine
    yield* sign("", signatureKeyFile)
    const { fd, path } = yield* pack(tools, md5Hex(url))
    const { sha512, size } = yield* describeContent(fd, path)
    if (size === 0) return yield* failed("tar has written nothing")
    const content = yield* CacheServer.open(cacheUrl, networkCache.shacache, true)
    if (!(yield* content.has(sha512))) {
      const answer = yield* content.send("", {
        verb: "POST",
        type: "application/octet-stream",
        length: size,
        content: () => contentOf(fd),
      })
      if (answer.trim() !== sha512) return yield* failed(`the cache has stored something else than what was sent`)
    }
    const entry = formatEntry({ ...machine, url, softwareRoot, sha512 })
    const signature = yield* sign(entry, signatureKeyFile)
    const body = new TextEncoder().encode(JSON.stringify([entry, signature]))
    const index = yield* CacheServer.open(dirUrl, networkCache.shadir, true)
    yield* index.send(md5Hex(url), {
      verb: "PUT",
      type: "application/json",
      length: body.length,
      content: () => [body],
    })
    return size
  },
  Effect.scoped,
  Effect.mapError(({ message }) => failed(message)),
  Effect.timeoutOrElse({ duration: tryTimeout, orElse: () => failed(`it took longer than ${tryTimeout}`) }),
)

const sign = (entry: string, keyFile: string) =>
  Effect.flatMap(readTrusted(keyFile), (key) =>
    Effect.try({
      try: () => signWith(entry, key),
      // What OpenSSL says can have parts of the key in it.
      catch: () => failed(`${keyFile} is no RSA key in PEM without a passphrase (signature-private-key-file)`),
    }),
  )

/** How much of tar's words is told. */
const toldOutput = 2000

/** A gzipped tar of a release in a file that goes with the Scope; ended when the disk gets full. */
const pack = Effect.fnUntraced(function* ({ config, spawner, user }: UploadTools, folder: string) {
  const { instanceRoot, softwareRoot } = config
  yield* checkSpace(config)
  const archive = yield* handedFile(softwareRoot, `${folder}.tar.gz`, yield* ownerOf(softwareRoot))
  const output = yield* namelessFile(agentDirectory(instanceRoot))
  const words = ["--create", "--gzip", "--format=gnu", "--sort=name", "--force-local", "--file", archive.path]
  const excludes = nodesOwn.map((name) => `--exclude=${folder}/${name}`)
  const tar = spawner.run({
    argv: ["nice", "-n", "10", "tar", ...words, "--anchored", "--no-wildcards", ...excludes, "--", folder],
    cwd: softwareRoot,
    env: inheritedEnvironment(),
    credentials: yield* user,
    umask: 0o077,
    output,
    timeout: undefined,
    enclosure: sessionEnclosure,
  })
  const shortage = Effect.andThen(Effect.repeat(checkSpace(config), Schedule.spaced("1 second")), Effect.never)
  yield* Effect.raceFirst(tar, shortage).pipe(
    Effect.catchTag("CommandError", ({ message }) =>
      Effect.flatMap(readEnd(output, 0, toldOutput), (text) => failed(`${message}: ${text.trim()}`)),
    ),
  )
  return archive
})
