// The two documents of usage (slap-protocol.md, Usage documents): a partition's report and a computer's journal, read
// strictly. A document that differs in anything from the grammar is no report; who wrote it is told what is wrong where.
import * as Result from "effect/Result"
import { readXml } from "../../master/wire/scanner.ts"
import { type Attributes, fault, isBlank, quote, type XmlHandler } from "../../master/wire/xml.ts"
import type { WireError } from "../../master/wire/WireError.ts"

/** One movement: its elements in the order of the document, which is the grammar's. */
export type Movement = ReadonlyArray<readonly [name: string, text: string]>

/** What an element holds: a text, a number, or elements in this order. */
type Content = "text" | "number" | ReadonlyArray<Member>

interface Member {
  readonly name: string
  readonly content: Content
  /** As in a regular expression: once when missing. */
  readonly times?: "?" | "*" | "+"
  /** Whether it has the attribute `type`, and then it must have it. */
  readonly isTyped?: true
}

const movement: Member = {
  name: "movement",
  times: "+",
  content: [
    { name: "resource", content: "text" },
    { name: "title", content: "text", times: "?" },
    { name: "reference", content: "text", times: "?" },
    { name: "quantity", content: "number" },
    { name: "price", content: "number" },
    { name: "VAT", content: "text" },
    { name: "category", content: "text", times: "*" },
  ],
}

const arrow: Member = {
  name: "arrow",
  times: "+",
  isTyped: true,
  content: [
    { name: "source", content: "text", times: "?" },
    { name: "destination", content: "text", times: "?" },
  ],
}

const transaction: Member = {
  name: "transaction",
  times: "+",
  isTyped: true,
  content: [
    { name: "title", content: "text", times: "?" },
    { name: "start_date", content: "text" },
    { name: "stop_date", content: "text" },
    { name: "reference", content: "text" },
    { name: "currency", content: "text" },
    { name: "payment_mode", content: "text" },
    { name: "category", content: "text", times: "*" },
    arrow,
    movement,
  ],
}

const consumption: Member = { name: "consumption", content: [movement] }
const journal: Member = { name: "journal", content: [transaction] }

/** XML Schema's float without its infinities and NaN: nobody can be billed for those. */
const number = /^[ \t\n]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[Ee][+-]?[0-9]+)?[ \t\n]*$/

/** The movements of a partition's report, or what is wrong with it. */
export const parseConsumption = (source: string): Result.Result<ReadonlyArray<Movement>, WireError> => {
  const reader = new Reader(consumption)
  return Result.map(readXml(source, reader), () => reader.movements)
}

/** The movements of a computer's journal, or what is wrong with it. */
export const parseJournal = (source: string): Result.Result<ReadonlyArray<Movement>, WireError> => {
  const reader = new Reader(journal)
  return Result.map(readXml(source, reader), () => reader.movements)
}

/** An element that is open, and how far its members have come. */
interface Open {
  readonly member: Member
  text: string
  /** Index of the member that came last, or that is due. */
  at: number
  /** How often it came. */
  count: number
}

class Reader implements XmlHandler {
  readonly movements: Array<Array<[string, string]>> = []
  readonly #root: Member
  readonly #path: Array<Open> = []

  constructor(root: Member) {
    this.#root = root
  }

  readonly open = (name: string, attributes: Attributes): void => {
    const parent = this.#path.at(-1)
    const member = parent === undefined ? this.#rootNamed(name) : this.#advance(parent, name)
    const expected = member.isTyped ? ["type"] : []
    for (const attribute of attributes.keys()) {
      if (!expected.includes(attribute)) this.#fault(`<${name}> has no attribute ${quote(attribute)}`)
    }
    if (attributes.keys().length < expected.length) this.#fault(`<${name}> needs its attribute "type"`)
    if (name === "movement") this.movements.push([])
    this.#path.push({ member, text: "", at: 0, count: 0 })
  }

  readonly text = (text: string): void => {
    const here = this.#path.at(-1)
    if (here === undefined) return
    if (typeof here.member.content === "string") here.text += text
    else if (!isBlank(text)) this.#fault(`text between the elements of <${here.member.name}>: ${quote(text.trim())}`)
  }

  readonly close = (name: string): void => {
    const here = this.#path.at(-1)
    if (here === undefined) return
    const { content } = here.member
    if (typeof content === "string") this.#closeText(name, here)
    else {
      const missing = content.find((member, index) => index >= here.at && isMissing(member, index, here))
      if (missing !== undefined) this.#fault(`<${name}> lacks <${missing.name}>`)
    }
    this.#path.pop()
  }

  #closeText(name: string, { member, text }: Open): void {
    if (member.content === "number" && !(number.test(text) && Number.isFinite(Number(text)))) {
      this.#fault(`<${name}> is no number: ${quote(text)}`)
    }
    if (this.#path.at(-2)?.member.name === "movement") this.movements.at(-1)?.push([name, text])
  }

  #rootNamed(name: string): Member {
    return name === this.#root.name ? this.#root : fault(`the document is no <${this.#root.name}>, but ${quote(name)}`)
  }

  /** Moves on to the member with this name; whatever is passed over must be allowed to be missing. */
  #advance(parent: Open, name: string): Member {
    const { content } = parent.member
    if (typeof content === "string") return this.#fault(`<${parent.member.name}> holds a text, not ${quote(name)}`)
    for (let index = parent.at; index < content.length; index++) {
      const member = content[index]
      if (member === undefined) break
      if (member.name === name) {
        const count = index === parent.at ? parent.count + 1 : 1
        if (count > 1 && member.times !== "*" && member.times !== "+") {
          this.#fault(`<${parent.member.name}> has <${name}> twice`)
        }
        parent.at = index
        parent.count = count
        return member
      }
      if (isMissing(member, index, parent)) {
        return this.#fault(`${quote(name)} where <${member.name}> is due in <${parent.member.name}>`)
      }
    }
    return this.#fault(`${quote(name)} cannot stand here in <${parent.member.name}>`)
  }

  /** Ends the reading; movements are told by their number, which counts from 1. */
  #fault(message: string): never {
    const isInside = this.#path.some(({ member }) => member.name === "movement")
    return fault(isInside ? `movement ${this.movements.length}: ${message}` : message)
  }
}

/** Whether a member that has to be there has not come. */
const isMissing = (member: Member, index: number, { at, count }: Open): boolean =>
  member.times !== "?" && member.times !== "*" && !(index === at && count > 0)
