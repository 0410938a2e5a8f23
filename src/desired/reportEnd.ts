// What a report pass tells about usage, and its exit status: pure rules.
import type { PartitionId } from "../domain/ids.ts"
import { type PassEvent, type PassOutcome, passStatus } from "../domain/Pass.ts"
import type { ScriptsRun, UsageOutcome } from "../report/usage/UsageReports.ts"

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`

/** How the scripts of a partition did. */
export const scriptsOutcome = (subject: PartitionId, { failed, scripts }: ScriptsRun): PassOutcome => {
  const [first] = failed
  if (first === undefined) {
    const state = scripts === 0 ? "nothing to run" : `${counted(scripts, "report script")} ran`
    return { subject, result: "Done", state, problem: undefined }
  }
  // One failure for all of them: none was begun.
  if (scripts === 0) return { subject, result: "Failed", state: "report scripts could not run", problem: first.message }
  const state = `${failed.length} of ${counted(scripts, "report script")} failed`
  const problem = failed.map(({ message, script }) => `${script}: ${message}`).join("\n")
  return { subject, result: "Failed", state, problem }
}

/** Files that are no reports: somebody has to look at each. */
export const invalidOutcomes = ({ invalid }: UsageOutcome): ReadonlyArray<PassOutcome> =>
  invalid.map(({ path, reason }) => ({
    subject: path,
    result: "Failed",
    state: "no usage report, left where it is",
    problem: reason,
  }))

/** `away` says why it is not known what partitions the master has, if that is so. */
export const reportEnd = (outcome: UsageOutcome, away: string | undefined): Extract<PassEvent, { _tag: "Ended" }> => {
  const { error, failed, invalid, isMasterAway, pending, reports, sent } = outcome
  const refused = pending.filter((journal) => journal.state === "acknowledged" || !isMasterAway)
  const isFailed = failed.length > 0 || invalid.length > 0 || error !== undefined || refused.length > 0
  const isAway = isMasterAway || away !== undefined
  const lines = [
    `${counted(reports, "report")} collected, ${counted(sent, "journal")} sent`,
    ...(failed.length > 0 ? [`${counted(failed.length, "report script")} failed`] : []),
    ...(invalid.length > 0
      ? [invalid.length === 1 ? "1 file is no usage report" : `${invalid.length} files are no usage reports`]
      : []),
    ...(error === undefined ? [] : [`reports cannot be kept: ${error}`]),
    ...(refused.length > 0 ? [`${counted(refused.length, "journal")} kept: ${refused[0]?.error ?? "not sent"}`] : []),
    ...(isMasterAway && pending.length > 0
      ? [`the master is away or refuses this computer: ${counted(pending.length, "journal")} kept and sent later`]
      : []),
    ...(away === undefined ? [] : [away]),
  ]
  const status = isFailed ? passStatus.failed : isAway ? passStatus.masterAway : passStatus.done
  return { _tag: "Ended", status, message: lines.join("\n") }
}
