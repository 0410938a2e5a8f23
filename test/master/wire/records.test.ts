import { describe, it } from "@effect/vitest"
import * as Result from "effect/Result"
import { expect } from "vitest"
import type { DesiredState } from "../../../src/domain/DesiredState.ts"
import { decodeComputer } from "../../../src/master/wire/computer.ts"
import { decodeAnswer } from "../../../src/master/wire/marshal.ts"
import { computerId } from "../http/support.ts"

const utf8 = (text: string): Uint8Array => new TextEncoder().encode(text)

const read = (document: string | Uint8Array): Result.Result<DesiredState, { readonly message: string }> =>
  Result.flatMap(decodeAnswer(typeof document === "string" ? utf8(document) : document), (value) =>
    decodeComputer(value, computerId),
  )

const slap = 'module="slapos.slap.slap"'
const text = (value: string): string => `<string>${value}</string>`

interface Parts {
  readonly className?: string
  readonly args?: string
  readonly id?: string
  readonly more?: string
}

const record = ({ args, className = "ComputerPartition", id = "slappart1", more = "<none/>" }: Parts): string =>
  `<object ${slap} class="${className}"><tuple>${args ?? `${text("COMP-1")}${text(id)}<none/>`}</tuple><dictionary>` +
  `${text("_requested_state")}${text("destroyed")}${text("_z")}${more}</dictionary></object>`

const computer = (partitions: string, software = ""): string =>
  `<marshal><object ${slap} class="Computer"><tuple>${text("COMP-1")}</tuple><dictionary>` +
  `${text("_software_release_list")}<list id="releases">${software}</list>` +
  `${text("_computer_partition_list")}<list id="partitions">${partitions}</list></dictionary></object></marshal>`

const between = (middle: string): string =>
  computer(`${record({ id: "slappart0" })}${middle}${record({ id: "slappart2" })}`)

const doubled = Array.from(
  { length: 60 },
  (_, n) => `<list id="n${n}">${n === 0 ? "<int>1</int>" : `<reference id="n${n - 1}"/>`.repeat(2)}</list>`,
)

const chained = Array.from(
  { length: 300 },
  (_, n) => `<list id="c${n}">${n === 0 ? "" : `<reference id="c${n - 1}"/>`}</list>`,
)

