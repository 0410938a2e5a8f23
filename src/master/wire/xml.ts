// A strict reader and the escaping for the small XML that SLAP uses: elements, attributes and text, UTF-8 or ASCII.
// Declarations that can make a parser fetch or expand something (document types, entities, processing instructions) are
// refused, and nesting is limited, so that everything built on a document may recurse.
import * as Result from "effect/Result"
import { WireError } from "./WireError.ts"

/** As libxml2, with which masters and recipes read these documents. */
export const maximumDepth = 256

/** What a reader of one grammar gets, in document order. An empty element is opened and closed. */
export interface XmlHandler {
  readonly open: (name: string, attributes: ReadonlyMap<string, string>) => void
  readonly text: (text: string) => void
  readonly close: (name: string) => void
}

/** Thrown by the reader and by handlers to end the reading; `readXml` turns it into a WireError with the place. */
export class XmlFault extends Error {}

/** Ends the reading of a document. */
export function fault(message: string): never {
  throw new XmlFault(message)
}

/** A piece of the document for a message: short, and nothing in it reaches a terminal raw. */
export const quote = (text: string): string => {
  const short = text.length > 40 ? `${text.slice(0, 40)}…` : text
  return JSON.stringify(short).replaceAll(/[^\x20-\x7e…]/g, (unit) => String.raw`\u${hex4(unit)}`)
}
const hex4 = (unit: string): string => unit.charCodeAt(0).toString(16).padStart(4, "0")

export const isBlank = (text: string): boolean => /^[ \t\n\r]*$/.test(text)

const illegalCharacter = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u

/** The text as ASCII, with character references for the rest; what XML cannot carry becomes U+FFFD. */
export const toAscii = (text: string): string =>
  text.replaceAll(/[^\t\n\u{20}-\u{7F}]/gu, (character) =>
    character !== "\r" && illegalCharacter.test(character) ? "&#65533;" : `&#${character.codePointAt(0)};`,
  )

/** Reads one document to its end. Time and memory are linear in its length. */
export const readXml = (source: string, handler: XmlHandler): Result.Result<void, WireError> => {
  const scanner = new Scanner(source, handler)
  try {
    scanner.run()
    return Result.succeed(undefined)
  } catch (error) {
    if (!(error instanceof XmlFault)) {
      throw error
    }
    return Result.fail(new WireError({ message: `${error.message} (${scanner.place()})` }))
  }
}

const declaration =
  /<\?xml[ \t\n]+version[ \t\n]*=[ \t\n]*["']1\.[0-9]["'](?:[ \t\n]+encoding[ \t\n]*=[ \t\n]*["']([A-Za-z0-9._-]{1,40})["'])?(?:[ \t\n]+standalone[ \t\n]*=[ \t\n]*["'](?:yes|no)["'])?[ \t\n]*\?>/y
const elementName = /[A-Za-z_][A-Za-z0-9_.:-]*/y
const attribute = /[ \t\n]+([A-Za-z_][A-Za-z0-9_.:-]*)[ \t\n]*=[ \t\n]*(?:"([^"<]*)"|'([^'<]*)')/y
const tagEnd = /[ \t\n]*(\/?)>/y
const closeTag = /<\/([A-Za-z_][A-Za-z0-9_.:-]*)[ \t\n]*>/y

class Scanner {
  readonly #source: string
  readonly #handler: XmlHandler
  readonly #open: Array<string> = []
  #at = 0
  #rootSeen = false

  constructor(source: string, handler: XmlHandler) {
    this.#source = source.includes("\r") ? source.replaceAll(/\r\n?/g, "\n") : source
    this.#handler = handler
  }

  place(): string {
    const before = this.#source.slice(0, this.#at)
    const lines = before.split("\n")
    return `line ${lines.length}, column ${(lines.at(-1) ?? "").length + 1}`
  }

  run(): void {
    const illegal = this.#source.search(illegalCharacter)
    if (illegal !== -1) {
      this.#at = illegal
      fault("a character that XML does not allow")
    }
    this.#prolog()
    while (this.#at < this.#source.length) {
      const next = this.#source.indexOf("<", this.#at)
      const end = next === -1 ? this.#source.length : next
      if (end > this.#at) {
        this.#text(this.#source.slice(this.#at, end))
        this.#at = end
      }
      if (next !== -1) {
        this.#markup()
      }
    }
    const unclosed = this.#open.at(-1)
    if (unclosed !== undefined) {
      fault(`the document ends inside <${unclosed}>`)
    }
    if (!this.#rootSeen) {
      fault("the document is empty")
    }
  }

