// What the command line prints and takes: pure functions.
import { describe, it } from "@effect/vitest"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { expect } from "vitest"
import { CommandFailure, exitStatus, toFailure } from "../../src/cli/exit.ts"
import { formatJson, formatText, loggingTo, type LogEvent } from "../../src/cli/logging.ts"
import { normalizeFlags } from "../../src/cli/options.ts"
import { namesIn, printedEvent, renderEvent } from "../../src/cli/pass.ts"
import { age, renderLimits, renderReports, renderStatus, renderUntold } from "../../src/cli/status.ts"
import { renderUsage, screenful } from "../../src/cli/top.ts"
import { table } from "../../src/cli/table.ts"
import { exited } from "../../src/domain/ExitStatus.ts"
import { noUsage, type NodeStatus } from "../../src/domain/NodeStatus.ts"
import { AlreadyRunning } from "../../src/process/AgentLock.ts"
import { computerId, release, slappart0, slappart1 } from "../support/facts.ts"

describe("age", () => {
  it.each([
    [-5, "0 s"],
    [0, "0 s"],
    [119_499, "119 s"],
    [120_000, "2 min"],
    [7_199_000, "120 min"],
    [7_200_000, "2 h"],
    [172_799_000, "48 h"],
    [172_800_000, "2 d"],
    [1e12, "11574 d"],
  ])("%d ms: %s", (milliseconds, text) => {
    expect(age(milliseconds)).toBe(text)
  })
})

describe("table", () => {
  it.each([
    ["only a head", ["A", "BB"], [], "A  BB"],
    [
      "aligned, without spaces at line ends",
      ["A", "B"],
      [
        ["long", ""],
        ["x", "y"],
      ],
      "A     B\nlong\nx     y",
    ],
    ["short and long rows", ["A", "B"], [["x"], ["x", "y", "z"]], "A  B\nx\nx  y  z"],
  ] as const)("%s", (_, head, rows, text) => {
    expect(table(head, rows)).toBe(text)
  })
})

describe("normalizeFlags", () => {
  it.each([
    [["--instance_root=/a_b=c_d"], ["--instance-root=/a_b=c_d"]],
    [
      ["--instance_root", "/a_b"],
      ["--instance-root", "/a_b"],
    ],
    [
      ["status", "--json", "-c_d", "a_b"],
      ["status", "--json", "-c_d", "a_b"],
    ],
    [
      ["--a_b", "--", "--c_d"],
      ["--a-b", "--", "--c_d"],
    ],
    [[], []],
  ])("%j", (args, normal) => {
    expect(normalizeFlags(args)).toStrictEqual(normal)
  })
})

describe("failures", () => {
  it("have the reference's exit statuses", () => {
    const running = new AlreadyRunning({ instanceRoot: "/i", message: "stop it first" })
    expect(toFailure(running)).toMatchObject({ status: 10, message: "stop it first" })
    expect(toFailure({ _tag: "ConfigError", message: "x" })).toMatchObject({ status: 1, message: "x" })
    const own = new CommandFailure({ status: exitStatus.notRoot, message: "not root" })
    expect([toFailure(own), own.status]).toStrictEqual([own, 5])
  })
})

const event = (changes: Partial<LogEvent> = {}): LogEvent => ({
  date: new Date(0),
  level: "Info",
  actor: "node",
  message: "hello",
  ...changes,
})

describe("log lines", () => {
  it("have time, level and actor", () => {
    expect(formatText(event(), false)).toBe("1970-01-01T00:00:00.000Z INFO  node: hello")
  })

  it.each([
    ["a second line cannot pass for one of ours", "a\n1970-01-01T00:00:00.000Z INFO  node: b", "\n    1970"],
    ["nor a carriage return", "a\rb", "a\\x0db"],
    ["no terminal is steered", "\u001b[2J\u009b31m", "\\x1b[2J\\x9b31m"],
  ])("%s", (_, message, part) => {
    const text = formatText(event({ message }), false)
    expect(text).toContain(part)
    expect(
      text
        .split("\n")
        .slice(1)
        .every((line) => line.startsWith("    ")),
    ).toBe(true)
  })

  it("colours stand around the level alone", () => {
    expect(formatText(event({ level: "Error" }), true)).toBe(
      "1970-01-01T00:00:00.000Z \u001b[31mERROR\u001b[0m node: hello",
    )
    expect(formatText(event(), true)).not.toContain("\u001b")
  })

  it("JSON is one line whatever the message holds", () => {
    const text = formatJson(event({ level: "Warn", message: 'a\n\u001b"b"' }))
    expect(text).not.toContain("\n")
    expect(JSON.parse(text)).toStrictEqual({
      time: "1970-01-01T00:00:00.000Z",
      level: "warn",
      actor: "node",
      message: 'a\n\u001b"b"',
    })
  })

  it.effect("the sink gets actor, level, all words and the cause", () =>
    Effect.gen(function* () {
      const events: Array<LogEvent> = []
      yield* Effect.gen(function* () {
        yield* Effect.logInfo("a", { b: 1 })
        yield* Effect.annotateLogs(Effect.logError("broken", Cause.die(new Error("why"))), { actor: "software x" })
      }).pipe(Effect.provide(loggingTo((one) => events.push(one))))
      expect(events.map(({ actor, level }) => [actor, level])).toStrictEqual([
        ["node", "Info"],
        ["software x", "Error"],
      ])
      expect(events[0]?.message).toBe('a {"b":1}')
      expect(events[1]?.message).toMatch(/^broken\n[^]*why/)
    }),
  )
})

