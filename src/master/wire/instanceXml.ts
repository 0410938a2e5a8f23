// Stored parameters and connection parameters as plain XML (slap-protocol.md, Parameter XML). Values lose their type on
// the way: what is no text is written as Python's `str()` would print it.
import * as Result from "effect/Result"
import { compareCodePoints, pythonStr } from "./pythonText.ts"
import type { SlapValue } from "./SlapValue.ts"
import type { WireError } from "./WireError.ts"
import { readXml } from "./scanner.ts"
import { type Attributes, fault, isBlank, quote, toAscii, type XmlHandler } from "./xml.ts"

/** One `<instance>`, its parameters sorted by name. */
export const encodeInstanceXml = (parameters: ReadonlyMap<string, SlapValue>): string => {
  const elements = [...parameters]
    .sort(([left], [right]) => compareCodePoints(left, right))
    .map(([name, value]) => element(name, pythonStr(value)))
  return elements.length === 0 ? "<instance/>" : `<instance>${elements.join("")}</instance>`
}

const element = (name: string, text: string): string => {
  const start = `<parameter id="${toAscii(escape(name)).replaceAll("\n", "&#10;").replaceAll("\t", "&#9;")}"`
  return text === "" ? `${start}/>` : `${start}>${toAscii(escape(text))}</parameter>`
}

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" }
const escape = (text: string): string => text.replaceAll(/[&<>"]/g, (character) => entities[character] ?? character)

/**
 * The parameters of an `<instance>`. A repeated one has its texts joined with one space; one without text is null.
 * A blank document has none.
 */
export const decodeInstanceXml = (xml: string): Result.Result<ReadonlyMap<string, string | null>, WireError> => {
  if (isBlank(xml)) {
    return Result.succeed(new Map())
  }
  const reader = new InstanceReader()
  return Result.map(readXml(xml, reader), () => reader.parameters)
}

class InstanceReader implements XmlHandler {
  readonly parameters = new Map<string, string | null>()
  #depth = 0
  #name = ""
  #text = ""

  open(name: string, attributes: Attributes): void {
    const expected = ["instance", "parameter"][this.#depth]
    if (name !== expected) {
      fault(`<${name.slice(0, 40)}> where ${expected === undefined ? "only text" : `<${expected}>`} is expected`)
    }
    for (const given of attributes.keys()) {
      if (given !== "id" || name === "instance") {
        fault(`<${name}> has an unknown attribute ${quote(given)}`)
      }
    }
    if (name === "parameter") {
      this.#name = attributes.get("id") ?? fault("<parameter> without an id")
      this.#text = ""
    }
    this.#depth++
  }

  text(text: string): void {
    if (this.#depth === 2) {
      this.#text += text
    } else if (!isBlank(text)) {
      fault(`text directly inside <instance>: ${quote(text.trim())}`)
    }
  }

  close(name: string): void {
    this.#depth--
    if (name !== "parameter") {
      return
    }
    const before = this.parameters.get(this.#name) ?? null
    const text = this.#text === "" ? null : this.#text
    this.parameters.set(this.#name, before === null || text === null ? (before ?? text) : `${before} ${text}`)
  }
}
