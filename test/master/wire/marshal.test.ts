import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import * as fc from "fast-check"
import { expect } from "vitest"
import { fuzz } from "../../support/fuzz.ts"
import {
  decodeMarshal,
  encodeMarshal,
  SlapObject,
  SlapSet,
  SlapTuple,
  type SlapValue,
} from "../../../src/master/wire/marshal.ts"
import { computerAsErp5, documents } from "./vectors.ts"

const decode = (xml: string): SlapValue => Result.getOrThrow(decodeMarshal(xml))
const inside = (content: string): string => `<marshal>${content}</marshal>`

describe("captured documents", () => {
  it("are there", () => {
    expect(documents.length).toBeGreaterThan(30)
  })

  // None is excluded: slapproxy and the node marshal with the same library.
  it.each(documents)("$where is read and written again byte for byte", ({ xml }) => {
    expect(encodeMarshal(decode(xml))).toBe(xml)
  })

  it("as ERP5 writes them are read; written again they mean the same", () => {
    // Not byte for byte: that document is pretty-printed, not ASCII, and has a declaration.
    const value = decode(computerAsErp5)
    expect(decode(encodeMarshal(value))).toStrictEqual(value)
    expect(encodeMarshal(value)).toContain("&#233;t&#233; &amp;lt;1&amp;gt;")
  })
})

describe("values", () => {
  const cases: ReadonlyArray<readonly [xml: string, value: SlapValue]> = [
    ["<string>a&amp;lt;b</string>", "a<b"],
    ["<string>&amp;amp;lt;</string>", "&lt;"],
    ["<string></string>", ""],
    ["<string>h&#233;llo &#128512;\n\t&#13;</string>", "héllo 😀\n\t\r"],
    ["<int>-5</int>", -5n],
    ["<int>9007199254740993</int>", 9007199254740993n],
    ["<float>1.5</float>", 1.5],
    ["<float>1e+16</float>", 1e16],
    ["<float>1e-05</float>", 1e-5],
    ["<float>0.0001</float>", 1e-4],
    ["<float>-0.0</float>", -0],
    ["<float>123456789012345.0</float>", 123456789012345],
    ["<float>inf</float>", Infinity],
    ["<float>-inf</float>", -Infinity],
    ["<float>nan</float>", Number.NaN],
    ["<bool>1</bool>", true],
    ["<bool>0</bool>", false],
    ["<none/>", null],
    ['<list id="i2"/>', []],
    ['<list id="i2"><int>1</int><list id="i3"/></list>', [1n, []]],
    ['<set id="i2"><int>1</int></set>', new SlapSet([1n])],
    ["<tuple/>", new SlapTuple([])],
    ["<tuple><none/></tuple>", new SlapTuple([null])],
    ['<dictionary id="i2"/>', new Map()],
    [
      '<object id="i2" module="slapos.slap.slap" class="SoftwareRelease"><tuple><string>u</string><none/></tuple><dictionary id="i3"/></object>',
      new SlapObject("SoftwareRelease", ["u", null], new Map()),
    ],
  ]

  it.each(cases)("%s is read and written", (xml, value) => {
    expect(decode(inside(xml))).toStrictEqual(value)
    expect(encodeMarshal(value)).toBe(inside(xml))
  })

  const foreign: ReadonlyArray<readonly [xml: string, value: SlapValue]> = [
    ["<unicode>a</unicode>", "a"],
    ["<string/>", ""],
    ["<string>a&#x41;&quot;<!-- no text --><![CDATA[<&lt;]]></string>", 'aA"<<'],
    ["<string>a\r\nb\rc</string>", "a\nb\nc"],
    ["<long>12345678901234567890</long>", 12345678901234567890n],
    ["<int> +7 </int>", 7n],
    ["<bool>2</bool>", true],
    ["<none></none>", null],
    ["<float>Infinity</float>", Infinity],
    ["<list>\n  <string>a</string>\n  <!-- one -->\n</list>", ["a"]],
    [
      "<object class='SoftwareInstance' id='i2' module = 'slapos.slap.slap' ><tuple></tuple> <dictionary /></object >",
      new SlapObject("SoftwareInstance", [], new Map()),
    ],
  ]

  it.each(foreign)("%s is read too", (xml, value) => {
    expect(decode(`\uFEFF<?xml version="1.0" encoding='utf-8' ?>\n${inside(xml)}\n`)).toStrictEqual(value)
  })

  it("dictionaries are written sorted as Python sorts", () => {
    const value = new Map<SlapValue, SlapValue>([
      ["\u{1F600}", 1n],
      ["\uFF5E", 2n],
      ["b", 3n],
      ["B", 4n],
      ["ba", 5n],
      [10n, 6n],
      [9n, 7n],
    ])
    const written = decode(encodeMarshal(value))
    expect(written instanceof Map && [...written.keys()]).toStrictEqual([
      9n,
      10n,
      "B",
      "b",
      "ba",
      "\uFF5E",
      "\u{1F600}",
    ])
  })

  it("a container that occurs twice is one value and a reference", () => {
    const shared: ReadonlyArray<SlapValue> = ["x"]
    const xml = inside('<list id="i2"><list id="i3"><string>x</string></list><reference id="i3"/></list>')
    expect(encodeMarshal([shared, shared])).toBe(xml)
    const read = decode(xml)
    expect(read).toStrictEqual([["x"], ["x"]])
    expect(Array.isArray(read) && read[0] === read[1]).toBe(true)
  })

  it("what XML cannot carry is replaced when written", () => {
    expect(encodeMarshal("a\u0000\uD800b\uFFFF")).toBe(inside("<string>a&#65533;&#65533;b&#65533;</string>"))
  })

  it("an object with the wrong number of arguments is not written", () => {
    expect(() => encodeMarshal(new SlapObject("Computer", [], new Map()))).toThrow("Computer takes 1 constructor")
  })
})

