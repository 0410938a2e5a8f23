// The reader of a master's answers: one in which a partition's or a release's record is wrong is used without that
// record. It knows no more of the Computer document than where its records are.
import * as Result from "effect/Result"
import { readXml } from "./scanner.ts"
import { SlapObject, SlapTuple, type SlapValue } from "./SlapValue.ts"
import { type Frame, isClassName, MarshalReader } from "./unmarshal.ts"
import type { WireError } from "./WireError.ts"
import type { Attributes, FaultPhase } from "./xml.ts"

/**
 * The value of a master's answer, in which a value that is wrong costs no more than the record of the Computer's
 * lists that it is part of: that one has a `fault`. What is no XML has no records.
 */
export const decodeAnswer = (body: Uint8Array): Result.Result<SlapValue, WireError> => {
  const reader = new RecordReader()
  return Result.map(readXml(textOf(body), reader), () => reader.value())
}

/** Bytes that are not UTF-8 become characters that XML does not allow. */
const textOf = (body: Uint8Array): string => {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(body)
  } catch {
    return new TextDecoder("utf-8").decode(body).replaceAll("\uFFFD", "\uFFFF")
  }
}

/** Where the records of a Computer are: marshal, its object, the attributes, a list. */
const recordDepth = 4
/** A document with more of them is refused: it is no master's. */
const maximumBroken = 10_000

/** Gives up records instead of documents. */
class RecordReader extends MarshalReader {
  /** What is still to be closed of the record that was given up. */
  #skipped = 0
  #broken = 0
  /** How many elements are around the leaf that is being given. */
  #leafDepth: number | undefined
  /** The element that is being closed: a fault then is its own. */
  #closing: Frame | undefined

  override open(name: string, attributes: Attributes): void {
    if (this.#skipped > 0) {
      this.#skipped++
    } else {
      super.open(name, attributes)
    }
  }

  override text(text: string): void {
    if (this.#skipped === 0) {
      super.text(text)
    }
  }

  override leaf(name: string, text: string): void {
    if (this.#skipped === 0) {
      this.#leafDepth = this.frames.length
      super.leaf(name, text)
      this.#leafDepth = undefined
    }
  }

  override close(): void {
    if (this.#skipped > 0) {
      this.#skipped--
      return
    }
    this.#closing = this.frames.at(-1)
    super.close()
    this.#closing = undefined
  }

  recover(phase: FaultPhase, describe: () => string): boolean {
    if (this.#skipped > 0) {
      return true
    }
    const [, computer, attributes, list] = this.frames
    const depth = phase === "text" ? recordDepth + 1 : recordDepth
    const isRecord =
      this.frames.length >= depth &&
      computer?.attributes.get("class") === "Computer" &&
      attributes?.name === "dictionary" &&
      list?.name === "list"
    if (!isRecord || ++this.#broken > maximumBroken) {
      return false
    }
    // Nobody closes a leaf, however much of it was opened.
    const around = this.#leafDepth ?? this.frames.length
    // What could not be opened is closed all the same.
    this.#skipped = around - recordDepth + (phase === "open" ? 1 : 0)
    const parts = [...this.frames.splice(recordDepth), ...(this.#closing === undefined ? [] : [this.#closing])]
    this.#closing = undefined
    this.#leafDepth = undefined
    list.items.push(brokenRecord(parts, describe()))
    return true
  }
}

/** What is known of a record that was given up: its class, and what names it. */
const brokenRecord = ([record, inner]: ReadonlyArray<Frame>, problem: string): SlapObject => {
  const className = record?.attributes.get("class") ?? ""
  const [first, second] = record?.items ?? []
  const args = first instanceof SlapTuple ? first.items : inner?.name === "tuple" ? inner.items : []
  const attributes = new Map<string, SlapValue>()
  for (const [key, value] of second instanceof Map ? second : []) {
    if (typeof key === "string") attributes.set(key, value)
  }
  return new SlapObject(isClassName(className) ? className : "ComputerPartition", args, attributes, problem)
}
