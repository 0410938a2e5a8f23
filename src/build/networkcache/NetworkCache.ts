// Software releases to and from a network cache. Whatever the cache does, fetching from it costs seconds, then the release
// is built from source; an upload never holds anybody. slap-protocol.md (Network cache).
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberMap from "effect/FiberMap"
import * as Layer from "effect/Layer"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { SoftwareUrl } from "../../domain/ids.ts"
import { removeStagings } from "../../files/archive/staging.ts"
import { agentDirectory, ownerOf, releaseDirectory } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import { Accounts } from "../../process/Accounts.ts"
import { Spawner } from "../../process/Spawner.ts"
import { BuildError } from "../BuildError.ts"
import { completedFile } from "../ReleaseFiles.ts"
import { take } from "./download.ts"
import { isListed } from "./entries.ts"
import { describeMachine } from "./Machine.ts"
import { makePending } from "./pending.ts"
import { makeUploads, patientTries, type UploadTools } from "./upload.ts"

export class NetworkCache extends Context.Service<
  NetworkCache,
  {
    /**
     * Puts the release in its place, complete, when the cache has it and the directory is absent. Fails when the release
     * may come from nowhere else and cannot.
     */
    readonly fetch: (url: SoftwareUrl) => Effect.Effect<"Installed" | "Missing", BuildError>
    /** Uploads a release that was just built, where that is configured and wanted; an agent does not wait for it. */
    readonly upload: (url: SoftwareUrl) => Effect.Effect<void>
    /** To be called before a release's directory changes: what is uploaded is what was built. */
    readonly endUpload: (directory: string) => Effect.Effect<void>
  }
>()("slapgrid/build/networkcache/NetworkCache") {
  static readonly layer = Layer.effect(
    NetworkCache,
    Effect.suspend(() => makeCache("in the background")),
  )
  /** In a pass that ends after its work: it waits for its uploads, and tries each once. */
  static readonly layerWaiting = Layer.effect(
    NetworkCache,
    Effect.suspend(() => makeCache("waiting")),
  )
}

/** How uploads are made. */
type Manner = "in the background" | "waiting"

const makeCache = Effect.fnUntraced(function* (how: Manner) {
  const config = yield* NodeConfig
  const accounts = yield* Accounts
  const spawner = yield* Spawner
  // Of agents that were killed. Nothing is made before that is over: it would be taken for theirs.
  const sweep = yield* Effect.forkScoped(Effect.ignore(removeStagings(config.softwareRoot)))

  const user = Effect.gen(function* () {
    const owner = yield* ownerOf(config.softwareRoot)
    return yield* accounts.credentialsFor(owner, config.softwareRoot, [])
  })
  const machine = Effect.flatMap(user, (credentials) =>
    describeMachine(spawner, agentDirectory(config.instanceRoot), credentials),
  )

  const fetch = Effect.fn("NetworkCache.fetch")(function* (url: SoftwareUrl) {
    yield* Fiber.await(sweep)
    const outcome = yield* Effect.result(take(config, machine, url))
    if (outcome._tag === "Success") return "Installed" as const
    const { isTrouble, message } = outcome.failure
    if (isListed(url, config.networkCache.onlyDownloaded)) {
      const rule = "may only come from the network cache (download-from-binary-cache-force-url-list)"
      return yield* new BuildError({ reason: "Failed", message: `${url} ${rule}, but ${message}` })
    }
    if (isTrouble) yield* Effect.logWarning(`${url} is built from source: ${message}`)
    return "Missing" as const
  })

  const { endUpload, resume, upload } = yield* queueUploads({ config, spawner, user, machine }, sweep, how)
  // Before anything is built: a build ends the upload of its release.
  if (how === "in the background") yield* resume
  return NetworkCache.of({ fetch, upload, endUpload })
})

/** Uploads in fibers of their own, with a note of each until it is done. */
const queueUploads = Effect.fnUntraced(function* (tools: UploadTools, sweep: Fiber.Fiber<void>, how: Manner) {
  const { instanceRoot, softwareRoot } = tools.config
  const { isWanted, tryAll } = yield* makeUploads(tools, how === "waiting" ? 1 : patientTries)
  const pending = makePending(instanceRoot)
  const fibers = yield* FiberMap.make<string>()

  const endUpload = (directory: string) => Effect.andThen(FiberMap.remove(fibers, directory), pending.remove(directory))

  const upload = Effect.fnUntraced(function* (url: SoftwareUrl) {
    const directory = releaseDirectory(softwareRoot, url)
    yield* FiberMap.remove(fibers, directory)
    if (!(yield* isWanted(url))) return yield* pending.remove(directory)
    yield* pending.add(directory, url)
    const work = Effect.gen(function* () {
      yield* Fiber.await(sweep)
      if (yield* tryAll(url)) yield* pending.remove(directory)
    })
    const fiber = yield* FiberMap.run(fibers, directory, work)
    if (how === "waiting") yield* Fiber.await(fiber)
  })

  /** One that was not completed is built again, and then uploaded. */
  const resumeOne = Effect.fnUntraced(function* (url: SoftwareUrl) {
    const directory = releaseDirectory(softwareRoot, url)
    const isComplete = yield* OwnedDirectory.open(directory).pipe(
      Effect.flatMap((files) => files.exists(completedFile)),
      Effect.orElseSucceed(() => false),
    )
    yield* isComplete ? upload(url) : pending.remove(directory)
  })
  const resume = Effect.flatMap(pending.all, (urls) => Effect.forEach(urls, resumeOne, { discard: true }))
  return { endUpload, resume, upload }
})
