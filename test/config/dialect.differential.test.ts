// Our reading of slapos.cfg against python3's configparser, on generated texts (fixed seeds, so every run sees the
// same) and on a full file. One python process answers for all texts.
import { spawnSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { join } from "node:path"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import { fuzz } from "../support/fuzz.ts"
import { parseDialect } from "../../src/config/dialect.ts"
import type { ConfigDocument } from "../../src/config/dialect.ts"
import type { DialectError } from "../../src/config/DialectError.ts"
import { interpolate } from "../../src/config/interpolation.ts"

type Outcome = { readonly value: string } | { readonly error: string }
type Option = readonly [name: string, raw: string, outcome: Outcome]
interface Parsed {
  readonly defaults: ReadonlyArray<Option>
  readonly sections: ReadonlyArray<readonly [name: string, options: ReadonlyArray<Option>]>
}
type Answer = Parsed | { readonly error: string; readonly lines: ReadonlyArray<number> }

const askPython = (texts: ReadonlyArray<string>): ReadonlyArray<Answer> => {
  const oracle = join(import.meta.dirname, "configparser_oracle.py")
  const run = spawnSync("/usr/bin/python3", ["-I", "-S", oracle], {
    input: texts.map((text) => `${toAscii(JSON.stringify(text))}\n`).join(""),
    encoding: "utf8",
    maxBuffer: 2 ** 28,
  })
  expect(run.stderr).toBe("")
  const answers: ReadonlyArray<Answer> = run.stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line))
  expect(answers).toHaveLength(texts.length)
  return answers
}