describe("malformed documents are refused", () => {
  const object = (attributes: string, content = '<tuple><string>C</string></tuple><dictionary id="i3"/>') =>
    `<object id="i2" ${attributes}>${content}</object>`
  const computer = 'module="slapos.slap.slap" class="Computer"'
  const cases: ReadonlyArray<readonly [document: string, message: string]> = [
    ["", "the document is empty"],
    ["  \n", "the document is empty"],
    ["hello", "text outside of the document's element"],
    ["<html></html>", "the document is <html>, not <marshal>"],
    ["<marshal/>", "<marshal> holds 0 values"],
    [inside("<int>1</int><int>2</int>"), "<marshal> holds 2 values"],
    [`${inside("<int>1</int>")}<marshal/>`, "a second element"],
    [`${inside("<int>1</int>")}x`, "text outside of the document's element"],
    ["<marshal><int>1</int>", "the document ends inside <marshal>"],
    ["<marshal><list id='i2'></marshal>", "</marshal> where </list> is due"],
    ["</marshal>", "nothing is open"],
    ["<marshal><int>1</int", "a malformed end tag"],
    ["<marshal><int", "a malformed tag"],
    ["<marshal>< int>1</int></marshal>", "a malformed tag"],
    ["<marshal><list id=i2/></marshal>", "a malformed tag"],
    ["<marshal><list id='a<b'/></marshal>", "a malformed tag"],
    ["<marshal><!-- </marshal>", "a comment without an end"],
    ['<marshal><list id="i2" id="i2"/></marshal>', 'its attribute "id" twice'],
    ['<!DOCTYPE marshal SYSTEM "x"><marshal/>', "document types and entity declarations are refused"],
    ['<!DOCTYPE m [<!ENTITY a "b">]><marshal/>', "document types and entity declarations are refused"],
    [`<?xml version="1.0" encoding="latin1"?>${inside("<none/>")}`, 'encoding "latin1" is not supported'],
    [` <?xml version="1.0"?>${inside("<none/>")}`, "a misplaced XML declaration"],
    [inside("<?php x?>"), "a processing instruction"],
    [inside("<string>&a;</string>"), 'the unknown entity "a"'],
    [inside("<string>&toString;</string>"), 'the unknown entity "toString"'],
    [inside("<string>a & b</string>"), "an & that starts no entity"],
    [inside("<string>&#0;</string>"), 'the character reference "#0" is not allowed'],
    [inside("<string>&#xD800;</string>"), 'the character reference "#xD800" is not allowed'],
    [inside("<string>&#99999999;</string>"), "is not allowed"],
    [inside("<string>\u0001</string>"), "a character that XML does not allow"],
    [inside("<pickle>x</pickle>"), "the unknown element <pickle>"],
    [inside("<marshal><none/></marshal>"), "the unknown element <marshal>"],
    [inside("<string><int>1</int></string>"), "<int> inside <string>"],
    [inside('<string id="i2">a</string>'), 'unknown attribute "id"'],
    [inside('<list kind="x"/>'), 'unknown attribute "kind"'],
    [inside('<list id="i2">x<int>1</int></list>'), "text directly inside <list>"],
    ["<marshal>x<int>1</int></marshal>", "text directly inside <marshal>"],
    [inside("<int>1.5</int>"), '<int> holds "1.5", which is no integer'],
    [inside("<int></int>"), "no integer"],
    [inside("<bool>true</bool>"), "no integer"],
    [inside("<float>1,5</float>"), "no float"],
    [inside("<float>0x10</float>"), "no float"],
    [inside("<none>0</none>"), "<none> is not empty"],
    [inside('<dictionary id="i2"><string>a</string></dictionary>'), "a key without a value"],
    [
      inside('<dictionary id="i2"><string>a</string><none/><string>a</string><none/></dictionary>'),
      'has its key "a" twice',
    ],
    [inside('<dictionary id="i2"><list id="i3"/><none/></dictionary>'), "a key that is a container"],
    [inside(object('module="os" class="Computer"')), 'class "Computer" of module "os"'],
    [inside(object('module="slapos.slap.slap" class="system"')), 'class "system"'],
    [inside(object('module="slapos.slap.slap" class="toString"')), 'class "toString"'],
    [inside(object('class="Computer"')), 'of module ""'],
    [inside(object(computer, '<tuple/><dictionary id="i3"/>')), "Computer takes 1 constructor arguments, not 0"],
    [inside(object(computer, "<tuple><none/></tuple>")), "exactly a tuple and a dictionary"],
    [inside(object(computer, '<list id="i3"/><dictionary id="i4"/>')), "exactly a tuple and a dictionary"],
    [
      inside(object(computer, "<tuple><none/></tuple><dictionary><int>1</int><none/></dictionary>")),
      "whose name is no text",
    ],
    [inside('<reference id="i2"/>'), 'a reference to "i2", which nothing before it has'],
    [inside('<list id="i2"><reference id="i3"/><list id="i3"/></list>'), 'a reference to "i3"'],
    [inside('<list id="i2"><reference id="i2"/></list>'), 'a reference to "i2" inside of that value itself'],
    [inside('<list id="i2"><reference/></list>'), "<reference> without an id"],
    [inside('<list id="i2"><list id="i2"/></list>'), 'the id "i2" is used twice'],
  ]

  it.each(cases)("%s", (document, message) => {
    const result = decodeMarshal(document)
    expect(Result.isFailure(result) && result.failure.message).toContain(message)
  })

  it("integers so long that reading them takes quadratic time", () => {
    expect(Result.isFailure(decodeMarshal(inside(`<int>${"9".repeat(5000)}</int>`)))).toBe(true)
  })

  it("the message says where, and shows nothing raw", () => {
    const result = decodeMarshal(`<marshal>\n  <list id="i2">\n    <int>1&#x9b;31m</int>\n  </list></marshal>`)
    expect(Result.isFailure(result) && result.failure.message).toBe(
      String.raw`<int> holds "1\u009b31m", which is no integer (line 3, column 20)`,
    )
  })

  it("references that stand for a gigantic document", () => {
    const doubled = Array.from(
      { length: 60 },
      (_, n) => `<list id="n${n}"><reference id="p${n}"/><reference id="p${n}"/></list>`,
    )
    // Each level refers twice to the one before it.
    const xml = doubled
      .map((level, n) => level.replaceAll(`p${n}`, `n${n - 1}`))
      .join("")
      .replaceAll('<reference id="n-1"/>', "<int>1</int>")
    const result = decodeMarshal(inside(`<list id="all">${xml}</list>`))
    expect(Result.isFailure(result) && result.failure.message).toContain("too large with its references written out")
  })
})

