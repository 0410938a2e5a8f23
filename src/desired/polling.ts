// When the master is asked: pure rules, in milliseconds. They are made for ten thousand nodes with one master, which
// must not come all at once, whatever happened to all of them at once; `npm run bench -- polling` shows what comes of them.

export interface Pace {
  /** `sync_interval`. */
  readonly syncInterval: number
  /** `maximal_delay`. */
  readonly maximalDelay: number
}

/** Before the first question of an agent. One that knows what to run starts that without asking; `random` is from 0 to 1. */
export const firstDelay = ({ maximalDelay, syncInterval }: Pace, knowsWhatToRun: boolean, random: number): number =>
  knowsWhatToRun ? random * Math.max(maximalDelay, syncInterval) : 0

/** A master whose cache is cold answers seconds later (slap-protocol.md, Transport). */
const soon = 3000
const minute = 60_000

/**
 * Until the next question, after so many failures in a row. A master in trouble is asked once more within seconds, then
 * no more often than one that is well: those that keep asking are many, and come on top of all others when it is back.
 * Where the interval is long, the pauses grow up to it.
 */
export const nextDelay = (interval: number, failures: number, random: number): number => {
  if (failures === 1) return Math.min(interval, soon) * (2 / 3 + (random * 2) / 3)
  const pause = failures === 0 ? interval : Math.min(interval, minute * 2 ** Math.min(failures - 2, 20))
  return pause * (0.9 + random / 5)
}
