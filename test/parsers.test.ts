// Every parser of what partitions, releases, caches and other programs of the machine write, fed with texts that are
// almost right: whatever comes, it answers, in time, and never by an exception. The seeds are saved (support/fuzz.ts).
// Tar, the configuration, usage and the wire have further tests that know more about their grammars.
import * as DateTime from "effect/DateTime"
import * as Result from "effect/Result"
import * as Redacted from "effect/Redacted"
import * as fc from "fast-check"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { afterAll, describe, expect, it } from "vitest"
import { parseDecimal } from "../src/actors/partition/retention.ts"
import { parseWaitList } from "../src/actors/partition/waitList.ts"
import { interpreterOf, invocation, pathsIn, pythonOf } from "../src/build/launcher.ts"
import { distributionOf, parseEntry, parseIndex } from "../src/build/networkcache/entries.ts"
import { nothingRead, progressOf, readOn } from "../src/build/progress.ts"
import { formatJson, formatText } from "../src/cli/logging.ts"
import { table } from "../src/cli/table.ts"
import { parseDialect } from "../src/config/dialect.ts"
import { escapeControls, oneLine, printableJson, publicUrl } from "../src/domain/text.ts"
import { parseRecords, TarError } from "../src/files/archive/tar.ts"
import { validitiesIn } from "../src/files/certificates.ts"
import { mountPointsIn } from "../src/files/mounts.ts"
import { decodeSchedule, encodeSchedule, ordinaryTraits } from "../src/health/cache.ts"
import { isPlugin, sharedTitles, titleOf } from "../src/health/catalogue.ts"
import { lastRuns, logLine } from "../src/health/log.ts"
import { decodeResult, encodeResult, printedMessage } from "../src/health/results.ts"
import { lastLines, logNameOf } from "../src/process/logs/reading.ts"
import { restOfLine, withoutBlanks } from "../src/process/logs/trim.ts"
import { parseStat } from "../src/process/procfs.ts"
import { ProcessTable } from "../src/process/ProcessTable.ts"
import { programs } from "../src/process/service/programs.ts"
import { configOf, passOf, scheduledIn } from "../src/process/takeover/reference.ts"
import { decodeResponse } from "../src/process/takeover/xmlrpc.ts"
import { decodeMessage } from "../src/process/warm/protocol.ts"
import { parseConsumption, parseJournal } from "../src/report/usage/documents.ts"
import { decodeSealed } from "../src/report/usage/ledger.ts"
import { slappart0 } from "./support/facts.ts"
import { fuzz } from "./support/fuzz.ts"

const directory = mkdtempSync(`${tmpdir()}/slapgrid-fuzz-`)
afterAll(() => rmSync(directory, { recursive: true }))

interface Parser {
  readonly name: string
  readonly examples: ReadonlyArray<string>
  readonly parse: (text: string) => unknown
}

const record = JSON.stringify({
  version: 1,
  world: "boot pid:[1]",
  spec: { partition: "slappart0", kind: "service", name: "web-on-watch", path: "/x", hash: "0", user: "1:1" },
  pid: 2,
  startTime: "3",
  uid: 4,
  cgroup: null,
  since: 5,
  restarts: 6,
  deployment: null,
  ended: null,
  isHeld: false,
})
const source = { partition: "slappart0", folder: "partition", name: "x", hash: "0", modified: "1", inode: "2" }
const sealed = `${JSON.stringify({ version: 1, hash: "0", sealedAt: 1, movements: 1, sources: [source] })}\n<journal/>`
const entry = JSON.stringify({ sha512: "0".repeat(128), multiarch: "x86_64-linux-gnu", os: ["debian", "12", ""] })
const oldEntry = JSON.stringify({ sha512: "0".repeat(128), machine: "x86_64", os: "('debian', '12.1', u'')" })
const movement = "<movement><resource>r</resource><quantity>1.5</quantity><price>0</price><VAT/></movement>"
const promise = { kind: "executable", name: "check.sh", title: "check", path: "/x/check.sh", modified: 1000 } as const
const withTable = (text: string) => {
  const file = `${directory}/table`
  writeFileSync(file, text, "latin1")
  const processes = new ProcessTable(file)
  processes.load()
  processes.close()
  rmSync(file)
}

