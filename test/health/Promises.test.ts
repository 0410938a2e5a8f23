// Promises as real processes: what they do, what becomes of it on the disk, and that nothing of them is left.
//
// | rule (node-behaviour.md, Promises)                              | test                                     |
// | --------------------------------------------------------------- | ---------------------------------------- |
// | executables: exit status, message, result and log files         | executables …                            |
// | plugins: the release's Python, classes of their own path        | plugins …                                |
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { checking, sensing } from "./checking.ts"

describe("a check", () => {
  it.live("of executables and plugins keeps their results and says which fails first, plugins before executables", () =>
    Effect.gen(function* () {
      const { cache, executable, log, plugin, result, testAll } = yield* checking()
      executable("kept", "echo all is well")
      executable("broken.sh", "echo no such port >&2; exit 3")
      plugin("good.py", sensing('self.logger.info("it is %s in %s", 3, os.path.basename(os.getcwd()))'))
      plugin("bad.py", sensing('self.logger.error("it is not")'))
      const { bang, failure, promises } = yield* testAll
      expect(failure).toBe("Promise 'bad.py' failed with output: it is not")
      expect(bang).toBeUndefined()
      expect(promises.map(({ hasFailed, kind, message, name }) => [kind, name, hasFailed, message])).toStrictEqual([
        ["plugin", "bad.py", true, "it is not"],
        ["plugin", "good.py", false, undefined],
        ["executable", "broken.sh", true, "no such port"],
        ["executable", "kept", false, undefined],
      ])
      expect(result("broken")).toMatchObject({
        title: "broken",
        name: "broken.sh",
        result: { type: "Test Result", failed: true, message: "no such port" },
      })
      expect(result("good").result).toMatchObject({ failed: false, message: "it is 3 in slappart0" })
      expect(log("kept")).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - INFO - \d+-\d{3} - all is well\n$/)
      expect(log("bad")).toMatch(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d - ERROR - \d+-\d{3} - it is not\n$/)
      expect(cache("good")).toMatchObject({ is_tested: true, is_anomaly_detected: true, periodicity: 2 })
    }),
  )
})
