// What keeps a partition's processes together, so that all of them can be found and ended: cgroup v2 where groups can
// be made. Elsewhere sessions, process groups and parents as /proc shows them, and the user when it is the
// partition's own, else the environment; a daemon that left its session and parent is found when its partition stops.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { PartitionId } from "../../domain/ids.ts"
import type { ContainmentKind, LimitStatus } from "../../domain/NodeStatus.ts"
import { showSize } from "../../domain/text.ts"
import { agentUid, pathExists } from "../../files/machine.ts"
import type { Launcher } from "../launcher/Launcher.ts"
import { signalGroup } from "../liveGroups.ts"
import { allProcesses, environmentOf, type ProcessFacts } from "../procfs.ts"
import {
  childGroups,
  currentGroup,
  groupName,
  isPopulated,
  killGroup,
  makeGroup,
  memberName,
  removeGroup,
  thawNow,
  writableBase,
} from "./cgroup.ts"
import { type Controller, controllersFor, enableControllers, type LimitPlan, planLimits } from "./limits.ts"
import { PartitionLimiter } from "./PartitionLimiter.ts"

/** Where one program, build or script runs. */
export interface Enclosure {
  /** Directory of its cgroup, which it joins before anything else; undefined without cgroups. */
  readonly cgroup: string | undefined
  /** The cgroup was made just now: nothing can be in it. */
  readonly isNew?: boolean
  /** Limit on the number of its user's processes; set where no cgroup can hold that. */
  readonly maxProcesses?: number | undefined
  /** Kills what is left of the session that `leader` led, and everything that it started; returns when it is gone. */
  readonly end: (leader: number | undefined) => Effect.Effect<void>
}

/** A program's place among what runs for its partition; builds have one, too. */
export const programMember = (name: string): string => `program ${name}`

export interface ContainmentShape {
  readonly kind: ContainmentKind
  /** What becomes of the limits per partition that are asked for. */
  readonly limits: ReadonlyArray<LimitStatus>
  /** From now on this owner is a partition with its limits. What runs of it already is limited, too. */
  readonly limit: (partition: PartitionId) => Effect.Effect<void>
  /** Directory of the cgroup of everything that an owner runs, there or not; undefined without cgroups. */
  readonly groupOf: (owner: string) => string | undefined
  /** The place of one member (a program) of an owner (a partition or a release). */
  readonly enclosure: (owner: string, member: string) => Enclosure
  /**
   * The same for a cgroup that an earlier agent made, wherever the groups were then. One that has another name than the
   * member's is not believed: whatever is in it would be killed.
   */
  readonly adopted: (owner: string, member: string, cgroup: string | undefined) => Enclosure
  /** Ends everything of an owner except the members named. */
  readonly endOwner: (owner: string, options: OwnerEnd) => Effect.Effect<void>
}

export interface OwnerEnd {
  /** Members that go on. */
  readonly except: ReadonlySet<string>
  /** Ends the owner's user, when nobody else has it and nothing goes on; only asked where nothing better tells. */
  readonly endUser?: () => Effect.Effect<void> | undefined
  /** Whether a process with this environment is the owner's and of none that goes on; asked where no user can be ended. */
  readonly isStray?: (environment: ReadonlySet<string>) => boolean
}

export class Containment extends Context.Service<Containment, ContainmentShape>()("slapgrid/process/Containment") {
  static readonly layer = Layer.effect(
    Containment,
    Effect.gen(function* () {
      const { instanceRoot, partitionLimits } = yield* NodeConfig
      const base = writableBase()
      const wanted = controllersFor(partitionLimits)
      const problems =
        base === undefined
          ? new Map<Controller, string>(wanted.map((controller) => [controller, "cgroup v2 cannot be used here"]))
          : enableControllers({ base, own: currentGroup() ?? base }, wanted)
      const plan = planLimits(partitionLimits, problems, agentUid() === 0)
      yield* Effect.forEach(plan.status, tellMissing)
      if (base === undefined) return Containment.of(bySession(plan))
      return Containment.of(byCgroup(base, instanceRoot, plan, yield* makeLimiter(plan)))
    }),
  )

  /** Without cgroups, whatever the machine can. */
  static readonly layerSession = Layer.sync(Containment, () => Containment.of(bySession(unlimited)))
}

const unlimited: LimitPlan = { status: [], files: [], countsMemory: false, maxProcesses: undefined }

const tellMissing = ({ heldBy, option, problem }: LimitStatus): Effect.Effect<void> =>
  problem === undefined
    ? Effect.void
    : Effect.logWarning(
        heldBy === "rlimit"
          ? `${option} limits the processes of a partition's user (RLIMIT_NPROC), not of the partition: ${problem}`
          : `${option} is not in force: ${problem}`,
      )

/** The limiter, which tells through the log. */
const makeLimiter = Effect.fnUntraced(function* (plan: LimitPlan) {
  const run = Effect.runForkWith(yield* Effect.context())
  const memory = plan.status.find(({ option }) => option === "partition_memory_max")
  const limit = memory === undefined ? "" : ` (partition_memory_max is ${showSize(memory.value)})`
  const tell = (partition: string, message: string) =>
    void run(Effect.annotateLogs(Effect.logWarning(message), { actor: `partition ${partition}` }))
  const limiter = new PartitionLimiter(plan, {
    onProblem: (partition, message) => tell(partition, `a limit of ${partition} is not in force: ${message}`),
    onOutOfMemory: (partition, killed) =>
      tell(partition, `${partition} had no memory left: the kernel killed ${killed} of its processes${limit}`),
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => limiter.close()))
  return limiter
})

