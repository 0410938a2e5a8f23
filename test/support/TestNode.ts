// A formatted computer in a scratch directory: roots, partitions with users, a slapos.cfg, a release's source and a
// master. Tests say what is wanted through the master, and look at what became of it on the machine.
import {
  chmodSync,
  chownSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { createHash } from "node:crypto"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { getStatus } from "../../src/control/ControlClient.ts"
import type { NodeStatus } from "../../src/domain/NodeStatus.ts"
import { type Program, start } from "./Program.ts"
import { type Identity, isRoot, makeScratch, type Scratch, self } from "./ScratchMachine.ts"
import { root, slapgrid } from "./slapgrid.ts"
import { computer, type TestMaster, type Wanted } from "./TestMaster.ts"
import { awaitFile, eventually, textOf } from "./waiting.ts"

export interface TestPartition extends Identity {
  readonly id: string
  readonly path: string
}

export interface NodeOptions {
  /** How many partitions. */
  readonly partitions: number
  /**
   * When the agent asks its master: every second, or (when missing) only at its start and when a test says so, which
   * the node's own requests do. An hour between the others leaves no doubt about what caused what.
   */
  readonly sync?: "every second"
  /** Further or other lines of `[slapos]`. */
  readonly settings?: Readonly<Record<string, string>>
  /** The agent runs as an ordinary user, to whom everything belongs. Always so for tests that are not root. */
  readonly isOrdinary?: boolean
  /** The agent sees no cgroup v2. For root only. */
  readonly isWithoutCgroups?: boolean
  /** The software owner and then the partitions' users; users without an entry in the user database when missing. */
  readonly identities?: (scratch: Scratch, count: number) => Effect.Effect<ReadonlyArray<Identity>, never, Scope.Scope>
}

const makeOwned = (path: string, mode: number, { gid, uid }: Identity): void => {
  mkdirSync(path)
  if (isRoot) chownSync(path, uid, gid)
  chmodSync(path, mode)
}

/** A copy of test/support/release that its owner can develop eggs in, with what its promises are made of. */
const copyRelease = (to: string, owner: Identity): void => {
  cpSync(`${root}/test/support/release`, to, { recursive: true })
  cpSync(`${root}/test/support/promises`, `${to}/promises`, { recursive: true })
  for (const entry of ["", ...readdirSync(to, { recursive: true, encoding: "utf8" })]) {
    const path = `${to}/${entry}`
    if (statSync(path).isFile()) writeFileSync(path, readFileSync(path, "utf8").replaceAll("@source@", to))
    if (isRoot) chownSync(path, owner.uid, owner.gid)
    chmodSync(path, statSync(path).isFile() ? 0o644 : 0o755)
  }
}

const partitionIds = (count: number): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => `slappart${index}`)

export class TestNode<Master extends TestMaster = TestMaster> {
  readonly scratch: Scratch
  readonly master: Master
  readonly software: Identity
  readonly partitions: ReadonlyArray<TestPartition>
  /** Words that start the program as the agent's user. */
  readonly slapgrid: readonly [string, ...ReadonlyArray<string>]
  readonly #settings: Readonly<Record<string, string>>
  readonly #isAsked: boolean
  #agent: Program | undefined

  constructor(
    scratch: Scratch,
    master: Master,
    [software, ...users]: ReadonlyArray<Identity>,
    {
      isOrdinary = false,
      isWithoutCgroups = false,
      settings = {},
      sync,
    }: Omit<NodeOptions, "partitions" | "identities">,
  ) {
    this.#settings = { root_check: String(isRoot && !isOrdinary), ...settings }
    this.#isAsked = sync === undefined
    if (software === undefined) throw new Error("no software owner")
    const words = isOrdinary && isRoot ? ordinaryProgram(scratch.path, software) : slapgrid
    this.slapgrid = isWithoutCgroups ? [...withoutCgroups, ...words] : words
    this.scratch = scratch
    this.master = master
    this.software = software
    this.partitions = users.map((user, index) => {
      const id = `slappart${index}`
      return { ...user, id, path: `${scratch.path}/instance/${id}` }
    })
  }

  get instanceRoot(): string {
    return `${this.scratch.path}/instance`
  }

