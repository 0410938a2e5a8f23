// The port through which a node speaks to its master. Nothing above it sees HTTP or XML; a library user can put
// another implementation in.
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Redacted } from "effect/Redacted"
import type { DesiredState } from "../domain/DesiredState.ts"
import type { PartitionId } from "../domain/ids.ts"
import type { Report } from "../domain/Report.ts"
import type { MasterError } from "./MasterError.ts"

/** A partition's own certificate and key (PEM texts); both empty when the master gives none (slapproxy). */
export interface PartitionCertificate {
  readonly certificate: string
  readonly key: Redacted
}

export class MasterClient extends Context.Service<
  MasterClient,
  {
    /** What this computer should run. Records that cannot be used are in its `rejected`. */
    readonly desiredState: Effect.Effect<DesiredState, MasterError>
    /** Sends one report; the answer of the master carries nothing. */
    readonly report: (report: Report) => Effect.Effect<void, MasterError>
    /** Hands over a journal of usage, byte for byte: what may have arrived must be repeated as it was. */
    readonly useComputer: (journal: string) => Effect.Effect<void, MasterError>
    readonly partitionCertificate: (id: PartitionId) => Effect.Effect<PartitionCertificate, MasterError>
  }
>()("slapgrid/master/MasterClient") {}