/** The processes that `leader` led or started, as far as sessions, groups and parents still tell. Pure. */
export const kinOf = (leader: number, processes: ReadonlyArray<ProcessFacts>): ReadonlyArray<ProcessFacts> => {
  const kin = new Set<number>([leader])
  for (let size = 0; size !== kin.size;) {
    size = kin.size
    for (const { group, parent, pid, session } of processes) {
      if (kin.has(parent) || session === leader || group === leader) kin.add(pid)
    }
  }
  return processes.filter(({ pid, state }) => kin.has(pid) && state !== "Z")
}

/**
 * Kills what `find` shows until it shows nothing, at most for 10 s: what the kernel holds longer, nobody can end.
 * `strike` comes before each look. It kills at once what could fork its way past any list of processes, and gives whether
 * it did: only then is an empty list believed.
 */
const endAll = (find: () => ReadonlyArray<ProcessFacts>, strike: Effect.Effect<boolean>): Effect.Effect<void> =>
  Effect.flatMap(strike, (isStruck) => {
    const found = find()
    for (const { pid } of found) kill(pid)
    return isStruck && found.length === 0 ? Effect.void : Effect.fail("alive")
  }).pipe(Effect.retry(Schedule.spaced("10 millis")), Effect.timeout("10 seconds"), Effect.ignore)

/** Kills every process of a user, wherever it runs: for one whom nobody else is. */
export const endUser = (uid: number, { killUser }: Launcher["Service"]): Effect.Effect<void> =>
  endAll(
    () => allProcesses().filter((one) => one.state !== "Z" && one.uid === uid),
    // In a user namespace he may be able to stop or kill the one that is to do it: the next one comes.
    killUser(uid).pipe(Effect.timeout("1 second"), Effect.isSuccess),
  )

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // Gone already.
  }
}

const bySession = ({ maxProcesses, status }: LimitPlan): ContainmentShape => {
  const limited = new Set<string>()
  return {
    kind: "session",
    limits: status,
    limit: (partition) => Effect.sync(() => void limited.add(partition)),
    groupOf: () => undefined,
    enclosure: (owner) => (limited.has(owner) ? { ...sessionEnclosure, maxProcesses } : sessionEnclosure),
    adopted: () => sessionEnclosure,
    endOwner: (_owner, { endUser = () => undefined, isStray = () => false }) =>
      Effect.suspend(
        () =>
          endUser() ??
          endAll(
            () => allProcesses().filter((one) => one.state !== "Z" && isStray(environmentOf(one.pid))),
            Effect.succeed(true),
          ),
      ),
  }
}

/** The place of a session that has no cgroup. */
export const sessionEnclosure: Enclosure = {
  cgroup: undefined,
  end: (leader) =>
    leader === undefined
      ? Effect.void
      : endAll(
          () => kinOf(leader, allProcesses()),
          Effect.sync(() => {
            signalGroup(leader, "SIGKILL")
            return true
          }),
        ),
}

const byCgroup = (
  base: string,
  instanceRoot: string,
  { maxProcesses, status }: LimitPlan,
  limiter: PartitionLimiter,
): ContainmentShape => {
  const limited = new Set<string>()
  const enclosureAt = (cgroup: string): Enclosure => ({ cgroup, end: () => killGroup(cgroup) })
  const ownerPath = (owner: string) => `${base}/${groupName(instanceRoot, owner)}`
  const placeOf = (owner: string, member: string): Enclosure => {
    const path = `${ownerPath(owner)}/${memberName(member)}`
    try {
      // Before anything can run in it.
      if (makeGroup(ownerPath(owner)) && limited.has(owner)) limiter.apply(owner, ownerPath(owner))
      const isNew = makeGroup(path)
      // An agent that was killed while it held the group left it frozen: nothing that joins it would ever run.
      if (!isNew) thawNow(path)
      return { ...enclosureAt(path), isNew }
    } catch {
      // The kernel's limit on groups, say: held together less well, but run.
      return sessionEnclosure
    }
  }
  return {
    kind: "cgroup",
    limits: status,
    limit: (partition) =>
      Effect.sync(() => {
        limited.add(partition)
        if (pathExists(ownerPath(partition))) limiter.apply(partition, ownerPath(partition))
      }),
    groupOf: ownerPath,
    enclosure: (owner, member) =>
      limited.has(owner) ? { ...placeOf(owner, member), maxProcesses } : placeOf(owner, member),
    adopted: (owner, member, cgroup) => {
      if (cgroup?.endsWith(`/${groupName(instanceRoot, owner)}/${memberName(member)}`) !== true) return sessionEnclosure
      // As above.
      thawNow(cgroup)
      return enclosureAt(cgroup)
    },
    endOwner: (owner, { except }) => {
      const path = ownerPath(owner)
      const kept = new Set([...except].map((member) => `${path}/${memberName(member)}`))
      return Effect.suspend(() => {
        const others = childGroups(path).filter((child) => !kept.has(child) && isPopulated(child))
        return Effect.forEach(others, killGroup, { concurrency: "unbounded", discard: true })
      }).pipe(
        Effect.andThen(
          Effect.sync(() => {
            if (except.size > 0) return
            limiter.forget(owner)
            removeGroup(path)
          }),
        ),
      )
    },
  }
}