  get softwareRoot(): string {
    return `${this.scratch.path}/software`
  }

  get configFile(): string {
    return `${this.scratch.path}/slapos.cfg`
  }

  /** URL of the profile that can be built and instantiated. */
  get release(): string {
    return `${this.scratch.path}/release/software.cfg`
  }

  /** Where a release is built. */
  releaseDirectory(url: string): string {
    return `${this.softwareRoot}/${createHash("md5").update(url).digest("hex")}`
  }

  partition(id: string): TestPartition {
    const partition = this.partitions.find((one) => one.id === id)
    if (partition === undefined) throw new Error(`no partition ${id}`)
    return partition
  }

  /** Writes a profile beside the release's; gives its URL. */
  writeProfile(name: string, text: string): string {
    const path = `${this.scratch.path}/release/${name}`
    writeFileSync(path, text)
    return path
  }

  /** Writes slapos.cfg. */
  configure(settings: Readonly<Record<string, string>> = {}): void {
    const options = {
      computer_id: computer,
      instance_root: this.instanceRoot,
      software_root: this.softwareRoot,
      master_url: this.master.url,
      sync_interval: this.#isAsked ? "3600" : "1",
      stop_timeout: "20",
      software_min_free_space: "1M",
      instance_min_free_space: "1M",
      ...this.#settings,
      ...settings,
    }
    const lines = Object.entries(options).map(([key, value]) => `${key} = ${value}`)
    writeFileSync(this.configFile, `[slapos]\n${lines.join("\n")}\n`)
  }

  /** Words that start the agent of this node. */
  get agentCommand(): readonly [string, ...ReadonlyArray<string>] {
    return [...this.slapgrid, "--configuration-file", this.configFile, "--log-format", "json"]
  }

  /** Starts the agent; it is up when this returns. */
  get startAgent(): Effect.Effect<Program, never, Scope.Scope> {
    return this.startAgentWith({})
  }