// Python reads its standard input in the locale's encoding.
const toAscii = (json: string): string =>
  json.replaceAll(/[^\x20-\x7e]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

const outcomeOf = (document: ConfigDocument, section: string, name: string): Outcome =>
  Result.match(interpolate(document, section, name), {
    onFailure: (error) => ({ error: error.mistakes[0].kind }),
    onSuccess: (value) => ({ value: value ?? "no such option" }),
  })

const describeDocument = (document: ConfigDocument): Parsed => {
  // items() of configparser: the defaults first, each overridden in its place.
  const options = (section: string, own: ConfigDocument["defaults"]): ReadonlyArray<Option> =>
    [...new Map([...document.defaults, ...own])].map(([name, { raw }]) => [
      name,
      raw,
      outcomeOf(document, section, name),
    ])
  return {
    defaults: options("DEFAULT", document.defaults),
    sections: [...document.sections].map(([name, own]) => [name, options(name, own)]),
  }
}

// configparser stops at the first repetition, and gathers lines without a separator or a name until the end; we gather
// all, so its answer has to be a beginning of ours. Two lines without a name are a repetition for it.
const describeError = ({ mistakes }: DialectError, python: Answer): Answer => {
  const isParsing = (kind: string) => kind === "NoSeparator" || kind === "NoName"
  const stop = "error" in python && python.error !== "Parsing" ? python.lines[0] : undefined
  const last = mistakes.find((mistake) => mistake.line === stop)
  const before = mistakes.slice(0, last === undefined ? 0 : mistakes.indexOf(last))
  if (last !== undefined && before.every((mistake) => isParsing(mistake.kind))) {
    return { error: last.kind === "NoName" ? "DuplicateOption" : last.kind, lines: [last.line] }
  }
  return {
    error: mistakes.find((mistake) => !isParsing(mistake.kind))?.kind ?? "Parsing",
    lines: mistakes.map((mistake) => mistake.line),
  }
}

const compare = (texts: ReadonlyArray<string>): { readonly parsed: number; readonly errors: Set<string> } => {
  const answers = askPython(texts)
  const errors = new Set<string>()
  let parsed = 0
  for (const [index, text] of texts.entries()) {
    const python = answers[index]!
    const result = parseDialect(text)
    const ours = Result.isSuccess(result) ? describeDocument(result.success) : describeError(result.failure, python)
    expect({ text, ...ours }).toStrictEqual({ text, ...python })
    if ("error" in python) errors.add(python.error)
    else {
      parsed += 1
      for (const [, options] of [["", python.defaults] as const, ...python.sections]) {
        for (const [, , outcome] of options) if ("error" in outcome) errors.add(outcome.error)
      }
    }
  }
  return { parsed, errors }
}

const plainNames = ["key", "KEY", "other", "Computer_ID", "a.b", "a b", "-1", "1", "0", "true", "É", "\u0130x"]
const trapNames = [
  "key[]",
  "__proto__",
  "constructor",
  "'q'",
  '"dq"',
  "k\\;ey",
  "k#ey",
  "k;ey",
  "[key",
  "\ufeffk",
  "%(x)s",
]
const names = [...plainNames, ...trapNames]
const plainSections = [
  "slapos",
  "networkcache",
  "manager:prerm",
  "a.b",
  "a.b.c",
  "a",
  "DEFAULT",
  "default",
  "1",
  "é\u00a0",
]
const trapSections = [
  "__proto__",
  "constructor",
  "true",
  " x ",
  "a]b",
  "]",
  "x = y",
  "#no",
  ";no",
  '"dq"',
  "'q'",
  "a\\.b",
]
const sections = [...plainSections, ...trapSections]
const plainPieces = [
  "value",
  "v",
  "_0041",
  "true",
  "false",
  "null",
  "1e3",
  "é",
  "\u{1f600}",
  "{}",
  "${a:b}",
  "[slapos]",
]
const marks = ['"', "'", "=", ":", " = ", ";", " ; x", "#", " # x", "[", "]", "\\", "\\n", "\\;", "\\#", "\0", "\ud800"]
const spaces = [
  "  ",
  "\t",
  "\u00a0",
  "\ufeff",
  "\u0085",
  "\u001c",
  "\u001f",
  "\u2028",
  "\u3000",
  "\u000b",
  "\f",
  "\u200b",
]
const references = ["%(key)s", "%(KEY)s", "%(other)s", "%(a.b)s", "%(missing)s", "%(__proto__)s", "%(constructor)s"]
const percents = ["%%", "%", "%()s", "%(key", "%(key)d", "%%(key)s"]
const pieces = [...plainPieces, ...marks, ...spaces, ...references, ...percents]
const space = fc.constantFrom("", "", "", " ", "  ", "\t", "\u00a0", "\u001d", "\ufeff", "\u0085")
const indent = fc.constantFrom(" ", "  ", "\t", "    ", "\u2003", "\u001e ")
const eol = fc.constantFrom("\n", "\n", "\n", "\n", "\r\n", "\r", "\n\n", "\n \n", "\n\t\n  \n")
const name = fc.constantFrom(...names)
const value = fc.array(fc.constantFrom(...pieces), { maxLength: 5 }).map((some) => some.join(""))
const joined = (...parts: ReadonlyArray<fc.Arbitrary<string>>): fc.Arbitrary<string> =>
  fc.tuple(...parts).map((texts) => texts.join(""))

const comment = joined(space, fc.constantFrom("#", ";", "#;", "; [slapos]", "# key = value"), value, eol)
const optionOf = (key: string): fc.Arbitrary<string> =>
  joined(fc.constant(key), space, fc.constantFrom("=", ":", "==", "::", "=:"), space, value, space, eol)
const continuation = joined(indent, space, value, space, eol)
const body = fc
  .array(fc.oneof(continuation, continuation, comment, eol), { maxLength: 3 })
  .map((lines) => lines.join(""))

/** Texts without repetitions, so that many of them can be read. */
const tame = fc
  .uniqueArray(fc.constantFrom(...sections), { minLength: 1, maxLength: 4 })
  .chain((chosen) =>
    fc.tuple(
      ...chosen.map((section) =>
        fc
          .uniqueArray(name, { maxLength: 5, selector: (key) => key.toLowerCase() })
          .chain((keys) =>
            joined(fc.constant(`[${section}]`), space, eol, ...keys.map((key) => joined(optionOf(key), body))),
          ),
      ),
    ),
  )
  .map((blocks) => blocks.join(""))

/** Lines in any order. */
const wild = fc
  .array(
    fc.oneof(
      {
        weight: 2,
        arbitrary: joined(
          space,
          fc.constantFrom(...sections).map((section) => `[${section}]`),
          value,
          eol,
        ),
      },
      { weight: 4, arbitrary: joined(space, name.chain(optionOf)) },
      { weight: 3, arbitrary: continuation },
      { weight: 1, arbitrary: comment },
      { weight: 1, arbitrary: joined(value, eol) },
      { weight: 1, arbitrary: eol },
    ),
    { maxLength: 9 },
  )
  .map((lines) => lines.join(""))

describe("the dialect of slapos.cfg is that of configparser", () => {
  it("on texts without repeated names", () => {
    const { parsed, errors } = compare(fc.sample(tame, fuzz(20_240_611, 3000)))
    expect(parsed).toBeGreaterThan(1500)
    for (const kind of ["InterpolationDepth", "InterpolationMissingOption", "InterpolationSyntax", "Parsing"]) {
      expect(errors).toContain(kind)
    }
  })

  it("on lines in any order", () => {
    const texts = fc.sample(wild, fuzz(1_984, 3000))
    const rooted = fc.sample(wild, fuzz(77, 3000)).map((text) => `[slapos]\n${text}`)
    const { parsed, errors } = compare([...texts, ...rooted])
    expect(parsed).toBeGreaterThan(600)
    expect([...errors].sort()).toStrictEqual([
      "DuplicateOption",
      "DuplicateSection",
      "InterpolationDepth",
      "InterpolationMissingOption",
      "InterpolationSyntax",
      "MissingSectionHeader",
      "Parsing",
    ])
  })

  it("on a node's whole file, with each kind of line end", () => {
    const text = readFileSync(join(import.meta.dirname, "fixtures/slapos.cfg"), "utf8")
    const { parsed } = compare([text, text.replaceAll("\n", "\r\n"), text.replaceAll("\n", "\r"), `\ufeff${text}`])
    expect(parsed).toBe(3)
  })

  it("on references that are exactly as deep as allowed, and one deeper", () => {
    const chain = (depth: number) =>
      ["[s]", ...Array.from({ length: depth }, (_, index) => `a${index} = %(a${index + 1})s`), `a${depth} = %%`].join(
        "\n",
      )
    expect([...compare([chain(8), chain(9), chain(10), chain(11)]).errors]).toStrictEqual(["InterpolationDepth"])
  })
})
