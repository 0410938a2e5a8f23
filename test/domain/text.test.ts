// Strangers' texts on a terminal, and in JSON that somebody looks at on one.
import { expect, it } from "vitest"
import * as Redacted from "effect/Redacted"
import { escapeControls, printableJson, publicUrl } from "../../src/domain/text.ts"

it.each([
  ["a line\nand\tanother", "a line\nand\tanother"],
  ["\u001b[2J\u001b]0;title\u0007", "\\x1b[2J\\x1b]0;title\\x07"],
  ["\u009b31m\u007f\r", "\\x9b31m\\x7f\\x0d"],
  ["safe \u202egnp.exe\u2066", "safe \\u202egnp.exe\\u2066"],
  ["one\u2028two", "one\\u2028two"],
  ["naïve – 日本", "naïve – 日本"],
  ["get https://user:p@ss@host/a@b, ssh://git@host:22/x", "get https://***@host/a@b, ssh://***@host:22/x"],
  ["http://host/a@b?c://d", "http://host/a@b?c://d"],
])("%j is shown as %j", (text, shown) => {
  expect(escapeControls(text)).toBe(shown)
})

it.each([
  ["https://slap.example.org/", "https://slap.example.org/"],
  ["https://user:secret@slap.example.org/a@b", "https://slap.example.org/a@b"],
  ["http://user:p@ss@[::1]:5000/", "http://[::1]:5000/"],
])("%s is %s for others", (url, shown) => {
  expect(publicUrl(Redacted.make(url))).toBe(shown)
})

it("a URL's password is in no JSON, however it is quoted", () => {
  const text = printableJson({ url: 'https://user:secret@host/"', other: ["a://b", "c@d"] })
  expect(JSON.parse(text)).toStrictEqual({ url: 'https://***@host/"', other: ["a://b", "c@d"] })
})

it("JSON is the same value, and nothing of it steers a terminal", () => {
  const value = { "na\u009bme": ["\u001b[2J", "\u202e", "\u2028\u007f", "plain é"] }
  for (const text of [printableJson(value), printableJson(value, 2)]) {
    expect(JSON.parse(text)).toStrictEqual(value)
    expect(text).not.toMatch(/(?!\n)\p{Cc}|[\u2028-\u202e]/u)
  }
})
