// Hard input as the agent meets it: bytes of a master over HTTP, and what is left of them as desired state. The rules are
// tested one by one elsewhere; this is the list of what there is, and that nothing of it gets through.
//
// | hard input                                          | here                            | in depth                                      |
// | --------------------------------------------------- | ------------------------------- | --------------------------------------------- |
// | DTD, entity bombs                                   | costs all of it: …              | records, marshal (what is no XML we take)     |
// | 100 MB, announced or not; small on the wire         | larger than anybody needs: …    |                                               |
// | depth 10,000; deep by references                    | costs one partition: …          | marshal (size), records                       |
// | a document that references make huge                | costs one partition: …          | marshal (references)                          |
// | wrong constructor arity, wrong arity                | costs one partition: …          | records, computer                             |
// | dangling references                                 | costs one partition: …          | records, marshal                              |
// | NUL, bytes that are no UTF-8                        | costs one partition: …          | records                                       |
// | foreign classes                                     | costs one partition: …          | records, marshal                              |
// | duplicate partitions                                | costs one partition: …          | computer                                      |
// | ids with `/`, `..`, newline, of 10,000 characters   | costs one partition: …          | domain/ids, records                           |
// | trailing values, truncation                         | costs all of it: …              | records (wherever it ends too early)          |
// | 20,000 damaged documents: no crash, hang or growth  |                                 | hostile                                       |
import type { IncomingMessage, ServerResponse } from "node:http"
import { pipeline } from "node:stream/promises"
import { createGzip } from "node:zlib"
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import { expect } from "vitest"
import { fakeMaster } from "../http/server.ts"
import { clientOf } from "../http/support.ts"

const slap = 'module="slapos.slap.slap"'
const text = (value: string): string => `<string>${value}</string>`

const partition = (id: string, more = "<none/>", args = `${text("COMP-1")}${text(id)}<none/>`): string =>
  `<object ${slap} class="ComputerPartition"><tuple>${args}</tuple><dictionary>` +
  `${text("_requested_state")}${text("destroyed")}${text("_z")}${more}</dictionary></object>`

const computer = (partitions: string): string =>
  `<marshal><object ${slap} class="Computer"><tuple>${text("COMP-1")}</tuple><dictionary>` +
  `${text("_software_release_list")}<list/>${text("_computer_partition_list")}<list id="all">${partitions}</list>` +
  `</dictionary></object></marshal>`

/** A partition with this between two sound ones. */
const between = (middle: string): string => computer(`${partition("slappart0")}${middle}${partition("slappart2")}`)

const chain = (levels: number, level: (n: number) => string): string =>
  `<list>${Array.from({ length: levels }, (_, n) => `<list id="n${n}">${level(n)}</list>`).join("")}</list>`
const referTo = (n: number, times: number): string => (n < 0 ? "<int>1</int>" : `<reference id="n${n}"/>`.repeat(times))

const answered = (body: string | Uint8Array) =>
  Effect.flatMap(
    fakeMaster(() => ({ body })),
    ({ url }) => clientOf(url),
  )

describe("costs one partition, by name, and the rest is used", () => {
  const bytes = Buffer.from(between(partition("slappart1", text("caf@"))))
  bytes[bytes.indexOf("@")] = 0xe9
  const cases: ReadonlyArray<readonly [what: string, document: string | Uint8Array, subject: string, reason: string]> =
    [
      ["depth 10,000", "<list>".repeat(10_000) + "</list>".repeat(10_000), "nested deeper than 256"],
      ["depth 1,000 by references", chain(1000, (n) => referTo(n - 1, 1)), "nested deeper than 256"],
      ["2^60 values by references", chain(60, (n) => referTo(n - 1, 2)), "too large with its references written out"],
      ["a dangling reference", '<reference id="nowhere"/>', 'a reference to "nowhere"'],
      ["NUL", text("a&#0;b"), "is not allowed"],
      ["NUL itself", text("a\0b"), "a character that XML does not allow"],
      ["an entity", text("&bomb;"), 'the unknown entity "bomb"'],
      ["a foreign class", '<object module="os" class="system"><tuple/><dictionary/></object>', "only SLAP's own"],
      ["wrong arity", `<object ${slap} class="SoftwareRelease"><tuple/><dictionary/></object>`, "takes 2 constructor"],
    ].map(([what = "", more = "", reason = ""]) => [
      what,
      between(partition("slappart1", more)),
      "partition slappart1",
      reason,
    ])
  const others: typeof cases = [
    ["bytes that are no UTF-8", bytes, "partition slappart1", "bytes that are not UTF-8"],
    [
      "wrong constructor arity",
      between(partition("slappart1", "<none/>", text("COMP-1"))),
      "partition",
      "takes 3 constructor arguments, not 1",
    ],
    ["a partition twice", between(partition("slappart0")), "partition slappart0", "names it twice"],
    ["an id with a /", between(partition("a/b")), "partition a/b", "plain directory name"],
    ["an id of ..", between(partition("..")), "partition ..", "plain directory name"],
    ["an id with a newline", between(partition("a\nb")), String.raw`partition "a\nb"`, "plain directory name"],
    ["an id of 10,000 characters", between(partition("a".repeat(10_000))), "partition", "plain directory name"],
  ]

  it.effect.each([...cases, ...others])("%s", ([, document, subject, reason]) =>
    Effect.gen(function* () {
      const { partitions, rejected } = yield* (yield* answered(document)).desiredState
      expect(partitions.map(({ id }) => id)).toStrictEqual(["slappart0", "slappart2"])
      expect(rejected).toMatchObject([
        { subject: expect.stringContaining(subject), reason: expect.stringContaining(reason) },
      ])
      expect(JSON.stringify(rejected).length).toBeLessThan(500)
    }),
  )
})

