// As whom something runs. Never as root: node-behaviour.md (Computer partitions).
import * as Schema from "effect/Schema"

/** As whom a process runs. */
export interface Credentials {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, the primary one included. */
  readonly groups: ReadonlyArray<number>
  /** Login name; the number as text when there is no passwd entry. */
  readonly name: string
  /** Undefined without a passwd entry. */
  readonly home: string | undefined
}

export class PrivilegeError extends Schema.TaggedError<PrivilegeError>()("PrivilegeError", {
  message: Schema.String,
}) {}

/** Why `owner` cannot be used to run something, or undefined when it can (node-behaviour.md: never as root). */
export const refusal = (owner: { readonly uid: number; readonly gid: number }, what: string): string | undefined =>
  owner.uid === 0 || owner.gid === 0
    ? `${what} belongs to uid ${owner.uid} and gid ${owner.gid}: nothing is run as root; chown it to its own user`
    : undefined
