// What an operator can tell single programs, and how their names are understood. Pure.
import * as Schema from "effect/Schema"
import type { ServiceStatus } from "../../domain/NodeStatus.ts"

export const ServiceCommand = Schema.Struct({
  action: Schema.Literals(["start", "stop", "restart", "signal"]),
  /** For `signal`: its name, such as `SIGHUP`. */
  signal: Schema.optional(Schema.String),
  /** `PARTITION` or `PARTITION:PROGRAM`; a service's name can go without `-on-watch`. */
  targets: Schema.NonEmptyArray(Schema.String),
})
export type ServiceCommand = typeof ServiceCommand.Type

export interface ServiceTarget<Partition extends string = string> {
  readonly partition: Partition
  readonly program: string
}

/** What became of a program. */
export interface ServiceOutcome extends ServiceTarget {
  readonly status: ServiceStatus | undefined
  /** Why the command could not be carried out. */
  readonly problem: string | undefined
}

const listed = (names: ReadonlyArray<string>): string => (names.length === 0 ? "none" : names.join(", "))

/** The programs that the targets name, each once, and everything that is wrong with the targets. */
export const resolveTargets = <Partition extends string>(
  targets: ReadonlyArray<string>,
  known: ReadonlyMap<Partition, ReadonlyArray<string>>,
): { readonly programs: ReadonlyArray<ServiceTarget<Partition>>; readonly problems: ReadonlyArray<string> } => {
  const programs = new Map<string, ServiceTarget<Partition>>()
  const problems: Array<string> = []
  for (const target of new Set(targets)) {
    const [id = "", name, ...others] = target.split(":")
    const found = [...known].find(([partition]) => partition === id)
    if (others.length > 0 || name === "") {
      problems.push(`${target} names no program: write PARTITION or PARTITION:PROGRAM, such as slappart0:web`)
    } else if (found === undefined) {
      problems.push(`there is no partition ${id}; there are: ${listed([...known.keys()].sort())}`)
    } else {
      const [partition, names] = found
      const wanted = name === undefined ? names : names.filter((one) => one === name || one === `${name}-on-watch`)
      if (wanted.length === 0) {
        problems.push(
          name === undefined
            ? `${partition} has no programs now`
            : `${partition} has no program ${name}; it has: ${listed(names.toSorted())}`,
        )
      }
      for (const program of wanted) programs.set(`${partition}:${program}`, { partition, program })
    }
  }
  return { programs: [...programs.values()], problems }
}

/** The name of a signal from `HUP`, `SIGHUP` or its number, as `signals` has them; undefined for none. */
export const parseSignal = (text: string, signals: Readonly<Record<string, number>>): string | undefined => {
  const name = text.toUpperCase().replace(/^(?!SIG)/, "SIG")
  if (Object.hasOwn(signals, name)) return name
  return /^\d+$/.test(text) ? Object.entries(signals).find(([, number]) => number === Number(text))?.[0] : undefined
}
