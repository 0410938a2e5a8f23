import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { SlapObject, SlapSet, SlapTuple, type SlapValue } from "../../../src/master/wire/marshal.ts"
import { compareCodePoints, pythonFloat, pythonStr } from "../../../src/master/wire/pythonText.ts"

describe("pythonStr", () => {
  // The right side is what CPython 3.11 prints.
  const cases: ReadonlyArray<readonly [value: SlapValue, text: string]> = [
    ['it\'s "x"\n', 'it\'s "x"\n'],
    [true, "True"],
    [false, "False"],
    [null, "None"],
    [12345678901234567890n, "12345678901234567890"],
    [1.5, "1.5"],
    [["a", 1n], "['a', 1]"],
    [[], "[]"],
    [new SlapTuple([]), "()"],
    [new SlapTuple([1n]), "(1,)"],
    [new SlapTuple([1n, null]), "(1, None)"],
    [new SlapSet([]), "set()"],
    [new SlapSet([1n]), "{1}"],
    [new Map<SlapValue, SlapValue>([["k", new Map([["n", [true]]])]]), "{'k': {'n': [True]}}"],
    [["it's"], `["it's"]`],
    [[`'"`], String.raw`['\'"']`],
    [
      ["\n\r\t\\\u0000\u007F\u00A0\u00AD\u2028é😀\u{E0001}"],
      String.raw`['\n\r\t\\\x00\x7f\xa0\xad\u2028é😀\U000e0001']`,
    ],
    [new SlapObject("SoftwareInstance", [], new Map()), "<slapos.slap.slap.SoftwareInstance object>"],
  ]

  it.each(cases)("%o", (value, text) => {
    expect(pythonStr(value)).toBe(text)
  })
})

describe("pythonFloat", () => {
  const cases: ReadonlyArray<readonly [value: number, text: string]> = [
    [0, "0.0"],
    [-0, "-0.0"],
    [100, "100.0"],
    [-2.5, "-2.5"],
    [0.1, "0.1"],
    [0.00012, "0.00012"],
    [0.000012, "1.2e-05"],
    [1795337691.9568899, "1795337691.9568899"],
    [9999999999999998, "9999999999999998.0"],
    [1e16, "1e+16"],
    [1.5e300, "1.5e+300"],
    [5e-324, "5e-324"],
    [Infinity, "inf"],
    [-Infinity, "-inf"],
    [Number.NaN, "nan"],
  ]

  it.each(cases)("%s", (value, text) => {
    expect(pythonFloat(value)).toBe(text)
  })
})

describe("compareCodePoints", () => {
  it("puts characters beyond the first 65,536 last, as Python does", () => {
    const sorted = ["\u{10000}", "\uFFFD", "", "b", "a\u{1F600}", "a", "ab"].sort(compareCodePoints)
    expect(sorted).toStrictEqual(["", "a", "ab", "a\u{1F600}", "b", "\uFFFD", "\u{10000}"])
  })
})
