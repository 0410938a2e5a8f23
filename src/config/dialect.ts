// Reads the text of a slapos.cfg exactly as Python 3's configparser.ConfigParser with its default settings does, which
// is how the reference opens it (strict: a repeated section or option is an error). The `ini` package groups and splits
// the lines; it has rules of its own for nearly every character, so configparser's line rules are resolved first and
// `armour` hands it letters and digits only. After any change run dialect.differential.test.ts, which asks python3.
import * as Result from "effect/Result"
import { parse as parseIni } from "ini"
import { DialectError, quote } from "./DialectError.ts"
import type { DialectMistake } from "./DialectError.ts"

export interface ConfigOption {
  /** Before interpolation; lines of a multi-line value are stripped and joined by `\n`. */
  readonly raw: string
  /** Where the option begins, counted from 1. */
  readonly line: number
}

/** Option names, in lower case, in the order of the file. */
export type ConfigSection = ReadonlyMap<string, ConfigOption>

export interface ConfigDocument {
  /** `[DEFAULT]`: every section has these too, unless it has its own. */
  readonly defaults: ConfigSection
  readonly sections: ReadonlyMap<string, ConfigSection>
}

export const DEFAULT_SECTION = "DEFAULT"

// str.isspace of Python: other characters than JavaScript's \s, which has U+FEFF and lacks U+001C to U+001F and U+0085.
const SPACE = String.raw`[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]`
const LEADING_SPACE = new RegExp(`^${SPACE}+`)
const ONE_SPACE = new RegExp(SPACE)

const trimEnd = (text: string): string => {
  let end = text.length
  // From the end: a pattern would begin anew at each of many blanks in the middle.
  while (end > 0 && ONE_SPACE.test(text.charAt(end - 1))) end--
  return text.slice(0, end)
}

/** Python's str.strip(). */
export const strip = (text: string): string => trimEnd(text.replace(LEADING_SPACE, ""))

interface Option {
  readonly name: string
  readonly line: number
  readonly values: Array<string>
}

interface Section {
  readonly name: string
  readonly options: Array<Option>
}

/** What the lines read so far amount to, and what the next one continues. */
interface Reader {
  readonly sections: Array<Section>
  readonly seen: Set<string>
  readonly mistakes: Array<DialectMistake>
  section: Section | undefined
  /** The option that an indented line continues. */
  option: Option | undefined
  indent: number
}

const openSection = (reader: Reader, name: string, line: number, text: string): void => {
  const key = JSON.stringify([name])
  if (name !== DEFAULT_SECTION && reader.seen.has(key)) {
    reader.mistakes.push({
      kind: "DuplicateSection",
      line,
      text,
      explanation: `section ${quote(name)} stands here a second time; merge the two`,
    })
  }
  reader.seen.add(key)
  reader.section = { name, options: [] }
  reader.option = undefined
  reader.sections.push(reader.section)
}

const openOption = (reader: Reader, section: Section, stripped: string, line: number, text: string): void => {
  const separator = stripped.search(/[=:]/)
  if (separator === -1) {
    const explanation = `${quote(stripped)} has no "=" or ":"; write "name = value", or indent it if it continues the line above`
    reader.mistakes.push({ kind: "NoSeparator", line, text, explanation })
    return
  }
  const name = trimEnd(stripped.slice(0, separator)).toLowerCase()
  if (name === "") {
    const explanation = `${quote(stripped)} has no name before its "${stripped.charAt(0)}"; write "name = value"`
    reader.mistakes.push({ kind: "NoName", line, text, explanation })
  }
  const key = JSON.stringify([section.name, name])
  if (name !== "" && reader.seen.has(key)) {
    reader.mistakes.push({
      kind: "DuplicateOption",
      line,
      text,
      explanation: `option ${quote(name)} stands a second time in [${section.name}]; remove one of the two`,
    })
  }
  reader.seen.add(key)
  const option = { name, line, values: [strip(stripped.slice(separator + 1))] }
  section.options.push(option)
  reader.option = name === "" ? undefined : option
}

