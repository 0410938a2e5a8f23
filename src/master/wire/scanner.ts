// The scanner of the small XML (xml.ts). Strict, linear in time and memory, and fast without regular expressions where
// documents are long: tags and texts. Nothing is expanded but the five entities that XML itself has.
import * as Result from "effect/Result"
import { WireError } from "./WireError.ts"
import {
  Attributes,
  fault,
  type FaultPhase,
  illegalCharacter,
  isBlank,
  noAttributes,
  quote,
  XmlFault,
  type XmlHandler,
} from "./xml.ts"

/** A faster test that also finds characters that are written as two units. */
// oxlint-disable-next-line no-control-regex
const suspicious = /[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]/

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
const closeTag = /<\/([A-Za-z_][A-Za-z0-9_.:-]*)[ \t\n]*>/y

class Scanner {
  readonly #source: string
  readonly #handler: XmlHandler
  readonly #open: Array<string> = []
  readonly #names = new Map<number, string>()
  #at = 0
  #rootSeen = false
  /** Whether there is a character somewhere that XML does not allow. */
  #isDirty = false
  /** How far lines were counted, and how many there were. */
  readonly #counted = { at: 0, lines: 1, lineStart: 0 }

  constructor(source: string, handler: XmlHandler) {
    this.#source = source.includes("\r") ? source.replaceAll(/\r\n?/g, "\n") : source
    this.#handler = handler
  }

  place(): string {
    const counted = this.#counted
    for (; counted.at < this.#at; counted.at++) {
      if (this.#source.charCodeAt(counted.at) !== newline) continue
      counted.lines++
      counted.lineStart = counted.at + 1
    }
    return `line ${counted.lines}, column ${this.#at - counted.lineStart + 1}`
  }

  run(): void {
    const first = suspicious.test(this.#source) ? this.#source.search(illegalCharacter) : -1
    this.#isDirty = first !== -1
    if (this.#isDirty && this.#handler.recover === undefined) {
      this.#at = first
      fault(illegal)
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
      fault(`the document ends inside <${unclosed.slice(0, 40)}>`)
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

  /** Throws the error again unless the handler can do without what caused it. */
  #recover(phase: FaultPhase, error: unknown): void {
    if (!(error instanceof XmlFault)) {
      throw error
    }
    const describe = () => `${error.message} (${this.place()})`
    if (this.#handler.recover?.(phase, describe) !== true) {
      throw error
    }
  }

  /** The raw text as it was meant. */
  #plain(raw: string): string {
    return unescape(this.#clean(raw))
  }

  #clean(raw: string): string {
    return this.#isDirty && illegalCharacter.test(raw) ? fault(illegal) : raw
  }

  #text(raw: string): void {
    if (this.#open.length > 0) {
      try {
        this.#handler.text(this.#plain(raw))
      } catch (error) {
        this.#recover("text", error)
      }
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
      const content = this.#through("<![CDATA[", "]]>", "a CDATA section")
      try {
        this.#handler.text(this.#clean(content))
      } catch (error) {
        this.#recover("text", error)
      }
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
    const expected = this.#open.at(-1)
    if (expected !== undefined && this.#isEndTag(expected, start)) {
      this.#at = start + expected.length + 3
    } else {
      const name = this.#match(closeTag)?.[1] ?? fault("a malformed end tag")
      if (expected !== name) {
        this.#at = start
        fault(
          `</${name.slice(0, 40)}> where ${expected === undefined ? "nothing is open" : `</${expected.slice(0, 40)}> is due`}`,
        )
      }
    }
    const behind = this.#at
    this.#at = start
    this.#open.pop()
    this.#end(expected ?? "")
    this.#at = behind
  }

  /** Whether the tag that ends this element stands there, written without a space. */
  #isEndTag(name: string, at: number): boolean {
    return (
      this.#source.charCodeAt(at + 1) === slash &&
      this.#source.charCodeAt(at + name.length + 2) === greater &&
      this.#source.startsWith(name, at + 2)
    )
  }

  #element(): void {
    if (this.#open.length === 0 && this.#rootSeen) {
      fault("a second element after the document's end")
    }
    const start = this.#at
    this.#at = start + 1
    const name = this.#name() ?? this.#malformed(start)
    this.#rootSeen = true
    if (this.#source.charCodeAt(this.#at) === greater) {
      this.#at++
      if (this.#leaf(name)) return
      this.#begin(name, noAttributes, start, false)
      return
    }
    const attributes = this.#attributes(name, start)
    const isEmpty = this.#source.charCodeAt(this.#at) === slash
    if (isEmpty) this.#at++
    if (this.#source.charCodeAt(this.#at++) !== greater) this.#malformed(start)
    this.#begin(name, attributes, start, isEmpty)
  }

  #begin(name: string, attributes: Attributes, start: number, isEmpty: boolean): void {
    const behind = this.#at
    this.#at = start
    try {
      this.#handler.open(name, attributes)
    } catch (error) {
      this.#recover("open", error)
    }
    if (isEmpty) {
      this.#end(name)
    } else {
      this.#open.push(name)
    }
    this.#at = behind
  }

  #end(name: string): void {
    try {
      this.#handler.close(name)
    } catch (error) {
      this.#recover("close", error)
    }
  }

