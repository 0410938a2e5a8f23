// The programs of one partition. `apply` compares what is supervised with what should be and touches only the
// difference: a program whose path and content are the same keeps its process.
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { ServiceStatus } from "../../domain/NodeStatus.ts"
import { type ServiceSpec, specKey } from "../../domain/ServiceSpec.ts"
import { makeService, type Service, type ServiceDependencies } from "./Service.ts"

export interface ServiceGroup {
  /**
   * Makes the programs those of `specs`, old ones out first. `etc/run` programs that have ended by themselves are
   * started again only with `restartEnded` (a new deployment).
   */
  readonly apply: (specs: ReadonlyArray<ServiceSpec>, restartEnded: boolean) => Effect.Effect<void>
  /** Stops everything and returns when nothing is left. */
  readonly stopAll: Effect.Effect<void>
  readonly status: () => ReadonlyArray<ServiceStatus>
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

/** A group without programs; closing the Scope stops whatever it has then. Not for concurrent callers. */
export const makeServiceGroup = Effect.fnUntraced(function* (
  dependenciesOf: (spec: ServiceSpec) => ServiceDependencies,
) {
  const members = new Map<string, Member>()

  const stop = (name: string) =>
    Effect.suspend(() => {
      const member = members.get(name)
      if (member === undefined) return Effect.void
      return Effect.andThen(
        Scope.close(member.scope, Exit.void),
        Effect.sync(() => members.delete(name)),
      )
    })

  const add = Effect.fnUntraced(function* (spec: ServiceSpec) {
    const scope = yield* Scope.make()
    const service = yield* makeService(spec, dependenciesOf(spec)).pipe(Scope.provide(scope))
    members.set(spec.name, { service, scope })
    yield* service.start
    // A spawn blocks the event loop for milliseconds: let others in between.
    yield* Effect.yieldNow
  })

  const stopAll = Effect.suspend(() => Effect.forEach([...members.keys()], stop, { concurrency: "unbounded" })).pipe(
    Effect.asVoid,
  )

  const apply = Effect.fnUntraced(function* (specs: ReadonlyArray<ServiceSpec>, restartEnded: boolean) {
    const current = new Map([...members].map(([name, member]) => [name, member.service.spec]))
    const { stop: old, start } = difference(current, specs)
    yield* Effect.forEach(old, stop, { concurrency: "unbounded" })
    if (restartEnded) yield* Effect.forEach(members.values(), (member) => member.service.start)
    yield* Effect.forEach(start, add)
  }, Effect.uninterruptible)

  yield* Effect.addFinalizer(() => stopAll)
  const group: ServiceGroup = {
    apply,
    stopAll: Effect.uninterruptible(stopAll),
    status: () => [...members.values()].map((member) => member.service.status),
  }
  return group
})