/** Gives one line to the reader; false when nothing after it can make sense. */
const readLine = (reader: Reader, text: string, line: number): boolean => {
  const stripped = strip(text)
  if (stripped === "") {
    reader.option?.values.push("")
    return true
  }
  if (stripped.startsWith("#") || stripped.startsWith(";")) return true
  const indent = text.length - text.replace(LEADING_SPACE, "").length
  if (reader.option !== undefined && indent > reader.indent) {
    reader.option.values.push(stripped)
    return true
  }
  reader.indent = indent
  // Greedy, and what follows the last bracket is ignored: `[a]b] c` is the section `a]b`.
  const header = /^\[([^\n]+)\]/.exec(stripped)?.[1]
  if (header !== undefined) {
    openSection(reader, header, line, text)
  } else if (reader.section === undefined) {
    const explanation = stripped.startsWith("\ufeff")
      ? "the file begins with a byte order mark (U+FEFF); save it as UTF-8 without one"
      : `${quote(stripped)} stands before any section; put a line such as [slapos] above it`
    reader.mistakes.push({ kind: "MissingSectionHeader", line, text, explanation })
    return false
  } else {
    openOption(reader, reader.section, stripped, line, text)
  }
  return true
}

const readLines = (text: string): Reader => {
  const reader: Reader = {
    sections: [],
    seen: new Set(),
    mistakes: [],
    section: undefined,
    option: undefined,
    indent: 0,
  }
  // The line ends that Python's text files know; its other 'line boundaries' do not count there.
  const lines = text.split(/\r\n|\r|\n/)
  for (const [index, line] of lines.entries()) {
    if (!readLine(reader, line, index + 1)) break
  }
  return reader
}

const encodeWord = (text: string): string =>
  text.replaceAll(/[^A-Za-z0-9]/g, (unit) => `_${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

const decodeWord = (text: string): string =>
  text.replaceAll(/_([0-9a-f]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

// The letter in front keeps numbers from being sorted to the front, `true` from becoming a boolean and an empty name
// from vanishing. A value takes its line number along.
const armour = (sections: ReadonlyArray<Section>): string =>
  sections
    .flatMap((section) => [
      `[s${encodeWord(section.name)}]`,
      ...section.options.map((option) => {
        const value = trimEnd(option.values.join("\n"))
        return `k${encodeWord(option.name)}=${option.line}v${encodeWord(value)}`
      }),
    ])
    .join("\n")

const disarmValue = (armoured: unknown): ConfigOption => {
  const word = String(armoured)
  const end = word.indexOf("v")
  return { raw: decodeWord(word.slice(end + 1)), line: Number(word.slice(0, end)) }
}

const disarm = (armoured: string): Map<string, Map<string, ConfigOption>> => {
  const sections = new Map<string, Map<string, ConfigOption>>()
  for (const [name, options] of Object.entries<Record<string, unknown>>(parseIni(armoured))) {
    const entries = Object.entries(options).map(
      ([key, value]) => [decodeWord(key.slice(1)), disarmValue(value)] as const,
    )
    sections.set(decodeWord(name.slice(1)), new Map(entries))
  }
  return sections
}

/** Reads the text of a file; values are left as they stand, see `interpolate`. */
export const parseDialect = (text: string): Result.Result<ConfigDocument, DialectError> => {
  const { sections, mistakes } = readLines(text)
  const [first, ...others] = mistakes
  if (first !== undefined) return Result.fail(new DialectError({ mistakes: [first, ...others] }))
  const parsed = disarm(armour(sections))
  const defaults = parsed.get(DEFAULT_SECTION) ?? new Map<string, ConfigOption>()
  parsed.delete(DEFAULT_SECTION)
  return Result.succeed({ defaults, sections: parsed })
}