  /** Most elements: a start tag was read, and text and the end tag follow. Whether it was so. */
  #leaf(name: string): boolean {
    const end = this.#source.indexOf("<", this.#at)
    if (this.#handler.leaf === undefined || end === -1 || !this.#isEndTag(name, end)) return false
    const raw = this.#source.slice(this.#at, end)
    this.#at = end
    try {
      this.#handler.leaf(name, this.#plain(raw))
    } catch (error) {
      this.#recover("leaf", error)
    }
    this.#at = end + name.length + 3
    return true
  }

  #malformed(start: number): never {
    this.#at = start
    return fault("a malformed tag")
  }

  #attributes(element: string, start: number): Attributes {
    let attributes = noAttributes
    while (this.#skipBlanks() > 0) {
      const name = this.#name()
      if (name === undefined) break
      const value = this.#attributeValue() ?? this.#malformed(start)
      if (attributes === noAttributes) {
        attributes = new Attributes()
      } else if (attributes.get(name) !== undefined) {
        fault(`<${element.slice(0, 40)}> has its attribute ${quote(name)} twice`)
      }
      if (attributes.keys().length === maximumAttributes) {
        fault(`<${element.slice(0, 40)}> has more than ${maximumAttributes} attributes`)
      }
      attributes.add(name, this.#plain(value))
    }
    return attributes
  }

  /** Behind an attribute's name: `="…"`. Undefined when it is something else. */
  #attributeValue(): string | undefined {
    this.#skipBlanks()
    if (this.#source.charCodeAt(this.#at) !== equals) return undefined
    this.#at++
    this.#skipBlanks()
    const quotation = this.#source[this.#at]
    const end = quotation === '"' || quotation === "'" ? this.#source.indexOf(quotation, this.#at + 1) : -1
    if (end === -1) return undefined
    const value = this.#source.slice(this.#at + 1, end)
    this.#at = end + 1
    return value.includes("<") ? undefined : value
  }

  #skipBlanks(): number {
    const start = this.#at
    while (isBlankUnit(this.#source.charCodeAt(this.#at))) this.#at++
    return this.#at - start
  }

  /** The name that stands there, if one does. Few different ones occur, again and again: most need no new text. */
  #name(): string | undefined {
    const start = this.#at
    const first = this.#source.charCodeAt(start)
    if (!isNameStart(first)) return undefined
    let end = start + 1
    while (isNamePart(this.#source.charCodeAt(end))) end++
    this.#at = end
    const key = first * 64 + end - start
    const known = this.#names.get(key)
    if (known?.length === end - start && this.#source.startsWith(known, start)) return known
    const name = this.#source.slice(start, end)
    this.#names.set(key, name)
    return name
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

const illegal = "a character that XML does not allow, or bytes that are not UTF-8"
/** Far more than SLAP's own elements have. */
const maximumAttributes = 16
const equals = 0x3d
const slash = 0x2f
const greater = 0x3e
const newline = 0x0a

const isBlankUnit = (unit: number): boolean => unit === 0x20 || unit === newline || unit === 0x09
/** A letter of ASCII, or an underscore. */
const isNameStart = (unit: number): boolean =>
  (unit >= 0x61 && unit <= 0x7a) || (unit >= 0x41 && unit <= 0x5a) || unit === 0x5f
/** The same, a digit, or one of `.:-`. */
const isNamePart = (unit: number): boolean =>
  isNameStart(unit) || (unit >= 0x30 && unit <= 0x3a) || unit === 0x2e || unit === 0x2d

const namedCharacters: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" }

const unescape = (raw: string): string => {
  if (!raw.includes("&")) return raw
  // What marshalled texts have most.
  if (!/&(?!amp;)/.test(raw)) return raw.replaceAll("&amp;", "&")
  return raw.replaceAll(/&(?:([a-zA-Z0-9#]{1,12});)?/g, (_, name?: string) => character(name))
}

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