describe("costs all of it, and says why", () => {
  const bomb = Array.from({ length: 9 }, (_, n) => `<!ENTITY e${n + 1} "${`&e${n};`.repeat(10)}">`).join("")
  const cases: ReadonlyArray<readonly [what: string, document: string, problem: string]> = [
    ["a DTD", `<!DOCTYPE marshal SYSTEM "file:///etc/passwd">${between("")}`, "document types"],
    [
      "an entity bomb",
      `<!DOCTYPE m [<!ENTITY e0 "ha">${bomb}]>${between(partition("slappart1", text("&e9;")))}`,
      "document types and entity declarations are refused",
    ],
    ["a second value", between("").replace("</marshal>", "<none/></marshal>"), "holds 2 values"],
    ["half of a document", between("").slice(0, -100), "the document ends inside"],
    ["10,000 elements around it", "<a>".repeat(10_000), "the document is <a>"],
    ["nothing", "", "the document is empty"],
  ]

  it.effect.each(cases)("%s", ([, document, problem]) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* answered(document)).desiredState)
      expect(error).toMatchObject({ reason: "InvalidAnswer", status: 200 })
      expect(error.message).toContain(problem)
      expect(error.message.length).toBeLessThan(500)
    }),
  )
})

const megabyte = 1024 * 1024
const piece = Buffer.alloc(megabyte, " ")

/** So many megabytes, one at a time and as fast as somebody takes them. */
function* megabytes(count: number) {
  for (let sent = 0; sent < count; sent++) yield piece
}

/** The most memory beside what there was, in megabytes, that buffers took while this was done. */
const peakOf = <A, E>(work: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    const buffers = () => process.memoryUsage().arrayBuffers / megabyte
    const before = buffers()
    let peak = 0
    const look = Effect.andThen(
      Effect.sync(() => void (peak = Math.max(peak, buffers() - before))),
      Effect.sleep(2),
    )
    return Effect.map(Effect.raceFirst(work, TestClock.withLive(Effect.forever(look))), (result) => ({ result, peak }))
  })

describe("larger than anybody needs: one clear error, and no more memory than the limit takes", () => {
  const kinds: ReadonlyArray<readonly [what: string, serve: (response: ServerResponse) => Promise<void>]> = [
    [
      "100 MB, announced",
      (response) => pipeline(megabytes(100), response.writeHead(200, { "content-length": String(100 * megabyte) })),
    ],
    ["100 MB, not announced", (response) => pipeline(megabytes(100), response.writeHead(200))],
    [
      "256 MB in 256 KB",
      (response) =>
        pipeline(megabytes(256), createGzip({ level: 1 }), response.writeHead(200, { "content-encoding": "gzip" })),
    ],
  ]

  it.effect.each(kinds)("%s", ([, serve]) =>
    Effect.gen(function* () {
      const master = yield* fakeMaster(() => undefined)
      master.server.on("request", (_: IncomingMessage, response: ServerResponse) => {
        // It is cut off.
        serve(response).catch(() => undefined)
      })
      const client = yield* clientOf(master.url)
      const { peak, result: error } = yield* peakOf(Effect.flip(client.desiredState))
      expect(error).toMatchObject({ reason: "InvalidAnswer", isRetryable: true })
      expect(error.message).toContain("the answer is larger than 64 MB")
      // The limit, and what the master of this test holds in its own hands.
      expect(peak).toBeLessThan(64 + 32)
      // The next answer is as good as any.
      master.server.removeAllListeners("request")
      master.server.on("request", (_: IncomingMessage, response: ServerResponse) => response.end(between("")))
      expect((yield* client.desiredState).partitions).toHaveLength(2)
    }),
  )
})
