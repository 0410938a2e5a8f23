// The programs of one partition. `apply` compares what is supervised with what should be and touches only the
// difference: a program whose path and content are the same keeps its process.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { ServiceStatus } from "../../domain/NodeStatus.ts"
import { type ServiceSpec, specKey } from "../../domain/ServiceSpec.ts"
import type { ServiceProcess } from "../ServiceProcess.ts"
import type { Inheritance } from "./inheritance.ts"
import type { Fork } from "./Mailbox.ts"
import { makeService, type Service, type ServiceDependencies } from "./Service.ts"

export interface ServiceGroup {
  /**
   * Makes the programs those of `specs`, old ones out first. `etc/run` programs that have ended by themselves are
   * started again only for another deployment (the master's timestamp; undefined when that is unknown). Returns when
   * each was started or could not be. Programs that were stopped by hand are started when `releases` says so: those that
   * were stopped before a processing began. Others stay down, also when they are changed.
   */
  readonly apply: (
    specs: ReadonlyArray<ServiceSpec>,
    deployment: string | undefined,
    releases?: boolean | ((name: string) => boolean),
  ) => Effect.Effect<void>
  /** Makes the programs those of `specs`, all stopped by hand; returns when they are down. */
  readonly hold: (specs: ReadonlyArray<ServiceSpec>) => Effect.Effect<void>
  /** Stops everything and returns when nothing is left. */
  readonly stopAll: Effect.Effect<void>
  readonly status: () => ReadonlyArray<ServiceStatus>
  /** The programs that have run, with the last process of each. */
  readonly processes: () => ReadonlyArray<{ readonly name: string; readonly process: ServiceProcess }>
  /** The program of that name, for an operator's hand; safe beside everything else. */
  readonly program: (name: string) => Pick<Service, "startNow" | "hold" | "signal" | "status"> | undefined
}

export interface GroupOptions {
  readonly dependencies: ServiceDependencies
  /** Ends what no program answers for, after all have stopped. */
  readonly endRest: Effect.Effect<void>
  readonly inherited: ReadonlyArray<Inherited>
}

/** A program of an earlier agent. */
export interface Inherited {
  readonly spec: ServiceSpec
  readonly inheritance: Inheritance
}

interface Member {
  readonly service: Service
  readonly scope: Scope.Closeable
}

/** What `apply` has to do, by program name. */
export interface GroupDifference {
  readonly stop: ReadonlyArray<string>
  readonly start: ReadonlyArray<ServiceSpec>
}

/** Programs of one partition that are started side by side. */
const startsAtOnce = 4

/** Changed programs stand in both lists. */
export const difference = (
  current: ReadonlyMap<string, ServiceSpec>,
  wanted: ReadonlyArray<ServiceSpec>,
): GroupDifference => {
  const byName = new Map(wanted.map((spec) => [spec.name, spec]))
  const same = (a: ServiceSpec, b: ServiceSpec | undefined) => b !== undefined && specKey(a) === specKey(b)
  return {
    stop: [...current].flatMap(([name, spec]) => (same(spec, byName.get(name)) ? [] : [name])),
    start: [...byName.values()].filter((spec) => !same(spec, current.get(spec.name))),
  }
}

/** A group with what it inherits; closing the Scope stops whatever it has then. Not for concurrent callers. */
export const makeServiceGroup = Effect.fnUntraced(function* (options: GroupOptions) {
  const members = new Map<string, Member>()
  const fork: Fork = Effect.runForkWith(yield* Effect.context())
  /** A program that is no longer wanted: a successor need not know that it has done its work. */
  const forget = (spec: ServiceSpec) => options.dependencies.remember(spec, undefined)

  const stop = (name: string) =>
    Effect.suspend(() => {
      const member = members.get(name)
      if (member === undefined) return Effect.void
      return Effect.andThen(
        Scope.close(member.scope, Exit.void),
        Effect.sync(() => members.delete(name)),
      )
    })

  /** Stops a program that is no longer wanted. */
  const drop = (name: string) =>
    Effect.suspend(() => {
      const member = members.get(name)
      return member === undefined ? Effect.void : Effect.andThen(stop(name), forget(member.service.spec))
    })

  const add = Effect.fnUntraced(function* (spec: ServiceSpec, inheritance?: Inheritance) {
    const scope = yield* Scope.make()
    const service = yield* makeService(spec, options.dependencies, fork, inheritance).pipe(Scope.provide(scope))
    members.set(spec.name, { service, scope })
    return service
  })

  const startNew = Effect.fnUntraced(function* (spec: ServiceSpec, deployment: string | undefined) {
    const service = yield* add(spec)
    yield* service.start(deployment)
  })

  const holdNew = (spec: ServiceSpec) => Effect.flatMap(add(spec), (service) => service.hold)

  const endAll = (end: (name: string) => Effect.Effect<void>) =>
    Effect.suspend(() => Effect.forEach([...members.keys()], end, { concurrency: "unbounded" })).pipe(
      Effect.andThen(Effect.suspend(() => (options.dependencies.isLeaving() ? Effect.void : options.endRest))),
    )

  const apply = Effect.fnUntraced(function* (
    specs: ReadonlyArray<ServiceSpec>,
    deployment: string | undefined,
    releases: boolean | ((name: string) => boolean) = true,
  ) {
    const isReleased = (name: string) => (typeof releases === "boolean" ? releases : releases(name))
    const stays = new Set(group.status().flatMap(({ isHeld, name }) => (isHeld && !isReleased(name) ? [name] : [])))
    const current = new Map([...members].map(([name, member]) => [name, member.service.spec]))
    const { stop: old, start } = difference(current, specs)
    yield* Effect.forEach(old, (name) => Effect.uninterruptible(drop(name)), { concurrency: "unbounded" })
    const kept = [...members.values()].map(({ service }) => service)
    yield* Effect.forEach(kept, (service) => service.start(deployment, isReleased(service.spec.name)), {
      concurrency: startsAtOnce,
    })
    // Interruptible between two: a stop does not wait for hundreds of starts.
    yield* Effect.forEach(
      start,
      (spec) => Effect.uninterruptible(stays.has(spec.name) ? holdNew(spec) : startNew(spec, deployment)),
      {
        concurrency: startsAtOnce,
      },
    )
  })

  const hold = Effect.fnUntraced(function* (specs: ReadonlyArray<ServiceSpec>) {
    const current = new Map([...members].map(([name, member]) => [name, member.service.spec]))
    const { start, stop: old } = difference(current, specs)
    yield* Effect.forEach(old, drop, { concurrency: "unbounded" })
    yield* Effect.forEach(start, (spec) => add(spec))
    yield* Effect.forEach([...members.values()], ({ service }) => service.hold, { concurrency: "unbounded" })
  }, Effect.uninterruptible)

  yield* Effect.addFinalizer(() => endAll(stop))
  yield* Effect.forEach(options.inherited, ({ inheritance, spec }) => add(spec, inheritance))
  const group: ServiceGroup = {
    apply,
    hold,
    stopAll: Effect.uninterruptible(endAll(drop)),
    status: () => [...members.values()].map((member) => member.service.status),
    processes: () =>
      [...members].flatMap(([name, { service }]) =>
        service.process === undefined ? [] : [{ name, process: service.process }],
      ),
    program: (name) => members.get(name)?.service,
  }
  return group
})
