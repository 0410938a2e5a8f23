// Texts of strangers (children, masters) made fit for a terminal. Whatever was not written by the program itself passes
// through here before it is shown.
import * as Redacted from "effect/Redacted"

/** Bytes as people write them: `68.1M`, with the units of slapos.cfg. */
export const showSize = (bytes: number): string => {
  const units = ["", "K", "M", "G", "T"]
  let size = bytes
  let unit = 0
  for (; size >= 1024 && unit < units.length - 1; unit++) size /= 1024
  return `${Number(size.toFixed(1))}${units[unit]}`
}

const hex = (character: string, length: number): string => character.charCodeAt(0).toString(16).padStart(length, "0")

/** What changes the order in which a line is shown, or begins another one. */
const reordering = /[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/g

/** Who logs in at a URL, and how: the URL of a release, or what a build says of one, can have a password in it. */
const login = /:\/\/[^\s/?#"\\]*@/g

const hideLogins = (text: string): string => text.replaceAll(login, "://***@")

/** What a program wrote into its own log, with control characters but newline and tab as visible escapes. */
export const escapeOutput = (text: string): string =>
  text
    .replaceAll(/(?![\n\t])\p{Cc}/gu, (character) => `\\x${hex(character, 2)}`)
    .replaceAll(reordering, (character) => `\\u${hex(character, 4)}`)

/**
 * The same for what the agent says: it must neither steer a terminal nor read as what it is not, whatever turns the order
 * of letters. Nor does it show a password.
 */
export const escapeControls = (text: string): string => escapeOutput(hideLogins(text))

/** The same for what is to stay on one line, whatever strangers called their programs. */
export const oneLine = (text: string): string => escapeControls(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t")

/** A URL without the user and password in it, for everybody but its server. */
export const publicUrl = (url: Redacted.Redacted): string => Redacted.value(url).replace(/^(\w+:\/\/)[^/?#]*@/, "$1")

/** JSON that is safe on a terminal and means the same but for passwords: JSON itself escapes half of the controls. */
export const printableJson = (value: unknown, indent?: number): string =>
  hideLogins(JSON.stringify(value, null, indent))
    .replaceAll(/[\u007f-\u009f]/g, (character) => `\\u${hex(character, 4)}`)
    .replaceAll(reordering, (character) => `\\u${hex(character, 4)}`)
