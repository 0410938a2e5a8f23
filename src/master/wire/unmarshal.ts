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
import { readXml } from "./scanner.ts"
import type { WireError } from "./WireError.ts"
import { type Attributes, fault, isBlank, maximumDepth, noAttributes, quote, type XmlHandler } from "./xml.ts"

/** The value of a document, or where and why it is none. */
export const decodeMarshal = (xml: string): Result.Result<SlapValue, WireError> => {
  const reader = new MarshalReader()
  return Result.map(readXml(xml, reader), () => reader.value())
}

const textElements = ["string", "unicode", "int", "long", "float", "bool", "none"] as const
const containerElements = ["list", "set", "tuple", "dictionary", "object"] as const
type TextElement = (typeof textElements)[number]
type ContainerElement = (typeof containerElements)[number]

const textNames: ReadonlySet<string> = new Set(textElements)
const containerNames: ReadonlySet<string> = new Set(containerElements)
const isTextElement = (name: string): name is TextElement => textNames.has(name)
const isContainerElement = (name: string): name is ContainerElement => containerNames.has(name)

/** An element whose end was not read yet. */
export interface Frame {
  readonly name: string
  readonly attributes: Attributes
  readonly items: Array<SlapValue>
  text: string
  /** How many values and characters it holds with all references written out. */
  size: number
  /** How deep values lie in it with all references written out. */
  depth: number
  /** Once it was closed; for references to it. */
  value: SlapValue | undefined
}

/** References let a short document stand for a huge one; whoever walks over the values walks over all of it. */
const maximumSize = 100_000_000

export class MarshalReader implements XmlHandler {
  protected readonly frames: Array<Frame> = []
  /** By id. */
  readonly #known = new Map<string, Frame>()
  #root: SlapValue = null

  value(): SlapValue {
    return this.#root
  }

  open(name: string, attributes: Attributes): void {
    if (this.frames.length >= maximumDepth) {
      fault(`elements are nested deeper than ${maximumDepth}`)
    }
    const parent = this.frames.at(-1)
    if (parent === undefined) {
      if (name !== "marshal") {
        fault(`the document is <${name.slice(0, 40)}>, not <marshal>`)
      }
    } else {
      checkPlace(parent, name)
    }
    const frame: Frame = { name, attributes, items: [], text: "", size: 1, depth: 0, value: undefined }
    if (attributes !== noAttributes) {
      checkAttributes(name, attributes)
      this.#identify(frame)
    }
    this.frames.push(frame)
  }

  text(text: string): void {
    const frame = this.frames.at(-1)
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

  leaf(name: string, text: string): void {
    const parent = this.frames.at(-1)
    if (parent !== undefined && isTextElement(name) && this.frames.length < maximumDepth) {
      checkPlace(parent, name)
      give(parent, scalar(name, text), text.length + 1)
      return
    }
    this.open(name, noAttributes)
    this.text(text)
    this.close()
  }

  close(): void {
    const frame = this.frames.pop()
    const parent = this.frames.at(-1)
    if (frame === undefined) {
      return
    }
    if (parent === undefined) {
      this.#root = only(frame.items)
      return
    }
    this.finish(frame, parent)
  }

  protected finish(frame: Frame, parent: Frame): void {
    frame.value = frame.name === "reference" ? this.#referred(frame) : build(frame)
    give(parent, frame.value, frame.size)
    parent.depth = Math.max(parent.depth, frame.depth + 1)
    if (parent.depth > maximumDepth) {
      fault(`values are nested deeper than ${maximumDepth} with their references written out`)
    }
  }

  #identify(frame: Frame): void {
    const id = frame.attributes.get("id")
    if (id === undefined || frame.name === "reference") {
      return
    }
    if (this.#known.has(id)) {
      fault(`the id ${quote(id)} is used twice`)
    }
    this.#known.set(id, frame)
  }

  #referred(frame: Frame): SlapValue {
    const id = frame.attributes.get("id") ?? fault("<reference> without an id")
    if (frame.items.length > 0) {
      fault("<reference> is not empty")
    }
    const { depth, size, value } =
      this.#known.get(id) ?? fault(`a reference to ${quote(id)}, which nothing before it has as its id`)
    frame.size = size
    frame.depth = depth
    return value ?? (value === null ? null : fault(`a reference to ${quote(id)} inside of that value itself`))
  }
}

const checkAttributes = (name: string, attributes: Attributes): void => {
  const hasId = isContainerElement(name) || name === "reference"
  for (const given of attributes.keys()) {
    const isKnown = given === "id" ? hasId : name === "object" && (given === "module" || given === "class")
    if (!isKnown) {
      fault(`<${name}> has an unknown attribute ${quote(given)}`)
    }
  }
}

const checkPlace = (parent: Frame, name: string): void => {
  if (parent.name !== "marshal" && !isContainerElement(parent.name)) {
    fault(`<${name.slice(0, 40)}> inside <${parent.name}>`)
  }
  if (!isContainerElement(name) && !isTextElement(name) && name !== "reference") {
    fault(`the unknown element <${name.slice(0, 40)}>`)
  }
}

const give = (parent: Frame, value: SlapValue, size: number): void => {
  if (parent.size + size > maximumSize) {
    fault("the document is too large with its references written out")
  }
  parent.items.push(value)
  parent.size += size
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
    entries.set(key, value)
    if (entries.size * 2 !== index + 2) {
      fault(`<dictionary> has its key ${quote(pythonStr(key))} twice`)
    }
  }
  return entries
}

const named = (state: ReadonlyMap<SlapValue, SlapValue>, className: string): ReadonlyMap<string, SlapValue> => {
  for (const key of state.keys()) {
    if (typeof key !== "string") fault(`${className} has an attribute whose name is no text`)
  }
  return state as ReadonlyMap<string, SlapValue>
}

export const isClassName = (name: string): name is SlapClassName => Object.hasOwn(slapClasses, name)

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
  return new SlapObject(className, args.items, named(state, className))
}
