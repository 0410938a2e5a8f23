// What to take off a log, and where: whole blocks off its head, as fallocate(1) wants them, and the line that is cut
// goes to the backup as a whole. Backup and log, one after the other, are always a contiguous end of what was written.

const newline = 0x0a
const blank = 0x20

/** Bytes between two looks above which a service is held while its log is trimmed. */
export const floodSize = 10 * 1024 * 1024

/** Milliseconds between two looks at a log that changes, and at one that has just begun to or changes much. */
const calmDelay = 500
const busyDelay = 50
const busyGrowth = 1024 * 1024

/** Milliseconds until the next look, by what came since the last one; undefined: the log had been quiet. */
export const lookDelay = (growth: number | undefined): number =>
  growth === undefined || growth > busyGrowth ? busyDelay : calmDelay

/** Bytes to take off the head of a log: whole blocks, so that one to two blocks stay. None up to the limit. */
export const cutOf = (size: number, limit: number, block: number): number =>
  size <= limit ? 0 : Math.max(0, Math.floor((size - block) / block) * block)

/**
 * How many bytes after the cut still belong to the line that it goes through. `window` begins one byte before the cut;
 * a line that does not end within it stays cut.
 */
export const restOfLine = (window: Uint8Array): number => Math.max(0, window.indexOf(newline) - 1)

/** The part of a log that becomes its backup: never more than the limit. */
export const backupRange = (cut: number, rest: number, limit: number): readonly [from: number, to: number] => [
  Math.max(0, cut + rest - limit),
  cut + rest,
]

/** What stands in the log for the end of a line that is in the backup. */
export const blanks = (length: number): Uint8Array => new Uint8Array(length).fill(blank)

/** A log without the blanks at its head: what follows its backup. */
export const withoutBlanks = (log: Uint8Array): Uint8Array => {
  const end = log.findIndex((byte) => byte !== blank)
  // Blanks of ours end where a line ends; others are what a program wrote.
  return end > 0 && log[end] === newline ? log.subarray(end) : log
}
