// `slapgrid tail`: the end of a program's log. It needs no agent, only the right to look into the partition.
import * as Effect from "effect/Effect"
import { findLog, tail as tailLog } from "../process/logs/LogReader.ts"
import { configFrom } from "./configuration.ts"
import { CommandFailure, exitStatus, toFailure } from "./exit.ts"
import type { ConfigFlagValues } from "./options.ts"
import { readerLeft, show } from "./output.ts"

interface TailValues extends ConfigFlagValues {
  readonly follow: boolean
  readonly lines: number
  readonly program: string
}

export const tail = Effect.fnUntraced(function* (values: TailValues) {
  if (values.lines < 0) {
    const message = `--lines ${values.lines}: write how many lines to show, 0 or more`
    return yield* new CommandFailure({ status: exitStatus.failed, message })
  }
  const { instanceRoot } = yield* configFrom(values)
  const log = yield* findLog(instanceRoot, values.program)
  yield* tailLog(log, { lines: values.lines, isFollowing: values.follow, show }).pipe(Effect.raceFirst(readerLeft))
}, Effect.mapError(toFailure))
