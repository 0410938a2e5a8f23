// What a soak does to a node, as values that a seed makes, and what should run afterwards: a pure model of partitions
// with ten programs each, two of which are `etc/run`.
import * as fc from "fast-check"
import type { Programs } from "./prepared.ts"

export const programsPerPartition = 10
const runPrograms = 2

export type Change =
  /** The program is killed, by nobody's wish. */
  | { readonly _tag: "Kill"; readonly partition: number; readonly program: number }
  /** The program writes more than its log may hold. */
  | { readonly _tag: "Talk"; readonly partition: number; readonly program: number }
  /** The master wants the partition started or stopped. */
  | { readonly _tag: "Want"; readonly partition: number; readonly isStarted: boolean }
  /** The next processing removes the programs that are there, and adds the others; or changes those that are there. */
  | { readonly _tag: "Toggle" | "Edit"; readonly partition: number; readonly programs: ReadonlyArray<number> }

export interface Step {
  readonly change: Change
  /** Milliseconds before the next one. */
  readonly pause: number
}

/** From the start of an agent to the start of the next one. */
export interface Round {
  readonly steps: ReadonlyArray<Step>
  /** Milliseconds until the agent is killed. */
  readonly pause: number
  /** While no agent runs. */
  readonly meanwhile: ReadonlyArray<Change>
}

export interface PartitionModel {
  readonly isStarted: boolean
  readonly timestamp: number
  /** The version of each program; undefined: it is not there. */
  readonly versions: ReadonlyArray<number | undefined>
  /** `etc/run` programs that were killed for this timestamp: whether they run is nobody's promise. */
  readonly killed: ReadonlySet<number>
}

export type Model = ReadonlyArray<PartitionModel>

export const isRunProgram = (program: number): boolean => program >= programsPerPartition - runPrograms

export const placeOfProgram = (program: number): string => `${isRunProgram(program) ? "run" : "service"}/p${program}`

export const initialModel = (partitions: number): Model =>
  Array.from({ length: partitions }, () => ({
    isStarted: true,
    timestamp: 1000,
    versions: Array.from({ length: programsPerPartition }, () => 1),
    killed: new Set<number>(),
  }))

const all = Array.from({ length: programsPerPartition }, (_, program) => program)

/** Which programs of its partition a change may end or start. */
export const touchedBy = (change: Change, { isStarted }: PartitionModel): ReadonlyArray<number> => {
  switch (change._tag) {
    case "Kill":
      return [change.program]
    case "Talk":
      return []
    case "Want":
      return change.isStarted === isStarted ? [] : all
    case "Toggle":
    case "Edit":
      return change.programs
  }
}

const newVersion = (change: Change, version: number | undefined, timestamp: number): number | undefined =>
  change._tag === "Edit"
    ? version && timestamp
    : // A program that comes back is another one.
      version === undefined
      ? timestamp
      : undefined

export const changed = (partition: PartitionModel, change: Change): PartitionModel => {
  const timestamp = partition.timestamp + 1
  switch (change._tag) {
    case "Kill":
      return { ...partition, killed: new Set([...partition.killed, change.program]) }
    case "Talk":
      return partition
    case "Want":
      return { ...partition, isStarted: change.isStarted, timestamp, killed: new Set() }
    case "Toggle":
    case "Edit": {
      const versions = partition.versions.map((version, program) =>
        change.programs.includes(program) ? newVersion(change, version, timestamp) : version,
      )
      return { ...partition, versions, timestamp, killed: new Set() }
    }
  }
}

/** Whether a program runs once everything has come to rest; undefined: either. */
export const shouldRun = ({ isStarted, killed, versions }: PartitionModel, program: number): boolean | undefined =>
  isStarted && versions[program] !== undefined
    ? isRunProgram(program) && killed.has(program)
      ? undefined
      : true
    : false

/** Tells of each start, then waits for ever; SIGUSR1 has it write about 170 KB. */
const text = (program: number, version: number): string => `#!/bin/sh
# version ${version}
trap 'seq 1 30000' USR1
echo $$ >>p${program}.starts
while :; do read _; done
`

export const programsOf = ({ versions }: PartitionModel): Programs =>
  Object.fromEntries(
    versions.flatMap((version, program) =>
      version === undefined ? [] : [[placeOfProgram(program), text(program, version)]],
    ),
  )

/** Changes of what a partition has. */
export const processingOf = (partitions: number) =>
  fc.record({
    _tag: fc.constantFrom("Toggle" as const, "Edit" as const),
    partition: fc.nat(partitions - 1),
    programs: fc.uniqueArray(fc.nat(programsPerPartition - 1), { minLength: 1, maxLength: 3 }),
  })

const changes = (partitions: number): fc.Arbitrary<Change> => {
  const partition = fc.nat(partitions - 1)
  const program = fc.nat(programsPerPartition - 1)
  return fc.oneof(
    {
      weight: 5,
      arbitrary: fc.record({ _tag: fc.constantFrom("Kill" as const, "Talk" as const), partition, program }),
    },
    { weight: 2, arbitrary: fc.record({ _tag: fc.constant("Want" as const), partition, isStarted: fc.boolean() }) },
    { weight: 3, arbitrary: processingOf(partitions) },
  )
}

export const rounds = (partitions: number): fc.Arbitrary<Round> =>
  fc.record({
    steps: fc.array(fc.record({ change: changes(partitions), pause: fc.nat(60) }), { minLength: 3, maxLength: 12 }),
    pause: fc.nat(300),
    meanwhile: fc.array(changes(partitions), { maxLength: 3 }),
  })
