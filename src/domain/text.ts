// Texts of strangers (children, masters) made fit for a terminal. Whatever was not written by the program itself passes
// through here before it is shown.

/** Control characters but newline and tab become visible escapes: a log line must not be able to steer a terminal. */
export const escapeControls = (text: string): string =>
  text.replaceAll(/(?![\n\t])\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`)
