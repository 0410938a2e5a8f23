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

/** Control characters but newline and tab become visible escapes: a log line must not be able to steer a terminal. */
export const escapeControls = (text: string): string =>
  text.replaceAll(/(?![\n\t])\p{Cc}/gu, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`)