const parsers: ReadonlyArray<Parser> = [
  { name: "a report of usage", examples: [`<consumption>${movement}</consumption>`], parse: parseConsumption },
  {
    name: "a journal of usage",
    examples: [`<journal><transaction type="Sale">${movement}</transaction></journal>`],
    parse: parseJournal,
  },
  { name: "a sealed journal", examples: [sealed], parse: decodeSealed },
  {
    name: "the table of processes",
    examples: [`${record}\n`, `${record}\n{"removed":["slappart0","web"]}\n`],
    parse: withTable,
  },
  {
    name: "the list of programs to wait for",
    examples: ["slappart0:web-on-watch\nslappart0-prerm:x\n"],
    parse: (text) => parseWaitList(slappart0, text),
  },
  { name: "a retention", examples: ["7.5", "1700000000.25", "1e3"], parse: parseDecimal },
  {
    name: "an answer of supervisord",
    examples: ["<methodResponse><params><param><value><int>1</int></value></param></params></methodResponse>"],
    parse: decodeResponse,
  },
  { name: "an index of the network cache", examples: [JSON.stringify([[entry, "c2ln"]])], parse: parseIndex },
  { name: "an entry of the network cache", examples: [entry, oldEntry], parse: parseEntry },
  { name: "os-release", examples: ['ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\n'], parse: distributionOf },
  {
    name: "a crontab",
    examples: ["SLAPOS_CONFIGURATION=/x\n* * * * * root slapos node instance --cfg=/x --all\n"],
    parse: (text) => [scheduledIn("x", text, true), scheduledIn("x", text, false)],
  },
  {
    name: "a command line",
    examples: ["slapos\0node\0instance\0--cfg\0/x"],
    parse: (text) => [passOf(text.split("\0")), configOf(text.split("\0"))],
  },
  {
    name: "a configuration",
    examples: ["[slapos]\ncomputer_id = COMP-1\nlist =\n  a\n  b\n%(x)s: y\n"],
    parse: (text) => parseDialect(text),
  },
  {
    name: "a release's buildout script",
    examples: [
      "#!/usr/bin/python3 -S\nimport sys\nsys.path[0:0] = ['/a/b', \"/c\"]\n",
      '#!/bin/sh\nexec "/x/bin/python3.9" -S "$0"\n',
    ],
    parse: (text) => [invocation("/x", text), pythonOf(text), pathsIn(text), interpreterOf(text)],
  },
  {
    name: "a build's log",
    examples: ["Installing part.\n\u001b[1mx\u001b[0m\rGetting distribution for 'x'.\n"],
    parse: (text) => progressOf(readOn(readOn(nothingRead, text), text)),
  },
  {
    name: "what a warm helper says",
    examples: ['{"ready":true}', '{"id":1,"pid":2}', '{"end":1,"code":0}'],
    parse: decodeMessage,
  },
  {
    name: "/proc/PID/stat",
    examples: [`12 (a) R 1) S 1 12 12 ${"0 ".repeat(40)}`],
    parse: (text) => parseStat(text, 0),
  },
  {
    name: "mountinfo",
    examples: ["31 23 0:28 / /a\\040b rw - tmpfs tmpfs rw\n"],
    parse: (text) => mountPointsIn("/a", text),
  },
  {
    name: "a log",
    examples: ["one\ntwo\n\0\0\0three", "    \nfour"],
    parse: (text) => {
      const bytes = Buffer.from(text, "latin1")
      return [lastLines(bytes, 3), withoutBlanks(bytes), restOfLine(bytes)]
    },
  },
  {
    name: "programs' names",
    examples: ["web\nweb-on-watch\n.x", "-prerm\n-on-watch"],
    parse: (text) => {
      const names = text.split("\n")
      const entries = names.map((name) => ({ name, hash: "0" }))
      const owner = { path: "/x", owner: { uid: 1, gid: 1 } }
      const all = programs(slappart0, owner, { run: entries, service: entries })
      expect(new Set(all.map(({ path }) => path)).size).toBeLessThanOrEqual(names.length * 2)
      return logNameOf("slappart0", names[0] ?? "", names)
    },
  },
  {
    name: "a promise's log",
    examples: [logLine({ at: 0, hasFailed: true, message: "x" }, DateTime.zoneMakeOffset(0), 0.5)],
    parse: lastRuns,
  },
  {
    name: "a promise's result",
    examples: [
      encodeResult(promise, { type: "Test Result", hasFailed: true, message: "x", date: 0, executionTime: 1 }),
    ],
    parse: decodeResult,
  },
  {
    name: "when a promise is due",
    examples: [encodeSchedule(promise, { ...ordinaryTraits, checkedAt: 1000, modified: 1000 })],
    parse: (text) => decodeSchedule(text, promise),
  },
  {
    name: "what a promise prints",
    examples: ["one\ntwo\u001b[2J\n"],
    parse: (text) => printedMessage(Buffer.from(text, "latin1")),
  },
  {
    name: "a promise's name",
    examples: ["check.py", ".check.sh", "check"],
    parse: (text) => [titleOf(text), isPlugin(text), sharedTitles([{ title: text }, { title: text }])],
  },
  {
    name: "what the agent says of them",
    examples: ["get https://user:password@host/ of it", "://a@b"],
    parse: (text) => [escapeControls(text), oneLine(text), printableJson(text), publicUrl(Redacted.make(text))],
  },
  {
    name: "certificates",
    examples: ["-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"],
    parse: validitiesIn,
  },
  {
    name: "records of an archive",
    examples: ["20 path=some/where/x\n", "30 mtime=1700000000.123456789\n"],
    parse: (text) => {
      // It has one way to refuse.
      const outcome = Result.try({ try: () => parseRecords(Buffer.from(text, "latin1")), catch: (error) => error })
      if (Result.isFailure(outcome)) expect(outcome.failure).toBeInstanceOf(TarError)
    },
  },
]

