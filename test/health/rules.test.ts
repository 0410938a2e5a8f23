// The rules of promises as tables: node-behaviour.md (Promises).
//
// | rule                                                              | test                              |
// | ----------------------------------------------------------------- | --------------------------------- |
// | title = file name without extension; which files are plugins      | titleOf, isPlugin                 |
// | due: force, periodicity, changed files, tests and anomalies only  | dueNow                            |
// | exit status, rule of three, time-outs, bangs                      | verdictOf                         |
// | plugins before executables; the words for the master              | firstFailure                      |
// | only transitions are told                                         | newsFor, toldBy                   |
// | result, log and cache files                                       | files                             |
// | messages keep their last 5,000 characters; binary                 | printedMessage                    |
import { describe, it } from "@effect/vitest"
import * as DateTime from "effect/DateTime"
import { expect } from "vitest"
import {
  decodeSchedule,
  dueNow,
  encodeSchedule,
  ordinaryTraits,
  periodOf,
  type PromiseSchedule,
} from "../../src/health/cache.ts"
import { isPlugin, type PromiseFile, sharedTitles, titleOf } from "../../src/health/catalogue.ts"
import { lastRuns, logLine } from "../../src/health/log.ts"
import { decodeResult, encodeResult, printedMessage, type PromiseResult } from "../../src/health/results.ts"
import { failureText, firstFailure, newsFor, type PromiseOutcome, toldBy, verdictOf } from "../../src/health/verdict.ts"

const minute = 60_000
const promise: PromiseFile = {
  kind: "executable",
  name: "listens.sh",
  title: "listens",
  path: "/srv/slappart0/etc/promise/listens.sh",
  modified: 1_699_999_000_123.5,
}

describe("titleOf", () => {
  it.each([
    ["check.py", "check"],
    ["check", "check"],
    ["a.b.py", "a.b"],
    [".hidden", ".hidden"],
    ["..x", "..x"],
    [".a.b", ".a"],
    ["end.", "end"],
  ])("%s is %s", (name, title) => {
    expect(titleOf(name)).toBe(title)
  })
})

describe("isPlugin", () => {
  it.each([
    ["check.py", true],
    ["__init__.py", false],
    ["check.pyc", false],
    ["check", false],
  ])("%s: %s", (name, is) => {
    expect(isPlugin(name)).toBe(is)
  })

  it("tells titles that several promises have", () => {
    expect(sharedTitles(["a", "b", "a", "a"].map((title) => ({ title })))).toStrictEqual(["a"])
  })
})

describe("dueNow", () => {
  const now = 1_700_000_000_000
  const schedule = (changes: Partial<PromiseSchedule> = {}): PromiseSchedule => ({
    ...ordinaryTraits,
    checkedAt: now - minute,
    modified: promise.modified,
    ...changes,
  })
  it.each([
    ["what was never run", undefined, "Anomaly", false, "Run"],
    ["what is not due", schedule(), "Anomaly", false, "Stored"],
    ["what is due", schedule({ checkedAt: now - 2 * minute }), "Anomaly", false, "Run"],
    [
      "what has a long period",
      schedule({ checkedAt: now - 9 * minute, period: 10 * minute }),
      "Anomaly",
      false,
      "Stored",
    ],
    ["what is not due and forced", schedule(), "Test", true, "Run"],
    ["a changed file", schedule({ modified: promise.modified + 5 }), "Anomaly", false, "Run"],
    ["a changed file that had nothing to say", schedule({ modified: 0, isTested: false }), "Test", true, "Run"],
    ["anomalies alone, in a test", schedule({ isTested: false }), "Test", true, "Silent"],
    ["anomalies alone, between", schedule({ isTested: false, checkedAt: 0 }), "Anomaly", false, "Run"],
    ["tests alone, between", schedule({ isAnomalyDetected: false, checkedAt: 0 }), "Anomaly", false, "Silent"],
    ["tests alone, in a test", schedule({ isAnomalyDetected: false }), "Test", true, "Run"],
    ["what was run in the future", schedule({ checkedAt: now + minute }), "Anomaly", false, "Run"],
  ] as const)("%s", (_, known, mode, isForced, due) => {
    expect(dueNow(promise, known, { mode, isForced, now })).toBe(due)
  })
})

