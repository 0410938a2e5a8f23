// Everything that is wrong with a node's configuration, told at once: an operator should not have to start the node
// five times to learn of five mistakes.
import * as Schema from "effect/Schema"

export const ConfigProblem = Schema.Struct({
  /** The option's name, or `configuration file`. */
  option: Schema.String,
  /** Where its value came from: `/path/slapos.cfg:12 [slapos]`, `--master-url`, `default`, or `not set`. */
  source: Schema.String,
  /** What is wrong and what to do; one line, to be read after the option's name. */
  problem: Schema.String,
})
export type ConfigProblem = typeof ConfigProblem.Type

export class ConfigError extends Schema.TaggedError<ConfigError>()("ConfigError", {
  problems: Schema.NonEmptyArray(ConfigProblem),
}) {
  override get message(): string {
    const count = this.problems.length === 1 ? "one problem" : `${this.problems.length} problems`
    const lines = this.problems.map(({ option, source, problem }) => `  ${option} (${source}): ${problem}`)
    return [`The configuration cannot be used, ${count}:`, ...lines].join("\n")
  }
}
