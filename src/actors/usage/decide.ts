// When usage is reported: pure rules. A fleet that was started at once must not report at once, neither the first time
// nor when a report became due while it was off.

/** Milliseconds over which reports that are overdue at a start are spread. */
const spread = 300_000

/** Time of the next report after one at `now`; `random` is from 0 to 1. All in milliseconds since 1970. */
export const reportAfter = (now: number, interval: number, random: number): number =>
  Math.round(now + interval * (0.95 + random / 10))

/** Whether a plan can be one for this interval and by this clock. */
export const isPlausible = (planned: number, now: number, interval: number): boolean =>
  planned <= now + interval * 1.05 + 1

/** Time of the first report of an agent; `planned` is what an earlier one had in mind. */
export const firstReport = (planned: number | null, now: number, interval: number, random: number): number => {
  if (planned === null || !isPlausible(planned, now, interval)) return Math.round(now + interval * random)
  return planned > now ? planned : Math.round(now + Math.min(spread, interval / 10) * random)
}

/** Milliseconds before try number `failures + 1` to send what is sealed; `random` is from 0 to 1. */
export const sendAfter = (failures: number, random: number): number =>
  Math.min(300_000, 1000 * 2 ** Math.min(failures - 1, 10)) * (0.75 + random / 2)
