// The difference between what was told to the actors and what the master wants now. Pure.
import type { DesiredPartition, DesiredSoftware } from "../domain/DesiredState.ts"

export interface Difference<Key, Wanted> {
  /** New, changed, or (when somebody asked) all. */
  readonly tell: ReadonlyArray<Wanted>
  /** Known before, and no longer named. */
  readonly gone: ReadonlyArray<Key>
}

/** `known` is what was told last; `same` says that nothing has to be told. */
export const difference = <Key, Known, Wanted>(
  known: ReadonlyMap<Key, Known>,
  wanted: ReadonlyArray<Wanted>,
  keyOf: (wanted: Wanted) => Key,
  same: (known: Known, wanted: Wanted) => boolean,
): Difference<Key, Wanted> => {
  const named = new Set(wanted.map(keyOf))
  return {
    tell: wanted.filter((one) => {
      const before = known.get(keyOf(one))
      return before === undefined || !same(before, one)
    }),
    gone: [...known.keys()].filter((key) => !named.has(key)),
  }
}

export const sameSoftware = (a: DesiredSoftware, b: DesiredSoftware): boolean => a.requested === b.requested

export const samePartition = (a: DesiredPartition, b: DesiredPartition): boolean =>
  a.requested === b.requested &&
  a.software === b.software &&
  a.timestamp === b.timestamp &&
  a.filter["retention_delay"] === b.filter["retention_delay"] &&
  // The master knows of a failure, or no longer: its text alone is no news.
  a.accessStatus?.startsWith("#error") === b.accessStatus?.startsWith("#error")
