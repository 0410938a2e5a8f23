// The reader of SLAP's typed XML (slap-protocol.md, The marshalled XML). Strict: what is not in the grammar is an error,
// never ignored. It works without recursion and in linear time.
import * as Result from "effect/Result"
import { pythonStr } from "./pythonText.ts"
import {
  slapClasses,
  type SlapClassName,
  slapModule,
  SlapObject,
  SlapSet,
  SlapTuple,
  type SlapValue,
} from "./SlapValue.ts"
import type { WireError } from "./WireError.ts"
import { fault, isBlank, quote, readXml, type XmlHandler } from "./xml.ts"

/** The value of a document, or where and why it is none. */
export const decodeMarshal = (xml: string): Result.Result<SlapValue, WireError> => {
  const reader = new MarshalReader()
  return Result.map(readXml(xml, reader), () => reader.value())
}

const textElements = ["string", "unicode", "int", "long", "float", "bool", "none"] as const
const containerElements = ["list", "set", "tuple", "dictionary", "object"] as const
type TextElement = (typeof textElements)[number]
type ContainerElement = (typeof containerElements)[number]

const isTextElement = (name: string): name is TextElement => textElements.some((known) => known === name)
const isContainerElement = (name: string): name is ContainerElement => containerElements.some((known) => known === name)

/** An element whose end was not read yet. */
interface Frame {
  readonly name: string
  readonly attributes: ReadonlyMap<string, string>
  readonly items: Array<SlapValue>
  text: string
  /** How many values and characters it holds with all references written out. */
  size: number
}

/** References let a short document stand for a huge one; whoever walks over the values walks over all of it. */
const maximumSize = 100_000_000

class MarshalReader implements XmlHandler {
  readonly #open: Array<Frame> = []
  /** By id; undefined while the value is still being read. */
  readonly #known = new Map<string, { readonly value: SlapValue; readonly size: number } | undefined>()
  #root: SlapValue = null

  value(): SlapValue {
    return this.#root
  }

  open(name: string, attributes: ReadonlyMap<string, string>): void {
    const parent = this.#open.at(-1)
    if (parent === undefined) {
      if (name !== "marshal") {
        fault(`the document is <${name.slice(0, 40)}>, not <marshal>`)
      }
    } else if (parent.name !== "marshal" && !isContainerElement(parent.name)) {
      fault(`<${name.slice(0, 40)}> inside <${parent.name}>`)
    } else if (!isContainerElement(name) && !isTextElement(name) && name !== "reference") {
      fault(`the unknown element <${name.slice(0, 40)}>`)
    }
    this.#checkAttributes(name, attributes)
    this.#open.push({ name, attributes, items: [], text: "", size: 1 })
  }

  text(text: string): void {
    const frame = this.#open.at(-1)
    if (frame === undefined) {
      return
    }
    if (isTextElement(frame.name)) {
      frame.text += text
      frame.size += text.length
    } else if (!isBlank(text)) {
      fault(`text directly inside <${frame.name}>: ${quote(text.trim())}`)
    }
  }

  close(): void {
    const frame = this.#open.pop()
    const parent = this.#open.at(-1)
    if (frame === undefined) {
      return
    }
    if (parent === undefined) {
      this.#root = only(frame.items)
      return
    }
    const value = frame.name === "reference" ? this.#referred(frame) : build(frame)
    const id = frame.attributes.get("id")
    if (id !== undefined && frame.name !== "reference") {
      this.#known.set(id, { value, size: frame.size })
    }
    parent.items.push(value)
    parent.size += frame.size
    if (parent.size > maximumSize) {
      fault("the document is too large with its references written out")
    }
  }

  #checkAttributes(name: string, attributes: ReadonlyMap<string, string>): void {
    const allowed = isContainerElement(name) || name === "reference" ? ["id"] : []
    for (const given of attributes.keys()) {
      if (!allowed.includes(given) && !(name === "object" && (given === "module" || given === "class"))) {
        fault(`<${name}> has an unknown attribute ${quote(given)}`)
      }
    }
    const id = attributes.get("id")
    if (id === undefined || name === "reference") {
      return
    }
    if (this.#known.has(id)) {
      fault(`the id ${quote(id)} is used twice`)
    }
    this.#known.set(id, undefined)
  }

  #referred(frame: Frame): SlapValue {
    const id = frame.attributes.get("id") ?? fault("<reference> without an id")
    if (frame.items.length > 0) {
      fault("<reference> is not empty")
    }
    if (!this.#known.has(id)) {
      fault(`a reference to ${quote(id)}, which nothing before it has as its id`)
    }
    const found = this.#known.get(id) ?? fault(`a reference to ${quote(id)} inside of that value itself`)
    frame.size = found.size
    return found.value
  }
}

