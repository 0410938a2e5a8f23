// Names that come from the master or the operator and become file names, process arguments and log lines.
// They are branded: a value of these types has passed the check below, so code behind the border need not ask again.
import * as Schema from "effect/Schema"

/** A computer's reference at its master, such as `COMP-1234`. */
export const ComputerId = Schema.String.check(
  Schema.isPattern(/^[A-Za-z0-9_][A-Za-z0-9_.+-]{0,199}$/, {
    message: "a computer id is 1 to 200 letters, digits and _ . + - and does not start with . + -",
  }),
).pipe(Schema.brand("ComputerId"))
export type ComputerId = typeof ComputerId.Type

/**
 * A computer partition's id, such as `slappart7`. It names a directory directly below `instance_root`, beside the
 * node's own `etc` and `var`, so it has to be one plain file name and none of those two.
 */
export const PartitionId = Schema.String.check(
  Schema.isPattern(/^(?!(?:etc|var)$)[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}$/, {
    message:
      "a partition id is a plain directory name (1 to 100 letters, digits and _ . -, not starting with . or -, not etc or var)",
  }),
).pipe(Schema.brand("PartitionId"))
export type PartitionId = typeof PartitionId.Type

/** A software release's URL (or absolute path of a profile): the text whose MD5 names its directory. */
export const SoftwareUrl = Schema.String.check(
  Schema.isPattern(/^[^\p{Cc}\s]{1,4000}$/u, {
    message: "a software release URL is 1 to 4000 characters without spaces and control characters",
  }),
).pipe(Schema.brand("SoftwareUrl"))
export type SoftwareUrl = typeof SoftwareUrl.Type
