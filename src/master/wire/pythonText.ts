// How Python prints values: floats in documents, and `str()` of parameters that are no text. The embedded master has
// to store what slapproxy would, because recipes compare and parse these texts.
import { SlapObject, SlapSet, SlapTuple, type SlapValue } from "./SlapValue.ts"

/** Python's `repr` of a float: the shortest digits that read back as the same number, as JavaScript chooses them too. */
export const pythonFloat = (value: number): string => {
  if (Number.isNaN(value)) {
    return "nan"
  }
  if (!Number.isFinite(value)) {
    return value > 0 ? "inf" : "-inf"
  }
  if (Object.is(value, -0)) {
    return "-0.0"
  }
  const [mantissa = "0", power = "0"] = value.toExponential().split("e")
  const exponent = Number(power)
  if (value !== 0 && (exponent < -4 || exponent >= 16)) {
    return `${mantissa}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`
  }
  return positional(mantissa, exponent)
}

const positional = (mantissa: string, exponent: number): string => {
  const sign = mantissa.startsWith("-") ? "-" : ""
  const digits = mantissa.replaceAll(/[-.]/g, "")
  if (exponent < 0) {
    return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`
  }
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0")
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`
}

/** Python's `str()`: a text as it is, everything else as `repr` shows it. */
export const pythonStr = (value: SlapValue): string => (typeof value === "string" ? value : pythonRepr(value))

const pythonRepr = (value: SlapValue): string => {
  switch (typeof value) {
    case "string":
      return quoted(value)
    case "boolean":
      return value ? "True" : "False"
    case "bigint":
      return value.toString()
    case "number":
      return pythonFloat(value)
    default:
      return value === null ? "None" : containerRepr(value)
  }
}

const containerRepr = (value: Extract<SlapValue, object>): string => {
  if (value instanceof SlapTuple) {
    return `(${value.items.map(pythonRepr).join(", ")}${value.items.length === 1 ? "," : ""})`
  }
  if (value instanceof SlapSet) {
    return value.items.length === 0 ? "set()" : `{${value.items.map(pythonRepr).join(", ")}}`
  }
  if (value instanceof SlapObject) {
    return `<slapos.slap.slap.${value.className} object>`
  }
  if (value instanceof Map) {
    return `{${[...value].map(([key, item]) => `${pythonRepr(key)}: ${pythonRepr(item)}`).join(", ")}}`
  }
  return `[${[...value].map(pythonRepr).join(", ")}]`
}

const shortEscapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\\": "\\\\" }

const quoted = (text: string): string => {
  const mark = text.includes("'") && !text.includes('"') ? '"' : "'"
  const escaped = text.replaceAll(
    /[\\\p{C}\p{Zl}\p{Zp}]|(?! )\p{Zs}/gu,
    (found) => shortEscapes[found] ?? numeric(found),
  )
  return `${mark}${mark === "'" ? escaped.replaceAll("'", String.raw`\'`) : escaped}${mark}`
}

const numeric = (character: string): string => {
  const code = character.codePointAt(0) ?? 0
  const hex = code.toString(16)
  if (code <= 0xff) {
    return String.raw`\x${hex.padStart(2, "0")}`
  }
  return code <= 0xff_ff ? String.raw`\u${hex.padStart(4, "0")}` : String.raw`\U${hex.padStart(8, "0")}`
}

/** Python's order of texts: by code point, where JavaScript compares UTF-16 units. */
export const compareCodePoints = (left: string, right: string): number => {
  const shared = Math.min(left.length, right.length)
  for (let index = 0; index < shared; index++) {
    const difference = weight(left.charCodeAt(index)) - weight(right.charCodeAt(index))
    if (difference !== 0) {
      return difference
    }
  }
  return left.length - right.length
}

/** Surrogates stand for characters above all others. */
const weight = (unit: number): number => (unit >= 0xd800 && unit <= 0xdfff ? unit + 0x1_00_00 : unit)
