// `%(name)s` and `%%` in the values of a slapos.cfg, as Python's BasicInterpolation resolves them: late, one option at
// a time, so that a mistake in another tool's section is no concern of ours.
import * as Result from "effect/Result"
import { DEFAULT_SECTION } from "./dialect.ts"
import type { ConfigDocument, ConfigOption, ConfigSection } from "./dialect.ts"
import { DialectError, quote } from "./DialectError.ts"
import type { DialectMistakeKind } from "./DialectError.ts"

const MAXIMAL_DEPTH = 10

const NO_OPTIONS: ConfigSection = new Map()

const ownOptions = (document: ConfigDocument, section: string): ConfigSection =>
  section === DEFAULT_SECTION ? document.defaults : (document.sections.get(section) ?? NO_OPTIONS)

const lookup = (document: ConfigDocument, section: string, name: string): ConfigOption | undefined =>
  ownOptions(document, section).get(name) ?? document.defaults.get(name)

type Mistake = { readonly kind: DialectMistakeKind; readonly explanation: string }

const resolve = (
  raw: string,
  find: (name: string) => string | undefined,
  depth: number,
): Result.Result<string, Mistake> => {
  if (depth > MAXIMAL_DEPTH) {
    const explanation = `refers to itself, or through more than ${MAXIMAL_DEPTH} other options; write the value out`
    return Result.fail({ kind: "InterpolationDepth", explanation })
  }
  let resolved = ""
  let rest = raw
  while (rest !== "") {
    const percent = rest.indexOf("%")
    if (percent === -1) return Result.succeed(resolved + rest)
    resolved += rest.slice(0, percent)
    rest = rest.slice(percent)
    if (rest.startsWith("%%")) {
      resolved += "%"
      rest = rest.slice(2)
      continue
    }
    const reference = /^%\(([^)]+)\)s/.exec(rest)
    if (reference === null) {
      const explanation = `has a single "%" at ${quote(rest)}; write "%%" for a percent sign or "%(name)s" for another option's value`
      return Result.fail({ kind: "InterpolationSyntax", explanation })
    }
    const name = (reference[1] ?? "").toLowerCase()
    const value = find(name)
    if (value === undefined) {
      const explanation = `refers to ${quote(name)}, which neither its section nor [${DEFAULT_SECTION}] has; add that option or write "%%(${name})s"`
      return Result.fail({ kind: "InterpolationMissingOption", explanation })
    }
    const inner: Result.Result<string, Mistake> = value.includes("%")
      ? resolve(value, find, depth + 1)
      : Result.succeed(value)
    if (Result.isFailure(inner)) return inner
    resolved += inner.success
    rest = rest.slice(reference[0].length)
  }
  return Result.succeed(resolved)
}

/** The value of an option of a section or of `[DEFAULT]`; undefined when neither has it. `name` is in lower case. */
export const interpolate = (
  document: ConfigDocument,
  section: string,
  name: string,
): Result.Result<string | undefined, DialectError> => {
  const option = lookup(document, section, name)
  if (option === undefined) return Result.succeed(undefined)
  const resolved = resolve(option.raw, (other) => lookup(document, section, other)?.raw, 1)
  return Result.mapError(
    resolved,
    ({ kind, explanation }) =>
      new DialectError({
        mistakes: [
          { kind, line: option.line, text: option.raw, explanation: `the value ${quote(option.raw)} ${explanation}` },
        ],
      }),
  )
}
