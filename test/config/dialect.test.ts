// The rules of the dialect one by one, and what an operator reads when one is broken. That they are configparser's is
// checked in dialect.differential.test.ts.
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import { parseDialect } from "../../src/config/dialect.ts"
import { interpolate } from "../../src/config/interpolation.ts"

const read = (text: string): ReadonlyArray<readonly [string, string, string]> => {
  const { defaults, sections } = Result.getOrThrow(parseDialect(text))
  return [["DEFAULT", defaults] as const, ...sections].flatMap(([section, options]) =>
    [...options].map(([name, { raw }]) => [section, name, raw] as const),
  )
}

describe("parseDialect", () => {
  it.each<readonly [rule: string, text: string, expected: ReadonlyArray<readonly [string, string, string]>]>([
    [
      "both separators, the first one counts",
      "[s]\na = b:c\nd: e=f\n",
      [
        ["s", "a", "b:c"],
        ["s", "d", "e=f"],
      ],
    ],
    ["names in lower case, values as they are", "[S]\nKEY = Value", [["S", "key", "Value"]]],
    ["comments are whole lines only", "[s]\n# x\n  ; y\na = 1 ; z # w", [["s", "a", "1 ; z # w"]]],
    [
      "indented lines continue",
      "[s]\na =\n  1\n\t2\nb = 3",
      [
        ["s", "a", "\n1\n2"],
        ["s", "b", "3"],
      ],
    ],
    [
      "comments and empty lines in a value",
      "[s]\na = 1\n\n  # x\n  2\n\n\nb = 3",
      [
        ["s", "a", "1\n\n2"],
        ["s", "b", "3"],
      ],
    ],
    ["an indented header is a value", "[s]\na = 1\n [t]", [["s", "a", "1\n[t]"]]],
    [
      "an indented first option is none",
      "[s]\n  a = 1\n  b = 2",
      [
        ["s", "a", "1"],
        ["s", "b", "2"],
      ],
    ],
    [
      "quotes stay",
      `[s]\na = "x"\nb = 'y'`,
      [
        ["s", "a", '"x"'],
        ["s", "b", "'y'"],
      ],
    ],
    [
      "nothing is coerced",
      "[s]\na = true\nb = null\n1 = 2",
      [
        ["s", "a", "true"],
        ["s", "b", "null"],
        ["s", "1", "2"],
      ],
    ],
    [
      "section names are opaque",
      "[a.b]\nx = 1\n[a]\nb = 2",
      [
        ["a.b", "x", "1"],
        ["a", "b", "2"],
      ],
    ],
    ["dangerous names are names", "[__proto__]\n__proto__ = 1", [["__proto__", "__proto__", "1"]]],
    ["no arrays", "[s]\na[] = 1", [["s", "a[]", "1"]]],
    [
      "an empty value is a value",
      "[s]\na =\nb:",
      [
        ["s", "a", ""],
        ["s", "b", ""],
      ],
    ],
    [
      "the default section",
      "[DEFAULT]\na = 1\n[s]\nb = 2",
      [
        ["DEFAULT", "a", "1"],
        ["s", "b", "2"],
      ],
    ],
    [
      "line ends of all kinds",
      "[s]\r\na = 1\rb = 2\nc = 3",
      [
        ["s", "a", "1"],
        ["s", "b", "2"],
        ["s", "c", "3"],
      ],
    ],
    ["an empty file", "", []],
  ])("%s", (_, text, expected) => {
    expect(read(text)).toStrictEqual(expected)
  })

  it("keeps sections without options, and where an option begins", () => {
    const document = Result.getOrThrow(parseDialect("\n[firewall]\n[s]\n# x\na =\n  1\nb = 2"))
    expect([...document.sections.keys()]).toStrictEqual(["firewall", "s"])
    expect([...document.sections.get("s")!.values()].map(({ line }) => line)).toStrictEqual([5, 7])
  })

  it.each<readonly [text: string, message: string]>([
    ["a = 1", `line 1: "a = 1" stands before any section; put a line such as [slapos] above it`],
    ["\ufeff[slapos]\na = 1", "line 1: the file begins with a byte order mark (U+FEFF); save it as UTF-8 without one"],
    [
      "[s]\na = 1\nnonsense\n\n  = 2\n",
      [`line 3: "nonsense" has no "=" or ":"; write "name = value", or indent it if it continues the line above`].join(
        "\n",
      ),
    ],
    [
      "[s]\nnonsense\n= 2\n: 3",
      [
        `line 2: "nonsense" has no "=" or ":"; write "name = value", or indent it if it continues the line above`,
        `line 3: "= 2" has no name before its "="; write "name = value"`,
        `line 4: ": 3" has no name before its ":"; write "name = value"`,
      ].join("\n"),
    ],
    [
      "[s]\na = 1\nA = 2\n[s]\n",
      [
        `line 3: option "a" stands a second time in [s]; remove one of the two`,
        `line 4: section "s" stands here a second time; merge the two`,
      ].join("\n"),
    ],
  ])("tells all mistakes of %j", (text, message) => {
    expect(Result.getOrThrow(Result.flip(parseDialect(text))).message).toBe(message)
  })
})

describe("interpolate", () => {
  const document = Result.getOrThrow(
    parseDialect(`
[DEFAULT]
root = /opt
full = 100%%
[s]
plain = %(root)s/x
cased = %(ROOT)s
nested = %(plain)s/%(full)s
own = 1
missing = %(nowhere)s/y
single = 50% off
unclosed = %(root/x
circle = %(circle)s
[t]
root = /srv
plain = %(root)s/x
`),
  )

  it.each<readonly [section: string, name: string, value: string | undefined]>([
    ["s", "plain", "/opt/x"],
    ["s", "cased", "/opt"],
    ["s", "nested", "/opt/x/100%"],
    ["s", "full", "100%"],
    ["s", "nothing", undefined],
    ["t", "plain", "/srv/x"],
    ["t", "own", undefined],
    ["nowhere", "root", "/opt"],
    ["DEFAULT", "full", "100%"],
  ])("[%s] %s is %s", (section, name, value) => {
    expect(Result.getOrThrow(interpolate(document, section, name))).toBe(value)
  })

  it.each<readonly [name: string, kind: string, message: string]>([
    [
      "missing",
      "InterpolationMissingOption",
      `line 10: the value "%(nowhere)s/y" refers to "nowhere", which neither its section nor [DEFAULT] has; add that option or write "%%(nowhere)s"`,
    ],
    [
      "single",
      "InterpolationSyntax",
      `line 11: the value "50% off" has a single "%" at "% off"; write "%%" for a percent sign or "%(name)s" for another option's value`,
    ],
    [
      "unclosed",
      "InterpolationSyntax",
      `line 12: the value "%(root/x" has a single "%" at "%(root/x"; write "%%" for a percent sign or "%(name)s" for another option's value`,
    ],
    [
      "circle",
      "InterpolationDepth",
      `line 13: the value "%(circle)s" refers to itself, or through more than 10 other options; write the value out`,
    ],
  ])("explains %s", (name, kind, message) => {
    const error = Result.getOrThrow(Result.flip(interpolate(document, "s", name)))
    expect(error.mistakes[0].kind).toBe(kind)
    expect(error.message).toBe(message)
  })
})
