import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { expect } from "vitest"
import { decodeInstanceXml, encodeInstanceXml } from "../../../src/master/wire/instanceXml.ts"
import type { SlapValue } from "../../../src/master/wire/marshal.ts"

const decode = (xml: string) => Object.fromEntries(Result.getOrThrow(decodeInstanceXml(xml)))

describe("encodeInstanceXml", () => {
  const cases: ReadonlyArray<readonly [parameters: Record<string, SlapValue>, xml: string]> = [
    [{}, "<instance/>"],
    [{ b: "2", a: "1" }, '<instance><parameter id="a">1</parameter><parameter id="b">2</parameter></instance>'],
    [{ a: "" }, '<instance><parameter id="a"/></instance>'],
    [
      { b: true, f: 1.5, l: ["a", 1n], n: null },
      `<instance><parameter id="b">True</parameter><parameter id="f">1.5</parameter><parameter id="l">['a', 1]</parameter><parameter id="n">None</parameter></instance>`,
    ],
    [
      { 'k"<&\n': 'é<&"\r' },
      '<instance><parameter id="k&quot;&lt;&amp;&#10;">&#233;&lt;&amp;&quot;&#13;</parameter></instance>',
    ],
  ]

  it.each(cases)("%o", (parameters, xml) => {
    expect(encodeInstanceXml(new Map(Object.entries(parameters)))).toBe(xml)
  })

  it("what was written is read as the same texts", () => {
    const text = fc.string({ minLength: 1, maxLength: 20 })
    fc.assert(
      fc.property(fc.dictionary(text, text), (parameters) => {
        expect(decode(encodeInstanceXml(new Map(Object.entries(parameters))))).toEqual(parameters)
      }),
    )
  })
})

describe("decodeInstanceXml", () => {
  const cases: ReadonlyArray<readonly [xml: string, parameters: Record<string, string | null>]> = [
    ["", {}],
    [" \n", {}],
    ["<instance/>", {}],
    [
      "<?xml version='1.0' encoding='utf-8'?>\n<instance>\n  <parameter id=\"a\">x &amp; y</parameter>\n</instance>\n",
      { a: "x & y" },
    ],
    ['<instance><parameter id="a"></parameter><parameter id="b"/></instance>', { a: null, b: null }],
    ['<instance><parameter id="a">1</parameter><parameter id="a">2</parameter></instance>', { a: "1 2" }],
    ['<instance><parameter id="a"/><parameter id="a">2</parameter></instance>', { a: "2" }],
    ['<instance><parameter id="a">2</parameter><parameter id="a"/></instance>', { a: "2" }],
    ['<instance><parameter id="a">&amp;lt;</parameter></instance>', { a: "&lt;" }],
  ]

  it.each(cases)("%s", (xml, parameters) => {
    expect(decode(xml)).toStrictEqual(parameters)
  })

  const malformed: ReadonlyArray<readonly [xml: string, message: string]> = [
    ["<marshal/>", "<marshal> where <instance> is expected"],
    ["<instance><x/></instance>", "<x> where <parameter> is expected"],
    ['<instance><parameter id="a"><b/></parameter></instance>', "<b> where only text is expected"],
    ["<instance><parameter>1</parameter></instance>", "<parameter> without an id"],
    ['<instance><parameter id="a" type="b">1</parameter></instance>', 'unknown attribute "type"'],
    ['<instance id="a"/>', 'unknown attribute "id"'],
    ["<instance>x</instance>", "text directly inside <instance>"],
    ["<instance>", "the document ends inside <instance>"],
    ['<!DOCTYPE instance [<!ENTITY a "b">]><instance/>', "document types and entity declarations are refused"],
  ]

  it.each(malformed)("%s is refused", (xml, message) => {
    const result = decodeInstanceXml(xml)
    expect(Result.isFailure(result) && result.failure.message).toContain(message)
  })
})
