// What the agent and a helper (helper.py) say to each other: a line of JSON each. The helper runs a release's code, so
// nothing that it says is believed before it was checked.
import * as Schema from "effect/Schema"

/** One run of buildout. */
export interface RunRequest {
  readonly arguments: ReadonlyArray<string>
  readonly directory: string
  /** The whole environment but for what the interpreter itself adds. */
  readonly environment: Readonly<Record<string, string>>
  /** As whom; null: as the helper. */
  readonly user: { readonly uid: number; readonly gid: number; readonly groups: ReadonlyArray<number> } | null
  readonly umask: number
  /** The file that gets the output, and what proves that it is the one. */
  readonly log: { readonly path: string; readonly device: string; readonly inode: string }
}

/** What is imported before runs are forked: entry points of these requirements' eggs. */
export type Recipes = ReadonlyArray<readonly [requirement: string, entry: string]>

const Ready = Schema.Struct({ ready: Schema.Literal(true) })

/** The child that will do what was asked for waits to be let go. */
const Forked = Schema.Struct({ id: Schema.Int, pid: Schema.Int })

/** That run is over. With a `step` buildout's main was never reached. */
const End = Schema.Struct({
  end: Schema.Int,
  /** Of processor time. */
  seconds: Schema.optionalKey(Schema.Number),
  code: Schema.optionalKey(Schema.Int),
  signal: Schema.optionalKey(Schema.Int),
  step: Schema.optionalKey(Schema.String),
  why: Schema.optionalKey(Schema.NullOr(Schema.String)),
})
export type End = typeof End.Type

/** Whether recipes are imported now; if not, all is as it was. */
const Preloaded = Schema.Struct({ preloaded: Schema.Boolean, why: Schema.NullOr(Schema.String) })

export const decodeMessage = Schema.decodeUnknownResult(
  Schema.fromJsonString(Schema.Union([Ready, Forked, End, Preloaded])),
)

/** More than any message takes. */
export const maxLine = 64 * 1024