describe("size", () => {
  const nested = (depth: number): string => inside("<list>".repeat(depth) + "</list>".repeat(depth))

  it("nesting deeper than any master writes is refused, not a crash", () => {
    const result = decodeMarshal(nested(10_000))
    expect(Result.isFailure(result) && result.failure.message).toContain("nested deeper than 256")
    expect(Result.isSuccess(decodeMarshal(nested(250)))).toBe(true)
  })

  it("deep values are written without a crash", () => {
    let value: SlapValue = []
    for (let depth = 0; depth < 10_000; depth++) {
      value = [value]
    }
    expect(encodeMarshal(value)).toMatch(
      /^<marshal>(?:<list id="i\d+">){10000}<list id="i10002"\/>(?:<\/list>){10000}<\/marshal>$/,
    )
  })

  it("a document of megabytes is read and written again", () => {
    const value = Array.from({ length: 30_000 }, (_, n) => `${n} <&> é `.repeat(8))
    const xml = encodeMarshal(value)
    expect(xml.length).toBeGreaterThan(3_000_000)
    expect(decode(xml)).toStrictEqual(value)
  })

  it("long runs of markup characters are refused in linear time", () => {
    for (const hostile of ["&".repeat(500_000), " ".repeat(500_000), "a='b' ".repeat(100_000), "<!".repeat(250_000)]) {
      expect(Result.isFailure(decodeMarshal(`<marshal ${hostile}`))).toBe(true)
      expect(Result.isFailure(decodeMarshal(inside(`<string>${hostile}`)))).toBe(true)
    }
  })
})

