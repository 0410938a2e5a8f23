// Which instances share an imported buildout. A single one is no worse off than before: it never waits for a helper.
// Pure.

/** A helper, running or being started. */
export interface Generation {
  /** Uids that it can become; undefined: it needs to become nobody, or they are still to be found out. */
  readonly uids: ReadonlySet<number> | undefined
  /** What the release's files were when it was started. */
  readonly stamp: string
  /** It takes no more runs. */
  readonly isRetired: boolean
}

export interface ReleaseFacts<G extends Generation> {
  /** Instances that wait for a run: their users, undefined where all are the agent's own. */
  readonly waiting: ReadonlyArray<number | undefined>
  readonly generations: ReadonlyArray<G>
  /** Files of the release with which its helper failed, as long as that counts. */
  readonly trouble: string | undefined
}

export type Choice<G> =
  | { readonly _tag: "Cold" }
  | { readonly _tag: "Use"; readonly generation: G }
  /** A new helper, also for the users of these, which it replaces. */
  | { readonly _tag: "Start"; readonly replaces: ReadonlyArray<G> }

const covers = (generation: Generation, uid: number | undefined): boolean =>
  uid === undefined || generation.uids === undefined || generation.uids.has(uid)

/** How the instance of this user runs; it is one of those that wait. */
export const choose = <G extends Generation>(
  { generations, trouble, waiting }: ReleaseFacts<G>,
  uid: number | undefined,
  stamp: string,
): Choice<G> => {
  if (trouble === stamp) return { _tag: "Cold" }
  const usable = generations.filter((one) => one.stamp === stamp && !one.isRetired)
  const generation = usable.findLast((one) => covers(one, uid))
  if (generation !== undefined) return { _tag: "Use", generation }
  const uncovered = waiting.filter((other) => !usable.some((one) => covers(one, other)))
  return uncovered.length < 2 ? { _tag: "Cold" } : { _tag: "Start", replaces: usable }
}

/** Seconds of processor time: about what a run takes that imports nothing, on a slow machine twice of it. */
const plainRun = 0.025
/** The same for what has to be gained: half of what it takes to import for all, because later helpers gain by it, too. */
const worthwhile = 0.25

/** Whether those that wait are better off when their helper imports further recipes. */
export const isWorthImporting = (facts: {
  /** Count of recipes that instances of the release use, and of those of them that the helper has imported. */
  readonly found: number
  readonly imported: number
  /** Count of instances. */
  readonly waiting: number
  /** Seconds of processor time that one of them took. */
  readonly cost: number
}): boolean =>
  facts.found > facts.imported &&
  facts.waiting > 1 &&
  facts.cost > 2 * plainRun &&
  (facts.cost - plainRun) * facts.waiting > worthwhile

/** Milliseconds for which a release whose helper failed `failures` times in a row is built without one. */
export const restAfter = (failures: number): number => Math.min(3_600_000, 30_000 * 2 ** (failures - 1))
