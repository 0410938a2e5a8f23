// Texts of slapos.cfg options to values: pure, and each failure is a text to be read after the option's name.
import { isIPv6 } from "node:net"
import * as Result from "effect/Result"
import { strip } from "./dialect.ts"
import { quote } from "./DialectError.ts"

/** A rule for one option: its text to a value, or what is wrong and what to do. */
export type Rule<A> = (text: string) => Result.Result<A, string>

// The reference's unit names, each row a factor of 1024 above the one before. It tells case apart except for `k`;
// nothing is ambiguous without.
const SIZE_UNITS: ReadonlyArray<ReadonlyArray<string>> = [
  ["", "b", "byte"],
  ["k", "kb", "ki", "kilo", "kibi"],
  ["m", "mb", "mi", "mega", "mebi"],
  ["g", "gb", "gi", "giga", "gibi"],
  ["t", "tb", "ti", "tera", "tebi"],
  ["p", "pb", "pi", "peta", "pebi"],
  ["e", "eb", "ei", "exa", "exbi"],
]

/** `1500M`, `1.5 G`: bytes. */
export const parseSize: Rule<number> = (text) => {
  const [, amount = "", unit = ""] = /^(\d+\.?\d*|\.\d+)\s*([a-z]*)$/i.exec(text) ?? []
  const exponent = SIZE_UNITS.findIndex((names) => names.includes(unit.toLowerCase()))
  if (amount === "" || exponent === -1) {
    return Result.fail(`${quote(text)} is not a size; write a number with a unit K, M, G or T, such as 1000M`)
  }
  return Result.succeed(Math.floor(Number(amount) * 1024 ** exponent))
}

const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...["1", "yes", "true", "on"].map((word) => [word, true] as const),
  ...["0", "no", "false", "off"].map((word) => [word, false] as const),
])

export const parseBoolean: Rule<boolean> = (text) => {
  const value = BOOLEANS.get(text.toLowerCase())
  return value === undefined
    ? Result.fail(`${quote(text)} is neither true nor false; write true or false`)
    : Result.succeed(value)
}

/** A whole number of seconds, at least `minimum`: milliseconds. */
export const parseSeconds =
  (minimum: number): Rule<number> =>
  (text) => {
    const milliseconds = Number(text) * 1000
    if (!/^[+-]?\d+$/.test(text) || !Number.isSafeInteger(milliseconds)) {
      return Result.fail(`${quote(text)} is not a whole number of seconds; write one, such as 3600`)
    }
    return milliseconds < minimum * 1000
      ? Result.fail(`${text} seconds is too short; write ${minimum} or more`)
      : Result.succeed(milliseconds)
  }

/** A whole number between two, both included. */
export const parseCount =
  (minimum: number, maximum: number): Rule<number> =>
  (text) => {
    const count = /^\d+$/.test(text) ? Number(text) : Number.NaN
    return count >= minimum && count <= maximum
      ? Result.succeed(count)
      : Result.fail(`${quote(text)} is not a whole number from ${minimum} to ${maximum}; write one, such as 500`)
  }

/** How many processors, which can be a part of one. */
export const parseProcessors: Rule<number> = (text) =>
  /^(?:\d{1,5}\.?\d*|\.\d+)$/.test(text) && Number(text) >= 0.01
    ? Result.succeed(Number(text))
    : Result.fail(`${quote(text)} is not a number of processors; write 0.01 or more, such as 1.5`)

/** One entry a line. */
export const parseLines = (text: string): ReadonlyArray<string> =>
  text
    .split("\n")
    .map(strip)
    .filter((line) => line !== "")

/** Names separated by commas or white space. */
export const parseNames = (text: string): ReadonlyArray<string> => text.split(/[\s,]+/).filter((name) => name !== "")

// The reference's rule: an address that is valid as a whole has no port; else what follows the last colon is one.
const bracketed = (authority: string): string => {
  // Most are none, and Node's question takes 10 ms the first time.
  if (!/:.*:/.test(authority)) return authority
  if (isIPv6(authority)) return `[${authority}]`
  const colon = authority.lastIndexOf(":")
  const host = authority.slice(0, Math.max(colon, 0))
  return isIPv6(host) ? `[${host}]${authority.slice(colon)}` : authority
}

/** The master's URL with brackets around a bare IPv6 address and a final slash; otherwise as the operator wrote it. */
export const parseMasterUrl: Rule<string> = (text) => {
  const [, scheme = "", authority = "", path = "", rest = ""] = /^(https?):\/\/([^/?#]+)([^?#]*)(.*)$/i.exec(text) ?? []
  const url = `${scheme}://${bracketed(authority)}${path.endsWith("/") ? path : `${path}/`}`
  if (scheme === "" || /\s/.test(text) || !URL.canParse(url)) {
    return Result.fail(`${quote(text)} is not an http or https URL; write one such as https://slap.example.com/`)
  }
  return rest === ""
    ? Result.succeed(url)
    : Result.fail(`${quote(text)} has a query or fragment, which a master's URL cannot have; remove ${quote(rest)}`)
}
