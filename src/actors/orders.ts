// What orders of passes need beside the registry of actors: an order that fails becomes an outcome in words, so that
// nobody waits for ever.
import * as Effect from "effect/Effect"
import type { SoftwareBuild } from "../build/SoftwareBuild.ts"
import type { PassOrder } from "../desired/Passes.ts"
import type { DesiredState } from "../domain/DesiredState.ts"
import type { PartitionId, SoftwareUrl } from "../domain/ids.ts"
import { garbage, garbageOutcome, type PassOutcome, type PromisesRest, promisesOutcome } from "../domain/Pass.ts"
import type { CheckRequest } from "../health/PartitionPromises.ts"

/** A defect in one update must not end the following of the master. */
export const tellDefect = (defect: unknown) => Effect.logError("an answer of the master could not be followed", defect)

const seeLog = "the agent failed to do it: see its log"

/** Releases that a state names in any way: a partition that has one keeps it, offered or not. */
export const releasesOf = ({ partitions, software }: DesiredState): ReadonlyArray<SoftwareUrl> => [
  ...software.map(({ url }) => url),
  ...partitions.flatMap(({ requested, software }) =>
    software === undefined || requested === "destroyed" ? [] : [software],
  ),
]

/** An order that could not be given is over at once, as a failure; the others are given. */
export const orFailed = (subject: string, settle: PassOrder["settle"]) => {
  const failed = (problem: string) => settle({ subject, result: "Failed", state: "unsupervised", problem })
  return <E extends { readonly message: string }>(
    order: Effect.Effect<Effect.Effect<void>, E>,
  ): Effect.Effect<Effect.Effect<void>> =>
    order.pipe(
      Effect.catch(({ message }) => Effect.succeed(failed(message))),
      Effect.catchDefect((defect) => Effect.as(tellDefect(defect), failed(seeLog))),
    )
}

/** Removes what is no longer named; nothing where that is not known of everything. */
export const collectGarbage = (
  collect: SoftwareBuild["Service"]["collect"],
  state: DesiredState,
  wanted: () => ReadonlyArray<SoftwareUrl>,
): Effect.Effect<PassOutcome> => {
  if (state.rejected.length > 0) {
    const problem = "the master's answer has records that cannot be used, and they may name releases"
    return Effect.succeed({ subject: garbage, result: "Failed", state: "nothing is removed", problem })
  }
  return collect(wanted).pipe(
    Effect.tap(({ removed }) =>
      Effect.forEach(removed, (path) => Effect.logInfo(`${path} is removed: the master no longer names its release`)),
    ),
    Effect.map(({ failures, removed }) => ({ removed, problems: failures.map(({ message }) => message) })),
    Effect.catch(({ message }) => Effect.succeed({ removed: [], problems: [message] })),
    Effect.catchDefect((defect) => Effect.as(tellDefect(defect), { removed: [], problems: [seeLog] })),
    Effect.map(({ problems, removed }) => garbageOutcome(removed, problems)),
  )
}

/** All promises of a partition, due or not. */
export const allOfThem: CheckRequest = { mode: "Test", isForced: true }

/** What a check says, by an actor or without one. */
export const checkPromises = (
  subject: PartitionId,
  check: Effect.Effect<PromisesRest, { readonly message: string }>,
): Effect.Effect<PassOutcome> =>
  check.pipe(
    Effect.catch(({ message }) => Effect.succeed({ failure: message, skipped: undefined, hasSome: true })),
    Effect.catchDefect((defect) =>
      Effect.as(tellDefect(defect), { failure: undefined, skipped: seeLog, hasSome: true }),
    ),
    Effect.map((rest) => promisesOutcome(subject, rest)),
  )