const now = 1_000_000
const status: NodeStatus = {
  computer: computerId,
  pid: 42,
  startedAt: now - 60_000,
  containment: "cgroup",
  limits: [{ option: "partition_pids_max", value: 500, heldBy: undefined, problem: "the pids controller is missing" }],
  sync: { lastSuccess: now - 5000, standing: "Answers", error: undefined },
  trust: { isMasterUnverified: false, certificates: [] },
  reports: { waiting: 0, error: undefined },
  usage: noUsage,
  helpers: [{ release: "/srv/software/1", pid: 77, memory: 40 * 1024 * 1024 }],
  software: [
    {
      url: release,
      requested: "available",
      state: "building",
      since: now - 10_000,
      part: "p",
      lastLines: ["older", "Installing \u001b[1mpart"],
      error: undefined,
    },
  ],
  partitions: [
    {
      id: slappart0,
      requested: "started",
      software: release,
      state: "failed",
      since: now - 3000,
      waitingFor: "it failed and is tried again",
      error: "bin/buildout failed:\n  File x\nError: no such part\n",
      promises: [],
      services: [
        {
          name: "web-on-watch",
          kind: "service",
          log: ".slappart0_web.log",
          state: "backoff",
          pid: undefined,
          since: undefined,
          restarts: 3,
          lastExit: exited(1),
          error: undefined,
          isHeld: false,
        },
        {
          name: "db-on-watch",
          kind: "service",
          log: ".slappart0_db.log",
          state: "running",
          pid: 4711,
          since: now - 7000,
          restarts: 0,
          lastExit: undefined,
          error: undefined,
          isHeld: false,
        },
      ],
    },
  ],
}

describe("renderStatus", () => {
  it("is short and aligned, an error by its last line, and without control characters", () => {
    expect(renderStatus(status, now).split("\n")).toStrictEqual([
      "computer COMP-1, agent pid 42, up 60 s, last sync 5 s ago, services kept together by cgroup",
      "not in force: 500 processes for each partition, because the pids controller is missing",
      "warm helper of /srv/software/1: pid 77, 40M",
      "",
      "SOFTWARE RELEASE                  WANTED     STATE     SINCE  PART  LAST LINE OR ERROR",
      "https://example.com/software.cfg  available  building  10 s   p     Installing \\x1b[1mpart",
      "",
      "PARTITION  WANTED   STATE   SINCE  ERROR",
      "slappart0  started  failed  3 s    Error: no such part",
      "",
      "SERVICE                 STATE    PID   UPTIME  RESTARTS  LAST END",
      "slappart0:web-on-watch  backoff                3         exit status 1",
      "slappart0:db-on-watch   running  4711  7 s     0",
    ])
  })

  it("tells what each partition may use, and what of that nobody holds", () => {
    const limit = { problem: undefined, heldBy: "cgroup" } as const
    expect(
      renderLimits([
        { ...limit, option: "partition_memory_max", value: 1.5 * 1024 ** 3 },
        { option: "partition_pids_max", value: 500, heldBy: "rlimit", problem: "no pids" },
        { option: "partition_cpu_max", value: 0.5, heldBy: undefined, problem: "no cpu" },
      ]),
    ).toStrictEqual([
      "each partition is limited to memory 1.5G, 500 processes (of its user)",
      "not in force: 0.5 processors for each partition, because no cpu",
    ])
    expect(renderStatus({ ...status, limits: [{ ...limit, option: "partition_cpu_max", value: 2 }] }, now)).toContain(
      "\neach partition is limited to 2 processors\n",
    )
  })

  it("a name that a stranger chose stays in its row", () => {
    const rows = table(["NAME", "X"], [["a\nb\u001b[2J\tc", "1"]]).split("\n")
    expect(rows).toStrictEqual(["NAME            X", "a\\nb\\x1b[2J\\tc  1"])
  })

  it("a master that never answered", () => {
    const lines = renderStatus(
      {
        ...status,
        sync: { lastSuccess: undefined, standing: "Away", error: "it is away\ntry later" },
        software: [],
        partitions: [],
      },
      now,
    ).split("\n")
    expect(lines.slice(0, 2)).toStrictEqual([
      "computer COMP-1, agent pid 42, up 60 s, last sync never, services kept together by cgroup",
      "the master is away; what should run runs on, nothing is processed: it is away",
    ])
  })
})