describe("what is wrong within a record costs that record", () => {
  const wrong: ReadonlyArray<readonly [what: string, more: string, reason: string]> = [
    ["NUL as a reference", text("a&#0;b"), 'the character reference "#0" is not allowed'],
    ["NUL itself", text("a\0b"), "a character that XML does not allow"],
    ["NUL in a CDATA section", text("<![CDATA[\0]]>"), "a character that XML does not allow"],
    ["half a character", text("\uFFFE"), "a character that XML does not allow"],
    ["an entity of a DTD's", text("&bomb;"), 'the unknown entity "bomb"'],
    ["a foreign class", '<object module="os" class="system"><tuple/><dictionary/></object>', 'class "system"'],
    [
      "too few constructor arguments",
      `<object ${slap} class="SoftwareRelease"><tuple>${text("u")}</tuple><dictionary/></object>`,
      "SoftwareRelease takes 2 constructor arguments, not 1",
    ],
    [
      "an object of other parts",
      `<object ${slap} class="Computer"><list/></object>`,
      "exactly a tuple and a dictionary",
    ],
    ["a dangling reference", '<reference id="nowhere"/>', 'a reference to "nowhere"'],
    ["a reference to what is around it", '<reference id="partitions"/>', "inside of that value itself"],
    ["a reference with text", '<list id="q"/><reference id="q">x</reference>', "text directly inside <reference>"],
    ["an id of somebody else", '<list id="releases"/>', 'the id "releases" is used twice'],
    ["10,000 lists in each other", "<list>".repeat(10_000) + "</list>".repeat(10_000), "nested deeper than 256"],
    ["10,000 unknown elements in each other", "<a>".repeat(10_000) + "</a>".repeat(10_000), "the unknown element <a>"],
    ["an unknown element", "<pickle><list><int>1</int></list>x</pickle>", "the unknown element <pickle>"],
    ["an empty unknown element", "<pickle/>", "the unknown element <pickle>"],
    ["a value in a text", "<string><int>1</int></string>", "<int> inside <string>"],
    ["an unknown attribute", '<list kind="x"><int>1</int></list>', 'unknown attribute "kind"'],
    ["text in a list", "<list>x</list>", "text directly inside <list>"],
    ["text between values", "<list>x<int>1</int></list>", "text directly inside <list>"],
    ["a broken number", "<int>1.5</int>", "which is no integer"],
    ["a key without a value", `<dictionary>${text("a")}</dictionary>`, "a key without a value"],
    ["a key twice", `<dictionary>${`${text("a")}<none/>`.repeat(2)}</dictionary>`, 'has its key "a" twice'],
    ["values in each other by references", `<list>${chained.join("")}</list>`, "256 with their references written out"],
    ["more than anybody can hold", `<list>${doubled.join("")}</list>`, "too large with its references written out"],
  ]

  it.each(wrong)("%s", (_, more, reason) => {
    const { partitions, rejected } = Result.getOrThrow(read(between(record({ more }))))
    expect(partitions.map(({ id }) => id)).toStrictEqual(["slappart0", "slappart2"])
    expect(rejected).toStrictEqual([{ subject: "partition slappart1", reason: expect.stringContaining(reason) }])
    expect(rejected[0]?.reason).toMatch(/\(line \d+, column \d+\)$/)
  })

  it("bytes that are no UTF-8, wherever they are", () => {
    const document = utf8(between(record({ more: text("caf@") })))
    document[document.indexOf("@".charCodeAt(0))] = 0xe9
    const { partitions, rejected } = Result.getOrThrow(read(document))
    expect(partitions.map(({ id }) => id)).toStrictEqual(["slappart0", "slappart2"])
    expect(rejected).toStrictEqual([
      { subject: "partition slappart1", reason: expect.stringContaining("bytes that are not UTF-8") },
    ])
  })

  const unnamed: ReadonlyArray<readonly [what: string, middle: string, subject: string, reason: string]> = [
    ["a foreign class", record({ className: "Popen" }), "partition slappart1", 'class "Popen"'],
    [
      "too many constructor arguments",
      record({ args: `${text("COMP-1")}${text("slappart1")}<none/><none/>` }),
      "partition slappart1",
      "ComputerPartition takes 3 constructor arguments, not 4",
    ],
    [
      "a broken constructor argument",
      record({ args: `${text("COMP-1")}${text("slappart1")}<int>x</int>` }),
      "partition slappart1",
      "which is no integer",
    ],
    ["a broken name", record({ id: "a&#0;" }), "partition", "is not allowed"],
    ["a text", text("slappart1"), "partition", "not a ComputerPartition"],
    ["a broken text", text("&#0;"), "partition", "is not allowed"],
    ["an unknown element", "<pickle>x<int>1</int></pickle>", "partition", "the unknown element <pickle>"],
    ["a path as its name", record({ id: "../../etc" }), "partition ../../etc", "plain directory name"],
    ["the node's own directory as its name", record({ id: "var" }), "partition var", "plain directory name"],
    ["two lines as its name", record({ id: "a\nb" }), String.raw`partition "a\nb"`, "plain directory name"],
    ["10,000 characters as its name", record({ id: "a".repeat(10_000) }), "partition", "plain directory name"],
    ["a neighbour's name", record({ id: "slappart0" }), "partition slappart0", "names it twice"],
  ]

  it.each(unnamed)("a record that is, or has, %s", (_, middle, subject, reason) => {
    const { partitions, rejected } = Result.getOrThrow(read(between(middle)))
    expect(partitions.map(({ id }) => id)).toStrictEqual(["slappart0", "slappart2"])
    expect(rejected).toStrictEqual([
      { subject: expect.stringContaining(subject), reason: expect.stringContaining(reason) },
    ])
    expect(JSON.stringify(rejected).length).toBeLessThan(500)
  })

  it("a release's record, too", () => {
    const release = (url: string, more: string) =>
      `<object ${slap} class="SoftwareRelease"><tuple>${text(url)}${text("COMP-1")}</tuple>` +
      `<dictionary>${text("z")}${more}</dictionary></object>`
    const software = `${release("/a.cfg", "<none/>")}${release("/b.cfg", "<x/>")}${release("/c.cfg", "<none/>")}`
    const state = Result.getOrThrow(read(computer(record({}), software)))
    expect(state.software.map(({ url }) => url)).toStrictEqual(["/a.cfg", "/c.cfg"])
    expect(state.rejected).toStrictEqual([
      { subject: "software /b.cfg", reason: expect.stringContaining("the unknown element <x>") },
    ])
  })

  it("what refers to a value of a broken record is broken, too; what was complete can be used", () => {
    const middle = [
      record({ id: "slappart1", more: '<list id="whole"><list id="part"><int>1</int></list><int>x</int></list>' }),
      record({ id: "slappart3", more: '<reference id="whole"/>' }),
      record({ id: "slappart4", more: '<reference id="part"/>' }),
    ].join("")
    const { partitions, rejected } = Result.getOrThrow(read(between(middle)))
    expect(partitions.map(({ id }) => id)).toStrictEqual(["slappart0", "slappart4", "slappart2"])
    expect(rejected.map(({ subject }) => subject)).toStrictEqual(["partition slappart1", "partition slappart3"])
  })
})

describe("what is wrong with the document costs all of it", () => {
  const cases: ReadonlyArray<readonly [what: string, document: string, message: string]> = [
    [
      "a DTD",
      `<!DOCTYPE marshal [<!ENTITY a "b">]>${between("")}`,
      "document types and entity declarations are refused",
    ],
    ["a DTD that names a file", `<!DOCTYPE m SYSTEM "file:///etc/passwd">${between("")}`, "document types"],
    ["a tag that is not closed", between("<list>"), "</dictionary> where"],
    ["a fault outside of its lists", between("").replace("<marshal>", "<marshal><int>x</int>"), "which is no integer"],
    ["another value behind", between("").replace("</marshal>", "<none/></marshal>"), "holds 2 values"],
    ["more broken records than records", computer("<x/>".repeat(20_000)), "the unknown element <x>"],
    ["a tag with a thousand attributes", between(`<list ${'a="1" '.repeat(1000)}/>`), 'its attribute "a" twice'],
    [
      "a tag with a thousand other attributes",
      between(`<list ${Array.from({ length: 1000 }, (_, n) => `a${n}="1"`).join(" ")}/>`),
      "more than 16 attributes",
    ],
  ]

  it.each(cases)("%s", (_, document, message) => {
    const result = read(document)
    expect(Result.isFailure(result) && result.failure.message).toContain(message)
  })

  it("wherever it ends too early", () => {
    const whole = between(record({ more: text("&amp;") }))
    for (let end = 0; end < whole.length; end++) {
      expect(Result.isFailure(read(whole.slice(0, end)))).toBe(true)
    }
    expect(Result.isSuccess(read(whole))).toBe(true)
  })
})
