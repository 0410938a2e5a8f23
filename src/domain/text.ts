// Texts of strangers (children, masters) made fit for a terminal. Whatever was not written by the program itself passes
// through here before it is shown.

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

/**
 * Control characters but newline and tab become visible escapes, and so does what turns the order of letters: a log line
 * must neither steer a terminal nor read as what it is not.
 */
export const escapeControls = (text: string): string =>
  text
    .replaceAll(/(?![\n\t])\p{Cc}/gu, (character) => `\\x${hex(character, 2)}`)
    .replaceAll(reordering, (character) => `\\u${hex(character, 4)}`)

/** The same for what is to stay on one line, whatever strangers called their programs. */
export const oneLine = (text: string): string => escapeControls(text).replaceAll("\n", "\\n").replaceAll("\t", "\\t")

/** A URL without the user and password in it, for everybody but its server. */
export const publicUrl = (url: string): string => url.replace(/^(\w+:\/\/)[^/?#]*@/, "$1")

/** JSON that means the same and is safe on a terminal: JSON itself only escapes the first half of the controls. */
export const printableJson = (value: unknown, indent?: number): string =>
  JSON.stringify(value, null, indent)
    .replaceAll(/[\u007f-\u009f]/g, (character) => `\\u${hex(character, 4)}`)
    .replaceAll(reordering, (character) => `\\u${hex(character, 4)}`)
