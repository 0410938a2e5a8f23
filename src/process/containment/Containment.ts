// What keeps a partition's processes together, so that all of them can be found and ended: cgroup v2 where groups can
// be made. Elsewhere sessions, process groups and parents as /proc shows them, and the user when it is the
// partition's own; a daemon that left its session and parent is then found only as root.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schedule from "effect/Schedule"
import { NodeConfig } from "../../config/NodeConfig.ts"
import type { ContainmentKind, LimitStatus } from "../../domain/NodeStatus.ts"
import { agentPid } from "../../files/machine.ts"
import { allProcesses, type ProcessFacts } from "../procfs.ts"
import {
  childGroups,
  groupName,
  groupUsage,
  isPopulated,
  killGroup,
  makeGroup,
  memberName,
  removeGroup,
  thawNow,
  writableBase,
} from "./cgroup.ts"

import { applyLimits, enableLimits, type Limit, limitsOf } from "./limits.ts"

/** Where one program, build or script runs. */
export interface Enclosure {
  /** Directory of its cgroup, which it joins before anything else; undefined without cgroups. */
  readonly cgroup: string | undefined
  /** Limit on the number of its user's processes; set where no cgroup can hold that. */
  readonly maxProcesses?: number | undefined
  /** Kills what is left of the session that `leader` led, and everything that it started; returns when it is gone. */
  readonly end: (leader: number | undefined) => Effect.Effect<void>
}

/** A program's place among what runs for its partition; builds have one, too. */
export const programMember = (name: string): string => `program ${name}`

export interface ContainmentShape {
  readonly kind: ContainmentKind
  /** What the configuration limits, and whether that is in force. */
  readonly limits: ReadonlyArray<LimitStatus>
  /** The place of one member (a program) of an owner (a partition or a release). */
  readonly enclosure: (owner: string, member: string) => Enclosure
  /**
   * The same for a cgroup that an earlier agent made, wherever the groups were then. One that has another name than the
   * member's is not believed: whatever is in it would be killed.
   */
  readonly adopted: (owner: string, member: string, cgroup: string | undefined) => Enclosure
  /** The processes of a member whose leader is `leader`, and the microseconds it has used where a cgroup counts them. */
  readonly membersOf: (
    owner: string,
    member: string,
    leader: number,
  ) => { readonly processes: ReadonlyArray<number>; readonly processor: number | undefined }
  /**
   * Ends everything of an owner except the members named. `ownUid` gives the owner's uid when nobody else has it; only
   * asked where nothing better tells.
   */
  readonly endOwner: (
    owner: string,
    options: { readonly except: ReadonlySet<string>; readonly ownUid: () => number | undefined },
  ) => Effect.Effect<void>
}

export class Containment extends Context.Service<Containment, ContainmentShape>()("slapgrid/process/Containment") {
  static readonly layer = Layer.effect(
    Containment,
    Effect.gen(function* () {
      const { instanceRoot, partitionLimits } = yield* NodeConfig
      const base = writableBase()
      const enabled = enableLimits(base, limitsOf(partitionLimits), agentPid())
      yield* Effect.forEach(enabled, tellLimit)
      const limits = enabled.map(({ option, problem, value }) => ({ option, problem, value }))
      const inForce = enabled.flatMap(({ limit, problem }) => (problem === undefined ? [limit] : []))
      const { pids } = partitionLimits
      const maxProcesses = inForce.some(({ controller }) => controller === "pids") ? undefined : pids
      const shape = base === undefined ? bySession : byCgroup(base, instanceRoot, inForce)
      return Containment.of({
        ...shape,
        limits,
        enclosure: (owner, member) => {
          const enclosure = shape.enclosure(owner, member)
          // Releases have a path for their name, and no limits.
          return maxProcesses === undefined || owner.startsWith("/") ? enclosure : { ...enclosure, maxProcesses }
        },
      })
    }),
  )

  /** Without cgroups, whatever the machine can. */
  static readonly layerSession = Layer.sync(Containment, () => Containment.of(bySession))
}

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

/** Kills what `find` shows until it shows nothing, at most for 10 s: what the kernel holds longer, nobody can end. */
const endAll = (find: () => ReadonlyArray<ProcessFacts>): Effect.Effect<void> =>
  Effect.suspend(() => {
    const found = find()
    for (const { pid } of found) kill(pid)
    return found.length === 0 ? Effect.void : Effect.fail("alive")
  }).pipe(Effect.retry({ schedule: Schedule.spaced("10 millis"), times: 1000 }), Effect.ignore)

const kill = (pid: number): void => {
  try {
    process.kill(pid, "SIGKILL")
  } catch {
    // Gone already.
  }
}

const tellLimit = ({ option, problem, value }: LimitStatus): Effect.Effect<void> =>
  problem === undefined
    ? Effect.void
    : Effect.logWarning(
        `${option} (${value}) is not in force: ${problem}${option === "partition_pids_max" ? "; the number of processes of each partition's user is limited instead" : ""}`,
      )

const bySession: ContainmentShape = {
  kind: "session",
  limits: [],
  enclosure: () => sessionEnclosure,
  adopted: () => sessionEnclosure,
  membersOf: (_owner, _member, leader) => ({
    processes: kinOf(leader, allProcesses()).map(({ pid }) => pid),
    processor: undefined,
  }),
  endOwner: (_owner, { ownUid }) =>
    Effect.suspend(() => {
      const uid = ownUid()
      return uid === undefined
        ? Effect.void
        : endAll(() => allProcesses().filter((one) => one.uid === uid && one.state !== "Z"))
    }),
}

/** The place of a session that has no cgroup. */
export const sessionEnclosure: Enclosure = {
  cgroup: undefined,
  end: (leader) => (leader === undefined ? Effect.void : endAll(() => kinOf(leader, allProcesses()))),
}

const byCgroup = (base: string, instanceRoot: string, limits: ReadonlyArray<Limit>): ContainmentShape => {
  /** Owners whose limits are set: an earlier agent's can have been others. */
  const limited = new Set<string>()
  const enclosureAt = (cgroup: string): Enclosure => ({ cgroup, end: () => killGroup(cgroup) })
  const ownerPath = (owner: string) => `${base}/${groupName(instanceRoot, owner)}`
  const makeOwnerGroup = (owner: string) => {
    const path = ownerPath(owner)
    makeGroup(path)
    if (limited.has(owner) || owner.startsWith("/")) return
    applyLimits(path, limits)
    limited.add(owner)
  }
  return {
    kind: "cgroup",
    limits: [],
    enclosure: (owner, member) => {
      const path = `${ownerPath(owner)}/${memberName(member)}`
      try {
        makeOwnerGroup(owner)
        makeGroup(path)
        // An agent that was killed while it held the group left it frozen: nothing that joins it would ever run.
        thawNow(path)
        return enclosureAt(path)
      } catch {
        // The kernel's limit on groups, say: held together less well, but run.
        return sessionEnclosure
      }
    },
    adopted: (owner, member, cgroup) =>
      cgroup?.endsWith(`/${groupName(instanceRoot, owner)}/${memberName(member)}`) === true
        ? enclosureAt(cgroup)
        : sessionEnclosure,
    membersOf: (owner, member) => groupUsage(`${ownerPath(owner)}/${memberName(member)}`),
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
            removeGroup(path)
            limited.delete(owner)
          }),
        ),
      )
    },
  }
}