describe("renderUntold", () => {
  it("is nothing while the master has heard all", () => {
    expect(renderUntold({ waiting: 0, error: undefined })).toStrictEqual([])
  })

  it("tells how many reports wait, and why", () => {
    const reports = { waiting: 2, error: "status 403: check\ncert_file" }
    expect(renderUntold(reports)).toStrictEqual(["2 reports not with the master: status 403: check"])
    expect(renderStatus({ ...status, reports }, now)).toContain("\n2 reports not with the master: status 403")
  })
})

describe("renderReports", () => {
  const journal = {
    journal: "1-a",
    state: "sealed",
    sealedAt: now - 7_200_000,
    movements: 3,
    error: undefined,
  } as const

  it("is nothing while there is nothing to say", () => {
    expect(renderReports(noUsage, now)).toStrictEqual([])
    expect(renderReports({ ...noUsage, lastReport: now - 5000 }, now)).toStrictEqual(["usage: reported 5 s ago"])
  })

  it("tells what waits, why, and what may be wrong with it", () => {
    const usage = {
      ...noUsage,
      pending: [journal, { ...journal, error: "status 503" }],
      possiblyDoubled: [{ journal: "0-a", hash: "a", at: now }],
      invalid: [{ path: "/x", reason: "no" }],
      error: "the disk is full",
    }
    expect(renderReports(usage, now)).toStrictEqual([
      "usage: never reported; 2 journals not with the master, the oldest for 2 h: status 503; 1 journal possibly counted twice; 1 file that is no report: /x; reports cannot be kept: the disk is full",
    ])
    expect(renderStatus({ ...status, usage }, now)).toContain("\nusage: never reported; 2 journals")
  })
})

describe("renderUsage", () => {
  const usage = (cpuPercent: number | null, memory: number, processes: number) => ({ cpuPercent, memory, processes })

  it("has the busiest first, numbers below each other, and no control characters", () => {
    const text = renderUsage({
      agent: usage(0.3, 71_303_168, 1),
      software: [{ url: release, ...usage(99.9, 1024, 3) }],
      partitions: [
        { id: slappart0, ...usage(1, 2048, 2), services: [] },
        {
          id: slappart1,
          ...usage(150.04, 1.5 * 1024 ** 3, 12),
          services: [
            { name: "a\u001b[2J", ...usage(null, 0, 0) },
            { name: "web-on-watch", ...usage(150, 1024 ** 2, 12) },
          ],
        },
      ],
    })
    expect(text.split("\n")).toStrictEqual([
      "NAME                                       CPU %  MEMORY  PROCESSES",
      "agent                                        0.3     68M          1",
      "building https://example.com/software.cfg   99.9      1K          3",
      "slappart1                                  150.0    1.5G         12",
      "  slappart1:web-on-watch                   150.0      1M         12",
      "  slappart1:a\\x1b[2J                                   0          0",
      "slappart0                                    1.0      2K          2",
    ])
  })

  it("a terminal gets what it has room for", () => {
    expect(screenful("12345\n123\n1\n2", { columns: 4, rows: 3 })).toBe("\u001b[H\u001b[2J1234\n123\n")
  })
})

describe("a pass's events", () => {
  const done = { _tag: "Settled", subject: "slappart0", result: "Done", state: "started", problem: undefined } as const
  it.each([
    [{ _tag: "Began", subjects: [] }, "the master names nothing to work on\n"],
    [{ _tag: "Began", subjects: ["a", "b"] }, "working on a, b\n"],
    [{ _tag: "Began", subjects: ["a", "b", "c", "d", "e", "f", "g"] }, "working on a, b, c, d, e and 2 more\n"],
    [{ _tag: "Progress", subject: "slappart0", state: "installing" }, "slappart0: installing\n"],
    [done, "slappart0: started\n"],
    [
      { ...done, result: "Failed", state: "failed", problem: "no\u001b[2J such\nrecipe\n" },
      "slappart0: failed: no\\x1b[2J such\n    recipe\n",
    ],
    [{ _tag: "Ended", status: 1, message: "1 of 2 failed" }, ""],
  ] as const)("%j", (event, text) => {
    expect(renderEvent(event)).toBe(text)
  })

  it("as JSON, steers no terminal either", () => {
    const event = {
      _tag: "Settled",
      subject: "slappart0",
      state: "failed",
      result: "Failed",
      problem: "\u009b2J\u202e",
    } as const
    const line = printedEvent(event, true)
    expect(line).not.toMatch(/(?!\n)\p{Cc}|\u202e/u)
    expect(JSON.parse(line)).toStrictEqual(event)
  })
})

describe("names on the command line", () => {
  it.effect("are separated by commas, with or without blanks; none are a mistake", () =>
    Effect.gen(function* () {
      expect(yield* namesIn("--only-cp", Option.none())).toStrictEqual([])
      expect(yield* namesIn("--only-cp", Option.some("a, b,,c "))).toStrictEqual(["a", "b", "c"])
      for (const none of ["", ",", " , "]) {
        expect(yield* Effect.flip(namesIn("--only-cp", Option.some(none)))).toMatchObject({
          status: 1,
          message: "--only-cp names nothing: leave it out to mean all",
        })
      }
    }),
  )
})
