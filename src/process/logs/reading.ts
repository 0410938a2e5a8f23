// The pure part of reading logs: which logs a partition has, and where lines end.
const newline = 0x0a

const suffix = ".log"
const prefixOf = (partition: string): string => `.${partition}_`

/** Programs that have a log, by the names in their partition's directory. */
export const programsWithLog = (partition: string, names: ReadonlyArray<string>): ReadonlyArray<string> => {
  const prefix = prefixOf(partition)
  return names
    .filter((name) => name.startsWith(prefix) && name.endsWith(suffix) && name.length > prefix.length + suffix.length)
    .map((name) => name.slice(prefix.length, -suffix.length))
}

/** The log of a program, which can be called as supervisors call it: a service's name ends with `-on-watch` there. */
export const logNameOf = (partition: string, program: string, names: ReadonlyArray<string>): string | undefined => {
  const known = programsWithLog(partition, names)
  const found = [program, program.replace(/-on-watch$/, "")].find((name) => known.includes(name))
  return found === undefined ? undefined : `${prefixOf(partition)}${found}${suffix}`
}

/** The last `count` lines; one that has no end yet is a line. */
export const lastLines = (bytes: Uint8Array, count: number): Uint8Array => {
  if (count <= 0) return bytes.subarray(bytes.length)
  let end = bytes.at(-1) === newline ? bytes.length - 1 : bytes.length
  for (let left = count; left > 0; left--) {
    const before = end === 0 ? -1 : bytes.lastIndexOf(newline, end - 1)
    if (before < 0) return bytes
    end = before
  }
  return bytes.subarray(end + 1)
}
