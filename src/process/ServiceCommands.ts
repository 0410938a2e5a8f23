// An operator's hand on single programs, beside whatever the partitions' actors do with them.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as os from "node:os"
import { PartitionServices } from "./PartitionServices.ts"
import { parseSignal, resolveTargets, type ServiceCommand, type ServiceOutcome } from "./service/commands.ts"

/** Nothing was done: what is wrong with the command, in words. */
export class CommandRefused extends Schema.TaggedError<CommandRefused>()("CommandRefused", {
  message: Schema.String,
}) {}

export class ServiceCommands extends Context.Service<
  ServiceCommands,
  {
    /** Carries a command out on all programs that it names, side by side, or on none when one of them is unknown. */
    readonly run: (command: ServiceCommand) => Effect.Effect<ReadonlyArray<ServiceOutcome>, CommandRefused>
  }
>()("slapgrid/process/ServiceCommands") {
  static readonly layer = Layer.effect(
    ServiceCommands,
    Effect.gen(function* () {
      const { groups } = yield* PartitionServices

      const run = Effect.fnUntraced(function* (command: ServiceCommand) {
        const known = new Map([...groups].map(([id, group]) => [id, group.status().map(({ name }) => name)]))
        const { problems, programs } = resolveTargets(command.targets, known)
        const signal = command.signal === undefined ? undefined : parseSignal(command.signal, os.constants.signals)
        if (command.action === "signal" && signal === undefined) {
          const message = `there is no signal ${command.signal ?? ""}: write a name such as HUP or SIGHUP, or its number`
          return yield* new CommandRefused({ message: [message, ...problems].join("\n") })
        }
        if (problems.length > 0) return yield* new CommandRefused({ message: problems.join("\n") })

        const carryOut = Effect.fnUntraced(function* (target: (typeof programs)[number]) {
          const service = groups.get(target.partition)?.program(target.program)
          if (service === undefined) return { ...target, status: undefined, problem: "it is gone" }
          let problem: string | undefined
          if (command.action === "stop" || command.action === "restart") yield* service.hold
          if (command.action === "start" || command.action === "restart") yield* service.startNow
          if (command.action === "signal" && !(yield* service.signal(signal as NodeJS.Signals))) {
            problem = "it does not run"
          }
          return { ...target, status: service.status, problem }
        })
        return yield* Effect.forEach(programs, carryOut, { concurrency: "unbounded" })
      })
      return ServiceCommands.of({ run })
    }),
  )
}