describe("properties", () => {
  const text = fc
    .string({ unit: "grapheme", maxLength: 12 })
    .map((s) => s.replaceAll(/[^\t\n\r\u{20}-\u{D7FF}\u{E000}-\u{FFFD}\u{10000}-\u{10FFFF}]/gu, ""))
  const key: fc.Arbitrary<SlapValue> = fc.oneof(text, fc.bigInt(), fc.boolean())
  const { value } = fc.letrec<{ value: SlapValue }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      text,
      fc.boolean(),
      fc.bigInt(),
      fc.double(),
      fc.constant(null),
      fc.array(tie("value"), { maxLength: 4 }),
      fc.array(tie("value"), { maxLength: 4 }).map((items) => new SlapTuple(items)),
      fc.array(tie("value"), { maxLength: 4 }).map((items) => new SlapSet(items)),
      fc.array(fc.tuple(key, tie("value")), { maxLength: 4 }).map((entries) => new Map(entries)),
      fc
        .tuple(text, tie("value"), fc.array(fc.tuple(text, tie("value")), { maxLength: 3 }))
        .map(([url, computer, entries]) => new SlapObject("SoftwareRelease", [url, computer], new Map(entries))),
    ),
  }))

  it("what is written is read as the same", () => {
    fc.assert(
      fc.property(value, (written) => {
        const xml = encodeMarshal(written)
        expect(xml).toMatch(/^[\t\n\x20-\x7f]*$/)
        expect(decode(xml)).toEqual(written)
        expect(encodeMarshal(decode(xml))).toBe(xml)
      }),
      fuzz(1, 500),
    )
  })

  it("no text makes the reader throw", () => {
    const pieces = fc.constantFrom(
      "<",
      ">",
      "</",
      "/>",
      "marshal",
      "list",
      "string",
      "&",
      "amp;",
      " id='i2'",
      "<!--",
      "-->",
      "<![CDATA[",
      "x",
      " ",
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 20 }), (parts) => {
        expect(Result.isResult(decodeMarshal(`<marshal>${parts.join("")}`))).toBe(true)
        expect(Result.isResult(decodeMarshal(parts.join("")))).toBe(true)
      }),
      fuzz(2, 500),
    )
  })
})
