import * as fc from "fast-check"
import { describe, expect, it } from "vitest"
import type { DemoStatus, LogLine } from "../../src/demo/DemoStatus.ts"
import { width } from "../../src/demo/layout.ts"
import { duration, lastLine, render } from "../../src/demo/view.ts"
import { signaled } from "../../src/domain/ExitStatus.ts"
import { slappart1 } from "../support/facts.ts"
import { answering, demo, instance, node, partition, service, size, software, start } from "./facts.ts"

const building = demo({
  node: node({
    software: [software({ state: "building", since: start + 200, lastLines: ["Develop: 'recipe'"] })],
    partitions: [partition(0, { state: "waiting", waitingFor: "waits for its software release", services: [] })],
  }),
  instances: [instance({ partition: undefined })],
})

const running = demo({
  node: node({
    partitions: [
      partition(0, { services: [service({ restarts: 1, lastExit: signaled("SIGKILL") })] }),
      partition(1, { state: "failed", error: "buildout failed:\nWhile:\n  Installing http.\nno port", services: [] }),
    ],
  }),
  instances: [
    answering(),
    answering({
      title: "french",
      partition: slappart1,
      url: "http://127.0.0.1:20001/",
      answeredAt: start + 4000,
    }),
  ],
})

const log: ReadonlyArray<LogLine> = [
  { at: start + 100, text: "one" },
  { at: start + 12_500, text: "two" },
]

describe("the screen", () => {
  it("shows a build with its time and last line, and who waits for it", () => {
    expect(render(building, [], start + 1400, size(120, 40))).toStrictEqual([
      "slapgrid demo, up 1.4 s, master http://127.0.0.1:5000/",
      "",
      "SOFTWARE RELEASE      STATE     FOR    LAST LINE",
      "release/software.cfg  building  1.2 s  Develop: 'recipe'",
      "",
      "PARTITION  STATE    SERVICE  STATE  PID  UPTIME  NOTE",
      "slappart0  waiting                               waits for its software release",
      "",
      "INSTANCE  PARTITION  URL  FIRST LINE OF ITS ANSWER",
      "english   -          -    not published yet",
      "",
      "Ctrl-C ends services, node and master and cleans everything up",
    ])
  })

  it("shows services, failures, addresses, what to try, and the log", () => {
    expect(render(running, log, start + 13_000, size(120, 40))).toStrictEqual([
      "slapgrid demo, up 13 s, master http://127.0.0.1:5000/",
      "",
      "SOFTWARE RELEASE      STATE      FOR   LAST LINE",
      "release/software.cfg  available  13 s",
      "",
      "PARTITION  STATE    SERVICE        STATE    PID  UPTIME  NOTE",
      "slappart0  started  http-on-watch  running  100  10 s    1 restart: killed by SIGKILL",
      "slappart1  failed                                        no port",
      "",
      "INSTANCE  PARTITION  URL                      FIRST LINE OF ITS ANSWER",
      "english   slappart0  http://127.0.0.1:20000/  Hello",
      "french    slappart1  http://127.0.0.1:20001/  Hello",
      "",
      "All answer: the first after 3.5 s, all after 4.0 s. In another terminal try:",
      "  curl http://127.0.0.1:20000/",
      "  kill -9 100   and see it come back",
      "  slapgrid status --configuration-file /tmp/demo/slapos.cfg",
      "Ctrl-C ends services, node and master and cleans everything up",
      "",
      "LOG (/tmp/demo/slapgrid.log)",
      " 0.1 s  one",
      "  12 s  two",
    ])
  })

  it.each([
    // Room for everything but the oldest line of the log.
    [21, "  12 s  two"],
    // A heading alone says nothing.
    [20, "Ctrl-C ends services, node and master and cleans everything up"],
    // Blank lines go before what they separate.
    [14, "Ctrl-C ends services, node and master and cleans everything up"],
  ])("with %i rows ends with: %s", (rows, expected) => {
    expect(render(running, log, start + 13_000, size(120, rows)).at(-1)).toBe(expected)
  })

  it("tells when an instance does not answer, and when the master does not", () => {
    const silent = demo({
      node: node({ sync: { lastSuccess: undefined, standing: "Away", error: "connection refused" } }),
      instances: [answering({ problem: "ECONNREFUSED" })],
    })
    const lines = render(silent, [], start, size(120, 40))
    expect(lines).toContain("master: connection refused")
    expect(lines).toContain("english   slappart0  http://127.0.0.1:20000/  no answer: ECONNREFUSED")
  })

  it("is never larger than the terminal and never steers it, whatever children write", () => {
    const strange = fc.string({ unit: "binary", maxLength: 200 })
    const status = fc
      .record({ line: strange, error: strange, answer: strange, problem: fc.option(strange, { nil: undefined }) })
      .map(({ answer, error, line, problem }): DemoStatus =>
        demo({
          node: node({
            sync: { lastSuccess: undefined, standing: "Away", error },
            software: [software({ state: "building", lastLines: [line] })],
            partitions: [partition(0, { error }), partition(1, { services: [service({ name: line, error })] })],
          }),
          instances: [answering({ answer, problem })],
        }),
      )
    fc.assert(
      fc.property(status, strange, fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 60 }), (...given) => {
        const [demoStatus, text, columns, rows] = given
        const lines = render(demoStatus, [{ at: start, text }], start + 1000, size(columns, rows))
        expect(lines.length).toBeLessThanOrEqual(rows)
        for (const line of lines) {
          expect(width(line)).toBeLessThan(columns)
          expect(line).not.toMatch(/\p{Cc}/u)
        }
      }),
    )
  })
})

it.each([
  [-5, "0.0 s"],
  [940, "0.9 s"],
  [12_900, "12 s"],
  [119_999, "119 s"],
  [125_000, "2 min"],
])("%i milliseconds are %s", (milliseconds, words) => {
  expect(duration(milliseconds)).toBe(words)
})

it.each([
  ["first\nlast\n", "last"],
  ["a\tb\u001b[2J", "a b\\x1b[2J"],
  ["", ""],
])("the last line of %j is %j", (text, line) => {
  expect(lastLine(text)).toBe(line)
})