describe("verdictOf", () => {
  const told = (
    hasFailed: boolean,
    changes: Partial<Extract<PromiseOutcome, { _tag: "Told" }>> = {},
  ): PromiseOutcome => ({
    _tag: "Told",
    type: "Test Result",
    hasFailed,
    message: "words",
    bangs: true,
    ...changes,
  })
  const anomaly = (hasFailed: boolean, bangs = true) => told(hasFailed, { type: "Anomaly Result", bangs })
  const late: PromiseOutcome = { _tag: "TimedOut", limit: 20_000 }
  const broken: PromiseOutcome = { _tag: "Broken", problem: "it was killed" }
  const result = (hasFailed: boolean, message = "words"): PromiseResult => ({
    type: "Test Result",
    hasFailed,
    date: 0,
    message,
    executionTime: 1,
  })
  const timeOut = "Error: Promise timed out after 20 seconds"
  const nothing = "Error: No output returned by the promise: it was killed"

  it.each([
    ["kept after a processing", "executable", "Test", told(false), [], undefined, [false, "Test Result"]],
    ["failed after a processing", "executable", "Test", told(true), [], undefined, [true, "Test Result"]],
    ["failed once between", "executable", "Anomaly", told(true), [], undefined, [false, "Test Result"]],
    ["failed twice", "executable", "Anomaly", told(true), [true], undefined, [false, "Test Result"]],
    ["failed three times", "executable", "Anomaly", told(true), [true, true], undefined, [true, "Test Result"]],
    ["failed for long", "executable", "Anomaly", told(true), [true, true, true], undefined, [true, "Test Result"]],
    [
      "failed, but not in a row",
      "executable",
      "Anomaly",
      told(true),
      [true, false, true],
      undefined,
      [false, "Test Result"],
    ],
    [
      "kept after failures",
      "executable",
      "Anomaly",
      told(false),
      [true, true, true],
      undefined,
      [false, "Test Result"],
    ],
    ["a plugin's own word between", "plugin", "Anomaly", anomaly(true), [], undefined, [true, "Anomaly Result", true]],
    ["a plugin that does not bang", "plugin", "Anomaly", anomaly(true, false), [], undefined, [true, "Anomaly Result"]],
    ["a plugin that fails a test between", "plugin", "Anomaly", told(true), [], undefined, [true, "Test Result"]],
    ["a plugin after a processing", "plugin", "Test", told(true), [], undefined, [true, "Test Result"]],
    ["too late after a processing", "plugin", "Test", late, [], undefined, [true, "Test Result", false, timeOut]],
    [
      "too late, for the first time",
      "plugin",
      "Anomaly",
      late,
      [],
      undefined,
      [false, "Anomaly Result", false, timeOut],
    ],
    [
      "too late, kept before",
      "executable",
      "Anomaly",
      late,
      [],
      result(false),
      [false, "Anomaly Result", false, timeOut],
    ],
    [
      "too late, failed before",
      "executable",
      "Anomaly",
      late,
      [],
      result(true),
      [true, "Anomaly Result", false, timeOut],
    ],
    ["too late again", "plugin", "Anomaly", late, [], result(false, timeOut), [true, "Anomaly Result", false, timeOut]],
    ["broken after a processing", "plugin", "Test", broken, [], undefined, [true, "Test Result", false, nothing]],
    [
      "broken, for the first time",
      "plugin",
      "Anomaly",
      broken,
      [],
      undefined,
      [false, "Anomaly Result", false, nothing],
    ],
    ["broken again", "plugin", "Anomaly", broken, [], result(false, nothing), [true, "Anomaly Result", false, nothing]],
  ] as const)("%s", (_, kind, mode, outcome, runs, previous, [hasFailed, type, bangs = false, message = "words"]) => {
    expect(verdictOf(kind, mode, outcome, { previous, runs })).toStrictEqual({ type, hasFailed, message, bangs })
  })

  it("is none for one that has nothing to say", () => {
    expect(verdictOf("plugin", "Test", { _tag: "Silent" }, { previous: result(true), runs: [] })).toBeUndefined()
  })
})

