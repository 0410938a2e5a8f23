// A node with a software root and a network cache, and what runs there for real: gcc as told, tar as it is.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as References from "effect/References"
import { spawn } from "node:child_process"
import * as fs from "node:fs"
import { distributionOf } from "../../../src/build/networkcache/entries.ts"
import { NetworkCache } from "../../../src/build/networkcache/NetworkCache.ts"
import type { NetworkCacheConfig } from "../../../src/config/networkCache.ts"
import { NodeConfig } from "../../../src/config/NodeConfig.ts"
import type { SoftwareUrl } from "../../../src/domain/ids.ts"
import { md5Hex } from "../../../src/files/machine.ts"
import { Accounts } from "../../../src/process/Accounts.ts"
import { type Command, CommandError, Spawner } from "../../../src/process/Spawner.ts"
import { makeAuthority } from "../../support/Authority.ts"
import { nodeConfig, noNetworkCache, release } from "../../support/facts.ts"
import { isRoot, scratchDirectory, stranger } from "../../support/scratch.ts"

export const folder = md5Hex(release)

export const os = distributionOf(fs.readFileSync("/etc/os-release", "utf8"))

/** A private CA, with what an https server and its clients need of it; gone with the Scope. */
export const makePrivateCa = Effect.gen(function* () {
  const authority = yield* Effect.acquireRelease(Effect.sync(makeAuthority), ({ remove }) => Effect.sync(remove))
  authority.issue("cache")
  return {
    caFile: authority.caFile,
    /** Files of a client of that name. */
    filesOf: (name: string) => ({ ...authority.issue(name), caFile: authority.caFile }),
    server: {
      key: authority.read("cache.key"),
      cert: authority.read("cache.crt"),
      ca: authority.read("ca.crt"),
      requestCert: true,
    },
  }
})

export interface Options {
  readonly config?: Partial<NetworkCacheConfig>
  readonly minFreeSpace?: number
  /** What `gcc -dumpmachine` says; undefined: there is no gcc. */
  readonly compiler?: string | undefined
  /** As in a pass without an agent. */
  readonly isWaiting?: boolean
  /** Of a node that was there before. */
  readonly root?: string
  /** Packing does not come to an end. */
  readonly isTarEndless?: boolean
}

/** Runs it, as its user where that is somebody else. */
const runReally = (
  { argv: [program, ...words], credentials, cwd, output }: Pick<Command, "argv" | "credentials" | "cwd" | "output">,
  running: Set<number>,
) =>
  Effect.callback<void, CommandError>((resume) => {
    const { gid, uid } = credentials ?? {}
    const user = uid === undefined || gid === undefined ? {} : { uid, gid }
    const child = spawn(program, words, { ...user, cwd, stdio: ["ignore", output, output] })
    const pid = child.pid ?? 0
    running.add(pid)
    const ended = new Promise<void>((resolve) => {
      child.on("exit", (code) => {
        running.delete(pid)
        const message = `${program}: exit status ${code}`
        resume(code === 0 ? Effect.void : new CommandError({ command: program, reason: "Failed", message }))
        resolve()
      })
    })
    return Effect.promise(() => {
      child.kill("SIGKILL")
      return ended
    })
  })

/** What a node does beside a cache. */
export const makeNode = Effect.fnUntraced(function* (networkCache: Partial<NetworkCacheConfig>, options: Options = {}) {
  const root = options.root ?? (yield* scratchDirectory)
  const softwareRoot = `${root}/software`
  fs.mkdirSync(softwareRoot, { recursive: true })
  if (isRoot) fs.chownSync(softwareRoot, stranger.uid, stranger.gid)
  fs.mkdirSync(`${root}/instances/var/run/slapgrid`, { recursive: true })
  const config = nodeConfig({
    softwareRoot,
    instanceRoot: `${root}/instances`,
    softwareMinFreeSpace: options.minFreeSpace ?? 0,
    networkCache: { ...noNetworkCache, ...networkCache, ...options.config },
  })
  const { compiler = "x86_64-linux-gnu" } = options
  const commands: Array<Command> = []
  const running = new Set<number>()
  const run = (command: Command) => {
    commands.push(command)
    const argv = options.isTarEndless === true ? (["sleep", "infinity"] as const) : command.argv
    if (command.argv[0] !== "gcc") return runReally({ ...command, argv }, running)
    return "compiler" in options && options.compiler === undefined
      ? Effect.fail(new CommandError({ command: "gcc", reason: "NotStarted", message: "no gcc" }))
      : Effect.sync(() => void fs.writeSync(command.output, `${compiler}\n`))
  }
  const user = { ...stranger, groups: [], name: "software", home: undefined }
  const accounts = Accounts.of({
    isRoot,
    credentialsFor: () => Effect.succeed(isRoot ? user : undefined),
    describe: () => Effect.die("nobody asks"),
  })
  const told: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => void told.push(`${logLevel} ${String(message)}`))
  const context = yield* Layer.build(
    (options.isWaiting === true ? NetworkCache.layerWaiting : NetworkCache.layer).pipe(
      Layer.provide(Layer.succeed(Spawner, Spawner.of({ run, spawn: () => Effect.die("nothing is spawned") }))),
      Layer.provide(Layer.succeed(Accounts, accounts)),
      Layer.provide(Layer.succeed(NodeConfig, config)),
    ),
  )
  const cache = Context.get(context, NetworkCache)
  const logged = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    effect.pipe(Effect.provideService(References.MinimumLogLevel, "Info"), Effect.provide(Logger.layer([logger])))
  const path = `${softwareRoot}/${folder}`
  return {
    root,
    softwareRoot,
    path,
    /** Which uploads a next agent would take up. */
    noted: () => {
      const notes = `${config.instanceRoot}/var/run/slapgrid/uploads`
      return fs.existsSync(notes) ? fs.readdirSync(notes) : []
    },
    fetch: logged(cache.fetch(release)),
    upload: (url: SoftwareUrl = release) => logged(cache.upload(url)),
    endUpload: cache.endUpload(path),
    told,
    commands,
    /** Process ids of what runs. */
    running,
  }
})