const pieces = [
  "\0",
  "\n",
  "\r\n",
  "\u001b[2J",
  "\u009b",
  "\u2028",
  "\ud800",
  "é",
  "<",
  ">",
  "&lt;",
  "<!DOCTYPE x [<!ENTITY a 'b'>]>",
  "]]>",
  "{",
  "}",
  "[",
  "]",
  '"',
  "'",
  "\\",
  "\\u0000",
  "%(",
  ")s",
  "(",
  ") ",
  ":",
  "=",
  "#",
  ";",
  "-1",
  "1e999",
  "NaN",
  "null",
  "__proto__",
  "constructor",
  "/../",
  " ",
  "$",
]

type Edit = readonly [
  kind: "cut" | "put" | "double" | "swap" | "repeat" | "flood",
  from: number,
  length: number,
  piece: string,
]

const edit = fc.tuple(
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc.constantFrom("cut" as const, "put" as const, "double" as const, "swap" as const, "repeat" as const),
    },
    { weight: 1, arbitrary: fc.constant("flood" as const) },
  ),
  fc.nat(1000),
  fc.nat(40),
  fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: "binary", maxLength: 8 })),
)

/** An edit of some place of the text. */
const applied = (text: string, [kind, at, length, piece]: Edit): string => {
  const from = text.length === 0 ? 0 : at % text.length
  const [before, middle, after] = [text.slice(0, from), text.slice(from, from + length), text.slice(from + length)]
  switch (kind) {
    case "cut":
      return before + after
    case "put":
      return before + piece + middle + after
    case "double":
      return before + middle + middle + after
    case "swap":
      return before + piece + after
    case "repeat":
      return before + piece.repeat(length * 50) + middle + after
    case "flood":
      // What is slow by the square of its length is not done in time.
      return before + (piece.length === 1 ? piece : " ").repeat(20_000) + middle + after
  }
}

/** Milliseconds of the processor. */
const costOf = (work: () => unknown): number => {
  const before = process.cpuUsage()
  work()
  const { system, user } = process.cpuUsage(before)
  return (system + user) / 1000
}

/** What no text may cost. */
const patience = 2_000

/** What a grammar may look for the end of, or give up again; so many of it that their square is felt. */
const floods = [
  " ",
  "\t",
  "\n",
  "\r",
  "\0",
  "a",
  "0",
  "a ",
  "'",
  '"',
  "&",
  "<",
  "<a>",
  "://",
  ":",
  "=",
  "[",
  "{",
  "-",
  "/",
  "\\",
  "%(",
]
const floodLength = 50_000

describe("a parser of strangers' texts answers to everything", () => {
  it.each(parsers.map((parser, index) => ({ ...parser, index })))("$name", ({ examples, index, parse }) => {
    for (const example of examples) parse(example)
    fc.assert(
      fc.property(fc.constantFrom(...examples), fc.array(edit, { maxLength: 12 }), (example, edits) => {
        const text = edits.reduce(applied, example)
        expect(costOf(() => parse(text))).toBeLessThan(patience)
      }),
      fuzz(80_000 + index, 100),
    )
  })
})

describe("a parser of strangers' texts does not take the square of their length", () => {
  it.each(parsers)("$name", ({ examples, parse }) => {
    const slow = examples.flatMap((example) =>
      floods.flatMap((piece) => {
        const flood = piece.repeat(floodLength / piece.length)
        const middle = example.length >> 1
        const texts = [flood, `${flood}x`, flood + example, example + flood, `${example}${flood}x`]
        texts.push(example.slice(0, middle) + flood + example.slice(middle))
        return texts.flatMap((text, index) => (costOf(() => parse(text)) > patience ? [[piece, index]] : []))
      }),
    )
    expect(slow).toStrictEqual([])
  })
})

describe("whatever strangers write", () => {
  const text = fc.array(fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: "binary", maxLength: 20 })), {
    maxLength: 8,
  })
  const steers = /(?!\n)\p{Cc}|[\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u

  it("cannot steer a terminal, nor pass for a line of the log", () => {
    fc.assert(
      fc.property(text, text, (actor, message) => {
        const event = { date: new Date(0), level: "Info" as const, actor: actor.join(""), message: message.join("") }
        const lines = formatText(event, false).split("\n")
        expect(lines.filter((line) => steers.test(line.replaceAll("\t", "")))).toStrictEqual([])
        expect(lines[0]).toMatch(/^1970-01-01T/)
        expect(lines.slice(1).filter((line) => !line.startsWith("    "))).toStrictEqual([])
        const json = formatJson(event)
        expect(json).not.toMatch(steers)
        expect(JSON.parse(json)).toMatchObject({ actor: event.actor, message: event.message })
        const cells = table(["A", "B"], [[event.actor, event.message]])
        expect(cells.split("\n")).toHaveLength(2)
        expect(cells).not.toMatch(steers)
        expect(JSON.parse(printableJson(message))).toStrictEqual(message)
      }),
      fuzz(81_000, 400),
    )
  })
})
