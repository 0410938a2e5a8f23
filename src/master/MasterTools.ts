// The calls of slap-protocol.md (Calls a node makes) that this node's own work does without: for other programs, which
// format a computer, tell of its boot, set up its firewall or look at one partition. Whoever puts in another
// MasterClient owes none of them.
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { Redacted } from "effect/Redacted"
import type { DesiredPartition } from "../domain/DesiredState.ts"
import type { ComputerId, PartitionId } from "../domain/ids.ts"
import type { MasterError } from "./MasterError.ts"

/** A value of a document with its type: every integer is a bigint, a tuple or a set an array, None null. */
export type ParameterValue =
  | string
  | boolean
  | bigint
  | number
  | null
  | ReadonlyArray<ParameterValue>
  | { readonly [name: string]: ParameterValue }

export type Parameters = Readonly<Record<string, ParameterValue>>

/** A partition of the master, with what its instance was given and gives. Both can hold passwords. */
export interface PartitionRecord extends DesiredPartition {
  readonly guid: string | undefined
  /** The requester's own ones, and the reserved keys of slap-protocol.md (The Computer document). */
  readonly parameters: Redacted<Parameters>
  readonly connection: Redacted<Parameters>
}

export interface FormattedAddress {
  readonly address: string
  readonly netmask: string
}

export interface FormattedTap {
  readonly name: string
  readonly address?: string
  readonly netmask?: string
  readonly gateway?: string
  readonly network?: string
}

export interface FormattedPartition {
  readonly id: PartitionId
  readonly addresses: ReadonlyArray<FormattedAddress>
  readonly tap: FormattedTap
  /** What else it can do, in words of the master's. */
  readonly capabilities?: ReadonlyArray<string>
}

/** What a machine has to offer. */
export interface FormattedComputer extends FormattedAddress {
  /** All of them: the master may remove one that is not named, with everything in it. */
  readonly partitions: ReadonlyArray<FormattedPartition>
}

export interface TreeAddress {
  readonly interface: string
  readonly address: string
}

/** When and how a computer was heard of last, as its master tells people. */
export interface ComputerStatus {
  /** Starts with `#access` or `#error`. */
  readonly text: string
  /** Milliseconds since 1970; undefined when the master does not tell. */
  readonly at: number | undefined
  /** Since when it is like that, in milliseconds since 1970. */
  readonly since: number | undefined
  /** The master has not heard of it at all. */
  readonly isUnheard: boolean
}

export class MasterTools extends Context.Service<
  MasterTools,
  {
    readonly computer: ComputerId
    /** `registerComputerPartition`: one partition as it is wanted now. `InvalidAnswer` when its record is of no use. */
    readonly partition: (id: PartitionId) => Effect.Effect<PartitionRecord, MasterError>
    /** `loadComputerConfigurationFromXML`: what `slapos node format` sends. */
    readonly format: (computer: FormattedComputer) => Effect.Effect<void, MasterError>
    /** `computerBang`: everything on this computer is to be processed again, as after a boot. */
    readonly bang: (message: string) => Effect.Effect<void, MasterError>
    /** `softwareInstanceError` of a shared instance that a partition serves. The cause stands at the end of `log`. */
    readonly sharedInstanceError: (
      id: PartitionId,
      shared: { readonly reference: string; readonly log: string },
    ) => Effect.Effect<void, MasterError>
    /**
     * `getHostingSubscriptionIpList`: the addresses of the whole instance tree of a partition, for its firewall.
     * `NotFound` from masters that lack it (slapproxy).
     */
    readonly treeAddresses: (id: PartitionId) => Effect.Effect<ReadonlyArray<TreeAddress>, MasterError>
    /** `getComputerStatus`; undefined from a master that has none. */
    readonly computerStatus: Effect.Effect<ComputerStatus | undefined, MasterError>
    /** `getHateoasUrl`: where the master's interface for people's programs is; undefined from a master that has none. */
    readonly hateoasUrl: Effect.Effect<string | undefined, MasterError>
    /** `getRunId`: another one after each start of the master; undefined from all but slapproxy. */
    readonly runId: Effect.Effect<string | undefined, MasterError>
  }
>()("slapgrid/master/MasterTools") {}
