// Plans for what no actor knows yet, read from the disk: for a node without an agent, and for what the master has just
// named.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { NodeConfigShape } from "../config/NodeConfig.ts"
import { readPeriodicity } from "../build/periodicity.ts"
import type { DesiredSoftware, DesiredState } from "../domain/DesiredState.ts"
import type { PartitionId } from "../domain/ids.ts"
import type { ServiceStatus, SoftwareStatus } from "../domain/NodeStatus.ts"
import type { NodePlan, PlannedPartition, PlannedSoftware } from "../domain/Plan.ts"
import { releaseDirectory } from "../files/machine.ts"
import { standingOf } from "../desired/MasterSync.ts"
import { MasterError } from "../master/MasterError.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { programFolders, programLog, programs } from "../process/service/programs.ts"
import { initialMemory, type PartitionWish } from "./partition/decide.ts"
import { readProcessed } from "./partition/processed.ts"
import { planPartition, planSoftware } from "./plan.ts"

export const planRelease = (
  { softwareRoot }: NodeConfigShape,
  desired: DesiredSoftware,
  status: SoftwareStatus | undefined,
): Effect.Effect<PlannedSoftware> =>
  OwnedDirectory.open(releaseDirectory(softwareRoot, desired.url)).pipe(
    Effect.flatMap((directory) => directory.exists(".completed")),
    Effect.orElseSucceed(() => false),
    Effect.map((isCompleted) => planSoftware(desired, status, isCompleted)),
  )

/** The programs that lie in a partition, as if none ran. */
const installedPrograms = (path: string, id: PartitionId): Effect.Effect<ReadonlyArray<ServiceStatus>> =>
  Effect.gen(function* () {
    const directory = yield* OwnedDirectory.open(path)
    const run = yield* directory.programs(programFolders.run)
    const service = yield* directory.programs(programFolders.service)
    return programs(id, directory, { run, service }).map((spec): ServiceStatus => ({
      name: spec.name,
      kind: spec.kind,
      log: programLog(spec),
      state: "stopped",
      pid: undefined,
      since: undefined,
      restarts: 0,
      lastExit: undefined,
      error: undefined,
      isHeld: false,
    }))
  }).pipe(Effect.orElseSucceed(() => []))

export const planUnknown = Effect.fnUntraced(function* (
  config: NodeConfigShape,
  wish: PartitionWish,
): Effect.fn.Return<PlannedPartition> {
  const { id, software } = wish.partition
  const path = `${config.instanceRoot}/${id}`
  const own =
    software === undefined
      ? undefined
      : yield* Effect.orElseSucceed(readPeriodicity(config.softwareRoot, software), () => undefined)
  const known = {
    memory: initialMemory(yield* readProcessed(path)),
    periods: { maximum: own ?? config.maximumPeriodicity, sync: config.syncInterval },
    services: yield* installedPrograms(path, id),
  }
  return planPartition(wish, known, yield* Clock.currentTimeMillis)
})

/** What an agent knows. */
export interface Knowledge {
  /** Of the master, now; when that is a failure, what it said `last` counts. */
  readonly answer: DesiredState | MasterError
  readonly last: DesiredState | undefined
  readonly builds: ReadonlyArray<SoftwareStatus>
  readonly nudge: number
  readonly partition: (id: PartitionId) =>
    | {
        readonly actor: { readonly plan: (wish: PartitionWish) => Effect.Effect<PlannedPartition> }
        readonly wish: PartitionWish | undefined
      }
    | undefined
}

export const planNode = Effect.fnUntraced(function* (
  config: NodeConfigShape,
  knowledge: Knowledge | { readonly answer: DesiredState },
): Effect.fn.Return<NodePlan> {
  const agent = "last" in knowledge ? knowledge : undefined
  const error = knowledge.answer instanceof MasterError ? knowledge.answer : undefined
  const state = knowledge.answer instanceof MasterError ? agent?.last : knowledge.answer
  const standing = error === undefined ? "Answers" : standingOf(error)
  const builds = new Map(agent?.builds.map((one) => [one.url, one]))
  const software = yield* Effect.forEach(state?.software ?? [], (one) => planRelease(config, one, builds.get(one.url)))
  const unbuilt = new Set(software.filter(({ action }) => action === "build").map(({ url }) => url))
  const partitions = yield* Effect.forEach(state?.partitions ?? [], (partition) => {
    const isSoftwareReady = partition.software === undefined || !unbuilt.has(partition.software)
    const known = agent?.partition(partition.id)
    const order = known?.wish?.order
    const wish: PartitionWish = { partition, isSoftwareReady, standing, nudge: agent?.nudge ?? 0, order }
    return known?.actor.plan(wish) ?? planUnknown(config, wish)
  })
  const common = { computer: config.computerId, standing, error: error?.message, isSupervised: agent !== undefined }
  return { ...common, software, partitions, rejected: state?.rejected ?? [] }
})