  /** The same with more in its environment, and by whatever these words are. */
  startAgentWith(
    env: Readonly<Record<string, string>>,
    words: ReadonlyArray<string> = [],
  ): Effect.Effect<Program, never, Scope.Scope> {
    return Effect.gen({ self: this }, function* () {
      const isCached = existsSync(`${this.instanceRoot}/var/run/slapgrid/desired.json`)
      const [program, ...rest] = [...words, ...this.agentCommand]
      const agent = yield* start([program ?? "", ...rest], { env })
      yield* agent.awaitLine(" runs COMP-1 of ")
      this.#agent = agent
      // One that knows what to run would ask within the hour.
      if (this.#isAsked && isCached) yield* this.ask
      return agent
    })
  }

  /** Has the agent ask its master now, and try again what failed. */
  get ask(): Effect.Effect<void> {
    return Effect.sync(() => this.#agent?.signal("SIGHUP"))
  }

  /** Wants a release. */
  supply(url: string, state?: "available" | "destroyed"): Effect.Effect<void> {
    return Effect.andThen(this.master.supply(url, state), this.#isAsked ? this.ask : Effect.void)
  }

  /** Wants an instance, of the test release when no other is named; gives its partition. */
  request(title: string, wanted: Partial<Wanted> = {}): Effect.Effect<TestPartition> {
    return Effect.gen({ self: this }, function* () {
      const id = yield* this.master.request(title, { software: this.release, ...wanted })
      if (this.#isAsked) yield* this.ask
      return this.partition(id)
    })
  }

  /** What the agent says through its control socket. */
  get status(): Effect.Effect<NodeStatus> {
    return Effect.orDie(getStatus(this.instanceRoot))
  }

  /** Wants an instance of the test release and waits until the master knows that it runs. */
  run(title: string, parameters: Readonly<Record<string, string>> = {}): Effect.Effect<TestPartition> {
    return Effect.gen({ self: this }, function* () {
      const after = yield* this.master.lastReport
      const partition = yield* this.request(title, { parameters })
      yield* this.master.awaitReport(partition.id, "started", { after })
      return partition
    })
  }

  /** Process ids of a program's starts so far, as it wrote them. */
  starts(partition: TestPartition, program: string): ReadonlyArray<number> {
    return startsIn(textOf(`${partition.path}/${program}.starts`) ?? "").map(({ pid }) => pid)
  }

  /** Waits for start number `count` of a program; gives what it wrote. */
  awaitStart(partition: TestPartition, program: string, count = 1): Effect.Effect<Start> {
    return awaitFile(`${partition.path}/${program}.starts`, (text) => startsIn(text)[count - 1])
  }

  /** Process ids of `web`, `ticker` and `once` of an instance, which have all begun. */
  runningIn({ id, path }: TestPartition): Effect.Effect<readonly [web: number, ticker: number, once: number]> {
    return Effect.gen({ self: this }, function* () {
      const statusOf = Effect.map(
        this.status,
        ({ partitions }) => partitions.find((one) => one.id === id)?.services ?? [],
      )
      const pidOf = Effect.fnUntraced(function* (program: string) {
        const pid = yield* eventually(
          `a pid of ${program} in the status`,
          Effect.map(
            statusOf,
            (services) => services.find(({ name }) => name.replace("-on-watch", "") === program)?.pid,
          ),
        )
        yield* awaitFile(`${path}/${program}.starts`, (text) => startsIn(text).find((start) => start.pid === pid))
        return pid
      })
      return [yield* pidOf("web"), yield* pidOf("ticker"), yield* pidOf("once")] as const
    })
  }
}

export interface Start {
  readonly pid: number
  readonly greeting: string
}

/** Whole lines only: the last one may still be written. */
const startsIn = (text: string): ReadonlyArray<Start> =>
  text
    .split("\n")
    .slice(0, -1)
    .map((line) => {
      const [pid = "", greeting = ""] = line.split(" ")
      return { pid: Number(pid), greeting }
    })

/** An ordinary user may be unable to look into the repository: it gets copies. */
const ordinaryProgram = (scratch: string, { gid, uid }: Identity): readonly [string, ...ReadonlyArray<string>] => {
  const [node, program] = slapgrid
  copyFileSync(node, `${scratch}/node`)
  // A module wherever it lies: the package's `type` is not there to say so.
  copyFileSync(program, `${scratch}/slapgrid.mjs`)
  const words = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--"]
  return ["setpriv", ...words, `${scratch}/node`, `${scratch}/slapgrid.mjs`]
}

/** Words that run what follows where no cgroup v2 is mounted. */
const withoutCgroups = [
  "unshare",
  "--mount",
  "--propagation",
  "private",
  "--",
  "/bin/sh",
  "-c",
  'umount --types cgroup2 --all && exec "$@"',
  "sh",
] as const

const numbers = (scratch: Scratch, count: number) =>
  Effect.succeed(Array.from({ length: count }, (_, index) => scratch.identity(index)))

/** A formatted computer; gone with everything that ran there when the Scope closes. */
export const makeNode = <Master extends TestMaster>(
  makeMaster: (scratch: Scratch, partitions: ReadonlyArray<string>) => Effect.Effect<Master, never, Scope.Scope>,
  { identities = numbers, partitions, ...options }: NodeOptions,
): Effect.Effect<TestNode<Master>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scratch = yield* makeScratch
    const users = options.isOrdinary
      ? Array.from({ length: partitions + 1 }, () => scratch.identity(0))
      : yield* identities(scratch, partitions + 1)
    const master = yield* makeMaster(scratch, partitionIds(partitions))
    const node = new TestNode(scratch, master, users, options)
    makeOwned(node.instanceRoot, 0o755, options.isOrdinary ? node.software : self())
    makeOwned(node.softwareRoot, 0o755, node.software)
    for (const partition of node.partitions) makeOwned(partition.path, 0o750, partition)
    copyRelease(`${scratch.path}/release`, node.software)
    node.configure()
    return node
  })

/** A node whose agent runs, shared by the tests of a block. */
export interface Running<Master extends TestMaster> {
  readonly node: TestNode<Master>
  readonly agent: Program
}

/** The agent runs and the test release is built. */
export const makeRunning = <Master extends TestMaster>(
  ...options: Parameters<typeof makeNode<Master>>
): Effect.Effect<Running<Master>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const node = yield* makeNode(...options)
    yield* node.master.supply(node.release)
    const agent = yield* node.startAgent
    yield* node.master.awaitReport(node.release, "available")
    return { node, agent }
  })