describe("what the master hears", () => {
  it("is the first failure, of a plugin if one failed, in the reference's words", () => {
    const executable = { kind: "executable", name: "a", message: "no" } as const
    const plugin = { kind: "plugin", name: "z.py", message: "not\nnow" } as const
    expect(firstFailure([])).toBeUndefined()
    expect(firstFailure([executable])).toBe(executable)
    expect(firstFailure([executable, plugin])).toBe(plugin)
    expect(failureText(plugin)).toBe("Promise 'z.py' failed with output: not\nnow")
  })

  it.each([
    ["Kept", false, undefined],
    ["Kept", true, "Failing"],
    ["Failing", true, undefined],
    ["Failing", false, "Kept"],
  ] as const)("knows %s, is failing %s: %s", (told, isFailing, news) => {
    expect(newsFor(told, isFailing)).toBe(news)
  })

  it.each([
    [undefined, undefined],
    ["#error Promise 'a' failed", "Failing"],
    ["#access OK", "Kept"],
    ["", "Kept"],
  ])("%s means %s", (status, told) => {
    expect(toldBy(status)).toBe(told)
  })
})

describe("files", () => {
  const result: PromiseResult = {
    type: "Anomaly Result",
    hasFailed: true,
    date: 1_700_000_000_000,
    message: "é\n\u0000",
    executionTime: 0.5,
  }
  const schedule: PromiseSchedule = {
    isTested: false,
    isAnomalyDetected: true,
    period: 7 * minute,
    checkedAt: 1_700_000_000_500,
    modified: promise.modified,
  }

  it("the result, as monitoring software reads it, and back", () => {
    const text = encodeResult(promise, result)
    expect(JSON.parse(text)).toStrictEqual({
      title: "listens",
      name: "listens.sh",
      path: promise.path,
      "execution-time": 0.5,
      result: { type: "Anomaly Result", failed: true, date: "2023-11-14T22:13:20+0000", message: "é\n\u0000" },
    })
    expect(decodeResult(text)).toStrictEqual(result)
  })

  it.each([
    "",
    "{}",
    "[]",
    "null",
    '{"execution-time":1,"result":{"type":"Other","failed":true,"date":"","message":""}}',
  ])("no result: %s", (text) => {
    expect(decodeResult(text)).toBeUndefined()
  })

  it("the cache, as the reference reads it, and back", () => {
    const text = encodeSchedule(promise, schedule)
    expect(JSON.parse(text)).toStrictEqual({
      is_tested: false,
      is_anomaly_detected: true,
      periodicity: 7,
      next_run_after: 1_700_000_420.5,
      timestamp: 1_700_000_000.5,
      module_file: promise.path,
      module_file_mtime: promise.modified / 1000,
    })
    expect(decodeSchedule(text, promise)).toStrictEqual(schedule)
    expect(decodeSchedule(text, { path: "/another" })).toBeUndefined()
    expect(decodeSchedule('{"is_tested": 1}', promise)).toBeUndefined()
  })

  it.each([
    [2, 2 * minute],
    [0.5, minute / 2],
    [0, 2 * minute],
    [-1, 2 * minute],
    [Number.NaN, 2 * minute],
    [1e9, 2 * minute],
  ])("a period of %s minutes", (minutes, period) => {
    expect(periodOf(minutes)).toBe(period)
  })

  it("a line of the log, in local time", () => {
    const zone = DateTime.zoneMakeOffset(3_600_000)
    const at = 1_700_000_000_999
    expect(logLine({ at, hasFailed: false, message: "a\nb" }, zone, 0)).toBe(
      "2023-11-14 23:13:20 - INFO - 1700000000-100 - a\nb",
    )
    expect(logLine({ at, hasFailed: true, message: "" }, zone, 0.9999)).toBe(
      "2023-11-14 23:13:20 - ERROR - 1700000000-999 - ",
    )
  })

  it("the runs in a log, the newest first", () => {
    const text = `of a cut line
2023-11-14 23:13:20 - INFO - 1700000000-100 - begins
2023-11-14 23:13:21 - CRITICAL - 1700000000-100 - ends
and goes on
2023-11-14 23:15:20 - INFO - 1700000120-200 - fine - ERROR - really
2023-11-14 23:17:20 - ERROR - 1700000240-300 - `
    expect(lastRuns(text)).toStrictEqual([true, false, true])
    expect(lastRuns("")).toStrictEqual([])
  })
})

describe("printedMessage", () => {
  it.each([
    ["text", Buffer.from(" fine\n\tindeed \n"), "fine\n\tindeed"],
    ["nothing", Buffer.alloc(0), ""],
    ["binary", Buffer.from([0, 255, 27, 65, 13, 10, 66]), "\uFFFD\uFFFD\uFFFDA\uFFFD\nB"],
    ["much", Buffer.from(`begin${"x".repeat(6000)}end`), `...${"x".repeat(4997)}end`],
  ])("%s", (_, printed, message) => {
    expect(printedMessage(printed)).toBe(message)
  })
})