const only = (items: ReadonlyArray<SlapValue>): SlapValue => {
  const [value] = items
  return items.length === 1 && value !== undefined
    ? value
    : fault(`<marshal> holds ${items.length} values instead of one`)
}

const build = (frame: Frame): SlapValue => {
  if (isTextElement(frame.name)) {
    return scalar(frame.name, frame.text)
  }
  switch (frame.name) {
    case "list":
      return frame.items
    case "set":
      return new SlapSet(frame.items)
    case "tuple":
      return new SlapTuple(frame.items)
    case "dictionary":
      return dictionary(frame.items)
    default:
      return object(frame)
  }
}

const scalar = (name: TextElement, text: string): SlapValue => {
  switch (name) {
    case "string":
    case "unicode":
      // Strings are escaped once more than XML demands.
      return text.includes("&") ? text.replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&") : text
    case "int":
    case "long":
      return integer(name, text)
    case "bool":
      return integer(name, text) !== 0n
    case "float":
      return float(text)
    case "none":
      return isBlank(text) ? null : fault("<none> is not empty")
  }
}

/** Python's own limit on the digits of an integer's text: reading takes more than linear time. */
const integerText = /^[ \t\n\r]*([+-]?[0-9]{1,4300})[ \t\n\r]*$/

const integer = (name: string, text: string): bigint => {
  const digits = integerText.exec(text)?.[1] ?? fault(`<${name}> holds ${quote(text)}, which is no integer`)
  return digits.startsWith("+") ? BigInt(digits.slice(1)) : BigInt(digits)
}

const float = (text: string): number => {
  const trimmed = text.trim().toLowerCase()
  if (/^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?$/.test(trimmed)) {
    return Number(trimmed)
  }
  const special =
    /^([+-]?)(inf|infinity|nan)$/.exec(trimmed) ?? fault(`<float> holds ${quote(text)}, which is no float`)
  return special[2] === "nan" ? Number.NaN : special[1] === "-" ? -Infinity : Infinity
}

const dictionary = (items: ReadonlyArray<SlapValue>): ReadonlyMap<SlapValue, SlapValue> => {
  const entries = new Map<SlapValue, SlapValue>()
  for (let index = 0; index < items.length; index += 2) {
    const key = items[index]
    const value = items[index + 1]
    if (key === undefined || value === undefined) {
      return fault("<dictionary> has a key without a value")
    }
    if (typeof key === "object" && key !== null && !(key instanceof SlapTuple)) {
      fault("<dictionary> has a key that is a container")
    }
    if (entries.has(key)) {
      fault(`<dictionary> has its key ${quote(pythonStr(key))} twice`)
    }
    entries.set(key, value)
  }
  return entries
}

const isClassName = (name: string): name is SlapClassName => Object.hasOwn(slapClasses, name)

const object = (frame: Frame): SlapObject => {
  const className = frame.attributes.get("class") ?? ""
  const module = frame.attributes.get("module") ?? ""
  if (module !== slapModule || !isClassName(className)) {
    return fault(`an object of class ${quote(className)} of module ${quote(module)}: only SLAP's own are allowed`)
  }
  const [args, state] = frame.items
  if (frame.items.length !== 2 || !(args instanceof SlapTuple) || !(state instanceof Map)) {
    return fault(`<object> of class ${className} does not hold exactly a tuple and a dictionary`)
  }
  if (args.items.length !== slapClasses[className]) {
    fault(`${className} takes ${slapClasses[className]} constructor arguments, not ${args.items.length}`)
  }
  const attributes = new Map<string, SlapValue>()
  for (const [key, value] of state) {
    attributes.set(typeof key === "string" ? key : fault(`${className} has an attribute whose name is no text`), value)
  }
  return new SlapObject(className, args.items, attributes)
}
