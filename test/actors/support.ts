// What the tests of actors share: a master, an outbox and a status board around whatever is tested.
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { NodeConfig, type NodeConfigShape } from "../../src/config/NodeConfig.ts"
import type { DesiredState } from "../../src/domain/DesiredState.ts"
import type { PartitionId } from "../../src/domain/ids.ts"
import type { Report } from "../../src/domain/Report.ts"
import { MasterClient, type PartitionCertificate } from "../../src/master/MasterClient.ts"
import { MasterError } from "../../src/master/MasterError.ts"
import { Outbox } from "../../src/report/Outbox.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import { Calls } from "../support/Calls.ts"

/** A master in the test's hands; it takes every report until told otherwise. */
export class ScriptedClient {
  readonly states = new Calls<undefined, DesiredState, MasterError>()
  readonly reports = new Calls<Report, void, MasterError>(() => Effect.void)
  readonly journals = new Calls<string, void, MasterError>(() => Effect.void)
  readonly certificates = new Calls<PartitionId, PartitionCertificate, MasterError>(() =>
    Effect.succeed({ certificate: "CERT", key: Redacted.make("KEY") }),
  )

  /** The states that were reported of whatever, in order. */
  get told(): ReadonlyArray<string> {
    return this.reports.inputs.map((report) => ("state" in report ? report.state : report._tag.toLowerCase()))
  }

  get client(): MasterClient["Service"] {
    return MasterClient.of({
      desiredState: Effect.suspend(() => this.states.call(undefined)),
      report: this.reports.call,
      useComputer: this.journals.call,
      partitionCertificate: this.certificates.call,
    })
  }

  /** The client, an outbox and a board that use it, and the configuration. */
  layer(config: NodeConfigShape) {
    return Layer.provideMerge(Outbox.layer, StatusBoard.layer).pipe(
      Layer.provideMerge(Layer.succeed(MasterClient, this.client)),
      Layer.provideMerge(Layer.succeed(NodeConfig, config)),
    )
  }
}

export const unreachable = new MasterError({
  method: "m",
  reason: "Unreachable",
  status: undefined,
  message: "the master is away",
})
