// Runs the programs of `etc/report` of one partition as its user, each with the name of the file that it is to write
// (node-behaviour.md, Usage). They are strangers: limited in time, each and together, and ended with all they started.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import { buildEnvironment } from "../../build/environment.ts"
import type { InstanceBuild } from "../../build/InstanceBuild.ts"
import type { NodeConfigShape } from "../../config/NodeConfig.ts"
import type { PartitionId } from "../../domain/ids.ts"
import { inheritedEnvironment } from "../../files/machine.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import type { Accounts } from "../../process/Accounts.ts"
import type { Containment } from "../../process/containment/Containment.ts"
import type { Spawner } from "../../process/Spawner.ts"
import type { FailedScript, ScriptsRun } from "../../report/usage/UsageReports.ts"

/** Milliseconds for all scripts of a partition: none of them can keep the others from reporting. */
export const scriptsLimit = 300_000
const logFile = ".slapgrid/log/report.log"
/** Says that the last report of a partition was made. */
const lastFile = ".slapgrid/last-report"
const logLimit = 1024 * 1024

export interface ScriptParts {
  readonly config: NodeConfigShape
  readonly accounts: Accounts["Service"]
  readonly builder: InstanceBuild["Service"]
  readonly containment: Containment["Service"]
  readonly spawner: Spawner["Service"]
}

export class ReportScripts {
  readonly #parts: ScriptParts
  /** The scripts of a partition share one place, which is emptied before each. */
  readonly #turns = new Map<PartitionId, Semaphore.Semaphore>()

  constructor(parts: ScriptParts) {
    this.#parts = parts
  }

  /** Runs the scripts of one partition, one after the other. What keeps all of them from running is told as one failure. */
  run(partition: PartitionId): Effect.Effect<ScriptsRun> {
    return this.#inTurn(partition, false)
  }

  /** The same for a partition that is to be removed: once, however often the removal is tried. */
  runLast(partition: PartitionId): Effect.Effect<ScriptsRun> {
    return this.#inTurn(partition, true)
  }

  #inTurn(partition: PartitionId, isLast: boolean): Effect.Effect<ScriptsRun> {
    return Effect.suspend(() => {
      const turn = this.#turns.get(partition) ?? Semaphore.makeUnsafe(1)
      this.#turns.set(partition, turn)
      return turn.withPermit(this.#run(partition, isLast))
    })
  }

  #run(partition: PartitionId, isLast: boolean): Effect.Effect<ScriptsRun> {
    return Effect.gen({ self: this }, function* () {
      const directory = yield* OwnedDirectory.open(`${this.#parts.config.instanceRoot}/${partition}`)
      const wasLast = yield* directory.exists(lastFile)
      const scripts = yield* directory.programs("etc/report")
      if (scripts.length === 0 || (isLast && wasLast)) return { scripts: 0, failed: [] }
      for (const folder of ["var", "var/xml_report"]) yield* directory.makeDirectory(folder, 0o755)
      for (const folder of [".slapgrid", ".slapgrid/log"]) yield* directory.makeDirectory(folder, 0o700)
      const log = yield* directory.openLog(logFile, logLimit)
      const until = (yield* Clock.currentTimeMillis) + scriptsLimit
      const failed: Array<FailedScript> = []
      for (const { name } of scripts) {
        const ran = yield* Effect.result(this.#runOne(partition, directory, name, log, until))
        if (Result.isFailure(ran)) failed.push({ partition, script: name, message: ran.failure.message })
      }
      // A removed partition leaves nothing of it; one that is wanted again begins anew.
      if (isLast) yield* directory.write(lastFile, "", { mode: 0o600, owner: directory.owner })
      else if (wasLast) yield* directory.remove(lastFile)
      return { scripts: scripts.length, failed }
    }).pipe(
      Effect.scoped,
      Effect.catch((error) =>
        Effect.succeed(
          "reason" in error && error.reason === "NotFound"
            ? { scripts: 0, failed: [] }
            : { scripts: 0, failed: [{ partition, script: "*", message: error.message }] },
        ),
      ),
    )
  }

  #runOne(partition: PartitionId, directory: OwnedDirectory, script: string, log: number, until: number) {
    const { accounts, builder, config, containment, spawner } = this.#parts
    return Effect.gen(function* () {
      const now = yield* Clock.currentTimeMillis
      const credentials = yield* builder.credentials(directory)
      const { home = directory.path } = yield* accounts.describe(directory.owner)
      const unique = Math.floor((yield* Random.next) * 2 ** 40).toString(36)
      yield* spawner.run({
        argv: [
          `${directory.path}/etc/report/${script}`,
          `${directory.path}/var/xml_report/slapreport.${now.toString(36)}${unique}`,
        ],
        cwd: `${directory.path}/etc/report`,
        env: buildEnvironment(inheritedEnvironment(), home, config.instanceRoot),
        credentials,
        umask: 0o022,
        output: log,
        timeout: Math.max(1, until - now),
        enclosure: containment.enclosure(partition, "report"),
      })
    })
  }
}
