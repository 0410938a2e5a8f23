// A strict reader and the escaping for the small XML that SLAP uses: elements, attributes and text, UTF-8 or ASCII.
// Declarations that can make a parser fetch or expand something (document types, entities, processing instructions) are
// refused, and nesting is limited, so that everything built on a document may recurse.

/** As libxml2, with which masters and recipes read these documents. */
export const maximumDepth = 256

/** What a reader of one grammar gets, in document order. An empty element is opened and closed. */
export interface XmlHandler {
  readonly open: (name: string, attributes: Attributes) => void
  readonly text: (text: string) => void
  readonly close: (name: string) => void
  /** Instead of the three: an element without attributes that holds text only. */
  readonly leaf?: (name: string, text: string) => void
  /**
   * Whether the reading goes on although the handler or a text was at fault while an element was opened, read or closed.
   * All that is opened is closed afterwards.
   */
  readonly recover?: (phase: FaultPhase, describe: () => string) => boolean
}

/** Lighter than a Map: most elements that have any have one. */
export class Attributes {
  readonly #names: Array<string> = []
  readonly #values: Array<string> = []

  get(name: string): string | undefined {
    const index = this.#names.indexOf(name)
    return index === -1 ? undefined : this.#values[index]
  }

  add(name: string, value: string): void {
    this.#names.push(name)
    this.#values.push(value)
  }

  keys(): ReadonlyArray<string> {
    return this.#names
  }
}

export const noAttributes = new Attributes()

export type FaultPhase = "open" | "text" | "close" | "leaf"

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

export const illegalCharacter = /[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/u
/** The text as ASCII, with character references for the rest; what XML cannot carry becomes U+FFFD. */
export const toAscii = (text: string): string =>
  text.replaceAll(/[^\t\n\u{20}-\u{7F}]/gu, (character) =>
    character !== "\r" && illegalCharacter.test(character) ? "&#65533;" : `&#${character.codePointAt(0)};`,
  )
