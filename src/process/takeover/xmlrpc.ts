// XML-RPC as far as supervisord speaks it: the few kinds of values in its calls and answers. Pure; the peer is a program
// of the agent's own user, so what cannot be read is told and never guessed at. https://xmlrpc.com/spec.md
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

export type RpcValue = string | number | boolean | ReadonlyArray<RpcValue> | { readonly [name: string]: RpcValue }

/** An answer that is no result: `code` is the peer's fault code, undefined when the answer cannot be read. */
export class RpcFault extends Schema.TaggedError<RpcFault>()("RpcFault", {
  code: Schema.UndefinedOr(Schema.Int),
  message: Schema.String,
}) {}

const escape = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll("\r", "&#13;")

const encode = (value: string | boolean): string =>
  typeof value === "string" ? `<string>${escape(value)}</string>` : `<boolean>${value ? 1 : 0}</boolean>`

export const encodeCall = (method: string, parameters: ReadonlyArray<string | boolean>): string => {
  const given = parameters.map((one) => `<param><value>${encode(one)}</value></param>`).join("")
  return `<?xml version="1.0"?><methodCall><methodName>${escape(method)}</methodName><params>${given}</params></methodCall>`
}

/** A tag, as `value`, `/value` or `nil/`, or the text between two. */
type Token = { readonly tag: string } | { readonly text: string }

class Unreadable extends Error {}

const unreadable = (what: string): never => {
  throw new Unreadable(what)
}

const tokensOf = (source: string): ReadonlyArray<Token> => {
  const body = source.replace(/^\s*<\?xml[^>]*\?>/, "")
  const tokens = [...body.matchAll(/<(\/?[\w.]+\s*\/?)>|([^<]+)|</g)].map(([, tag, text]): Token => {
    if (tag !== undefined) return { tag: tag.replaceAll(/\s/g, "") }
    return text === undefined ? unreadable("markup that is no tag") : { text: unescape(text) }
  })
  return tokens
}

const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" }

const unescape = (text: string): string =>
  text.replaceAll(/&(?:#(\d{1,7})|#x([\da-fA-F]{1,6})|(\w+));?/g, (_, decimal?: string, hex?: string, name = "") => {
    const code = decimal === undefined ? Number.parseInt(hex ?? "", 16) : Number(decimal)
    if (Number.isNaN(code)) return named[name] ?? unreadable(`the entity ${name}`)
    return code <= 0x10_ff_ff ? String.fromCodePoint(code) : unreadable("a character that is none")
  })

/** Reads tokens one after the other; white space between tags means nothing. */
class Reader {
  readonly #tokens: ReadonlyArray<Token>
  #at = 0

  constructor(source: string) {
    this.#tokens = tokensOf(source)
  }

  /** Takes the tag if it comes next. */
  takes(tag: string): boolean {
    const start = this.#at
    this.#skipBlank()
    const token = this.#tokens[this.#at]
    if (token === undefined || !("tag" in token) || token.tag !== tag) {
      this.#at = start
      return false
    }
    this.#at++
    return true
  }

  expect(...tags: ReadonlyArray<string>): void {
    for (const tag of tags) if (!this.takes(tag)) unreadable(`<${tag}> is missing`)
  }

  text(): string {
    const token = this.#tokens[this.#at]
    if (token === undefined || !("text" in token)) return ""
    this.#at++
    return token.text
  }

  value(): RpcValue {
    this.expect("value")
    const value = this.#typed()
    this.expect("/value")
    return value
  }

  #typed(): RpcValue {
    for (const [type, parse] of scalars) {
      if (this.takes(`${type}/`)) return parse("")
      if (!this.takes(type)) continue
      const value = parse(this.text())
      this.expect(`/${type}`)
      return value
    }
    if (this.takes("array")) return this.#array()
    if (this.takes("struct")) return this.#struct()
    // Without a type it is a string.
    return this.text()
  }

  #array(): RpcValue {
    const items: Array<RpcValue> = []
    if (!this.takes("data/")) {
      this.expect("data")
      while (!this.takes("/data")) items.push(this.value())
    }
    this.expect("/array")
    return items
  }

  #struct(): RpcValue {
    const members: Array<readonly [string, RpcValue]> = []
    while (this.takes("member")) {
      this.expect("name")
      const name = this.text()
      this.expect("/name")
      members.push([name, this.value()])
      this.expect("/member")
    }
    this.expect("/struct")
    return Object.fromEntries(members)
  }

  #skipBlank(): void {
    const token = this.#tokens[this.#at]
    if (token !== undefined && "text" in token && token.text.trim() === "") this.#at++
  }
}

const integer = (text: string): number =>
  /^[+-]?\d+$/.test(text.trim()) ? Number(text) : unreadable(`the number '${text}'`)

const scalars: ReadonlyArray<readonly [type: string, parse: (text: string) => RpcValue]> = [
  ["string", (text) => text],
  ["int", integer],
  ["i4", integer],
  ["boolean", (text) => text.trim() === "1"],
  ["nil", () => ""],
]

const faultOf = (value: RpcValue): RpcFault => {
  const { faultCode, faultString } = isStruct(value) ? value : {}
  const code = typeof faultCode === "number" ? faultCode : undefined
  return new RpcFault({ code, message: typeof faultString === "string" ? faultString : "a fault without a word" })
}

export const isStruct = (value: RpcValue): value is { readonly [name: string]: RpcValue } =>
  typeof value === "object" && !Array.isArray(value)

/** The result in a `methodResponse`. */
export const decodeResponse = (source: string): Result.Result<RpcValue, RpcFault> => {
  try {
    const reader = new Reader(source)
    reader.expect("methodResponse")
    if (reader.takes("fault")) return Result.fail(faultOf(reader.value()))
    reader.expect("params", "param")
    const value = reader.value()
    reader.expect("/param", "/params", "/methodResponse")
    return Result.succeed(value)
  } catch (cause) {
    if (!(cause instanceof Unreadable)) throw cause
    return Result.fail(new RpcFault({ code: undefined, message: `no answer in XML-RPC: ${cause.message}` }))
  }
}