  #prolog(): void {
    if (this.#source.startsWith("\uFEFF")) {
      this.#at = 1
    }
    const found = this.#match(declaration)
    if (found?.[1] !== undefined && !/^(?:utf-?8|us-ascii|ascii)$/i.test(found[1])) {
      fault(`encoding ${quote(found[1])} is not supported, only UTF-8`)
    }
  }

  #text(raw: string): void {
    if (this.#open.length > 0) {
      this.#handler.text(unescape(raw))
    } else if (!isBlank(raw)) {
      fault(`text outside of the document's element: ${quote(raw.trim())}`)
    }
  }

  #markup(): void {
    const second = this.#source[this.#at + 1]
    if (second === "/") {
      this.#close()
    } else if (second === "?") {
      fault("a processing instruction or a misplaced XML declaration")
    } else if (second === "!") {
      this.#declaration()
    } else {
      this.#element()
    }
  }

  #declaration(): void {
    if (this.#source.startsWith("<!--", this.#at)) {
      this.#through("<!--", "-->", "a comment")
    } else if (this.#source.startsWith("<![CDATA[", this.#at) && this.#open.length > 0) {
      this.#handler.text(this.#through("<![CDATA[", "]]>", "a CDATA section"))
    } else {
      fault("document types and entity declarations are refused")
    }
  }

  /** Moves behind `end` and gives what stood between. */
  #through(start: string, end: string, what: string): string {
    const found = this.#source.indexOf(end, this.#at + start.length)
    if (found === -1) {
      fault(`${what} without an end`)
    }
    const content = this.#source.slice(this.#at + start.length, found)
    this.#at = found + end.length
    return content
  }

  #close(): void {
    const start = this.#at
    const name = this.#match(closeTag)?.[1] ?? fault("a malformed end tag")
    const behind = this.#at
    this.#at = start
    const expected = this.#open.pop()
    if (expected !== name) {
      fault(`</${name.slice(0, 40)}> where ${expected === undefined ? "nothing is open" : `</${expected}> is due`}`)
    }
    this.#handler.close(name)
    this.#at = behind
  }

  #element(): void {
    if (this.#open.length === 0 && this.#rootSeen) {
      fault("a second element after the document's end")
    }
    if (this.#open.length >= maximumDepth) {
      fault(`elements are nested deeper than ${maximumDepth}`)
    }
    const start = this.#at
    this.#at = start + 1
    const name = this.#match(elementName)?.[0] ?? this.#malformed(start)
    const attributes = this.#attributes(name)
    const end = this.#match(tagEnd) ?? this.#malformed(start)
    const behind = this.#at
    this.#at = start
    this.#rootSeen = true
    this.#handler.open(name, attributes)
    if (end[1] === "/") {
      this.#handler.close(name)
    } else {
      this.#open.push(name)
    }
    this.#at = behind
  }

  #malformed(start: number): never {
    this.#at = start
    return fault("a malformed tag")
  }

  #attributes(element: string): ReadonlyMap<string, string> {
    let attributes: Map<string, string> | undefined
    for (let found = this.#match(attribute); found !== undefined; found = this.#match(attribute)) {
      attributes ??= new Map()
      const name = found[1] ?? ""
      if (attributes.has(name)) {
        fault(`<${element.slice(0, 40)}> has its attribute ${quote(name)} twice`)
      }
      attributes.set(name, unescape(found[2] ?? found[3] ?? ""))
    }
    return attributes ?? noAttributes
  }

  #match(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at
    const found = pattern.exec(this.#source)
    if (found === null) {
      return undefined
    }
    this.#at = pattern.lastIndex
    return found
  }
}

const noAttributes: ReadonlyMap<string, string> = new Map()

const namedCharacters: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" }

const unescape = (raw: string): string =>
  raw.includes("&") ? raw.replaceAll(/&(?:([a-zA-Z0-9#]{1,12});)?/g, (_, name?: string) => character(name)) : raw

const character = (name: string | undefined): string => {
  const numeric = /^#(?:x([0-9a-fA-F]+)|([0-9]+))$/.exec(name ?? "")
  if (numeric === null) {
    const named = name !== undefined && Object.hasOwn(namedCharacters, name) ? namedCharacters[name] : undefined
    return named ?? fault(name === undefined ? "an & that starts no entity" : `the unknown entity ${quote(name)}`)
  }
  const code = numeric[1] === undefined ? Number(numeric[2]) : Number.parseInt(numeric[1], 16)
  const text = code <= 0x10_ff_ff ? String.fromCodePoint(code) : "\0"
  return illegalCharacter.test(text) ? fault(`the character reference ${quote(name ?? "")} is not allowed`) : text
}
