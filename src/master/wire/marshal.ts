// SLAP's typed XML (slap-protocol.md, The marshalled XML): the writer, and the face of the codec. What it writes is byte
// for byte what the reference writes for the same values, and it works without recursion.
import { compareCodePoints, pythonFloat } from "./pythonText.ts"
import { slapClasses, slapModule, SlapObject, SlapSet, SlapTuple, type SlapValue } from "./SlapValue.ts"
import { toAscii } from "./xml.ts"

export { type SlapClassName, SlapObject, SlapSet, SlapTuple, type SlapValue } from "./SlapValue.ts"
export { decodeAnswer } from "./records.ts"
export { decodeMarshal } from "./unmarshal.ts"

/**
 * The document of a value: ASCII, dictionaries sorted, a container that occurs again as a reference. Characters that
 * XML cannot carry become U+FFFD. Throws TypeError for an object with another number of arguments than its class takes.
 */
export const encodeMarshal = (value: SlapValue): string => {
  const writer = new MarshalWriter()
  writer.write(value)
  return writer.finish()
}

/** What is still to be written: a value, or the end tag that follows its container's last one. */
type Step = { readonly value: SlapValue } | { readonly end: string }

class MarshalWriter {
  readonly #parts: Array<string> = ["<marshal>"]
  readonly #waiting: Array<Step> = []
  /** By identity: the second occurrence of a container is a reference. */
  readonly #ids = new Map<object, string>()
  #lastId = 1

  finish(): string {
    for (let step = this.#waiting.pop(); step !== undefined; step = this.#waiting.pop()) {
      if ("end" in step) {
        this.#parts.push(step.end)
      } else {
        this.write(step.value)
      }
    }
    this.#parts.push("</marshal>")
    return this.#parts.join("")
  }

  write(value: SlapValue): void {
    if (value === null || typeof value !== "object") {
      this.#parts.push(scalar(value))
    } else if (value instanceof SlapTuple) {
      this.#sequence("tuple", "", value.items)
    } else {
      const known = this.#ids.get(value)
      if (known === undefined) {
        const id = `i${++this.#lastId}`
        this.#ids.set(value, id)
        this.#container(value, id)
      } else {
        this.#parts.push(`<reference id="${known}"/>`)
      }
    }
  }

  #container(value: Exclude<Extract<SlapValue, object>, SlapTuple>, id: string): void {
    if (value instanceof SlapObject) {
      this.#object(value, id)
    } else if (value instanceof SlapSet) {
      this.#sequence("set", ` id="${id}"`, value.items)
    } else if (value instanceof Map) {
      this.#sequence("dictionary", ` id="${id}"`, sortedEntries(value))
    } else {
      this.#sequence("list", ` id="${id}"`, [...value])
    }
  }

  #sequence(name: string, attributes: string, items: ReadonlyArray<SlapValue>): void {
    if (items.length === 0) {
      this.#parts.push(`<${name}${attributes}/>`)
      return
    }
    this.#parts.push(`<${name}${attributes}>`)
    this.#follow({ end: `</${name}>` }, items)
  }

  #object(object: SlapObject, id: string): void {
    const arity = slapClasses[object.className]
    if (object.args.length !== arity) {
      throw new TypeError(`${object.className} takes ${arity} constructor arguments, not ${object.args.length}`)
    }
    this.#parts.push(`<object id="${id}" module="${slapModule}" class="${object.className}">`)
    this.#follow({ end: "</object>" }, [new SlapTuple(object.args), object.attributes])
  }

  /** The values come next, in their order, and then the end tag. */
  #follow(end: Step, items: ReadonlyArray<SlapValue>): void {
    this.#waiting.push(end)
    for (const value of items.toReversed()) {
      this.#waiting.push({ value })
    }
  }
}

const scalar = (value: string | boolean | bigint | number | null): string => {
  switch (typeof value) {
    case "string":
      return `<string>${toAscii(escapeTwice(value))}</string>`
    case "boolean":
      return `<bool>${value ? 1 : 0}</bool>`
    case "bigint":
      return `<int>${value}</int>`
    case "number":
      return `<float>${pythonFloat(value)}</float>`
    default:
      return "<none/>"
  }
}

const twice: Readonly<Record<string, string>> = { "&": "&amp;amp;", "<": "&amp;lt;", ">": "&amp;gt;" }
const escapeTwice = (text: string): string => text.replaceAll(/[&<>]/g, (character) => twice[character] ?? character)

const sortedEntries = (entries: ReadonlyMap<SlapValue, SlapValue>): ReadonlyArray<SlapValue> =>
  [...entries].sort(([left], [right]) => compareKeys(left, right)).flatMap((entry) => entry)

/** None, numbers, texts, then the rest: Python only ever sorts keys of one type. */
const compareKeys = (left: SlapValue, right: SlapValue): number => {
  if (typeof left === "string" && typeof right === "string") {
    return compareCodePoints(left, right)
  }
  const byKind = kindOfKey(left) - kindOfKey(right)
  return byKind === 0 && isNumeric(left) && isNumeric(right) ? compareNumbers(left, right) : byKind
}

const kindOfKey = (key: SlapValue): number => (key === null ? 0 : isNumeric(key) ? 1 : typeof key === "string" ? 2 : 3)

const isNumeric = (key: SlapValue): key is boolean | bigint | number =>
  typeof key === "boolean" || typeof key === "bigint" || typeof key === "number"

const compareNumbers = (left: boolean | bigint | number, right: boolean | bigint | number): number =>
  left < right ? -1 : left > right ? 1 : 0
