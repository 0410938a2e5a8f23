// The scripted master's own promises: what other tests build on.
import { assert, describe, it } from "@effect/vitest"
import { spawn } from "node:child_process"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import { decodeMarshal, SlapObject } from "../../src/master/wire/marshal.ts"
import type { Fault, ScriptedMasterShape } from "./ScriptedMaster.ts"
import { makeScriptedMaster, named } from "./ScriptedMaster.ts"

interface Answered {
  readonly status: number
  readonly body: string
}

/** What came back, or undefined when the connection failed first. */
const ask = (url: string, init?: RequestInit): Effect.Effect<Answered | undefined> =>
  Effect.promise(async () => {
    try {
      const response = await fetch(url, init)
      return { status: response.status, body: await response.text() }
    } catch {
      return undefined
    }
  })

const documentOf = (master: ScriptedMasterShape) => ask(`${master.url}getFullComputerInformation?computer_id=COMP-1`)

const report = (master: ScriptedMasterShape, name: string, form: Record<string, string>) =>
  ask(`${master.url}${name}`, { method: "POST", body: new URLSearchParams(form) })

const isDocument = (answered: Answered | undefined): boolean =>
  answered !== undefined && Result.isSuccess(decodeMarshal(answered.body))

describe("the scripted master", () => {
  it.effect("serves the state it was given, and the next one when that changes", () =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      yield* master.script({
        software: [{ url: "/sr.cfg" }],
        partitions: [
          { id: "slappart0", software: "/sr.cfg", timestamp: "7", parameters: { k: "<v>" } },
          { id: "slappart1" },
        ],
      })
      const first = yield* documentOf(master)
      const computer = Result.getOrThrow(decodeMarshal(first!.body))
      assert.instanceOf(computer, SlapObject)
      assert.include(first!.body, "<string>k</string><string>&amp;lt;v&amp;gt;</string>")
      yield* master.script({ partitions: [] })
      const second = yield* documentOf(master)
      assert.include(second!.body, "/sr.cfg")
      assert.notInclude(second!.body, "slappart0")
      assert.strictEqual((yield* ask(`${master.url}getFullComputerInformation?computer_id=COMP-2`))?.status, 404)
    }),
  )

  it.effect("records calls in order, with their fields", () =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      yield* documentOf(master)
      yield* report(master, "startedComputerPartition", { computer_partition_id: "slappart0" })
      const calls = yield* master.calls
      assert.deepStrictEqual(
        calls.map(({ method, path, query, form }) => ({ method, path, query, form })),
        [
          { method: "GET", path: "/getFullComputerInformation", query: { computer_id: "COMP-1" }, form: {} },
          {
            method: "POST",
            path: "/startedComputerPartition",
            query: {},
            form: { computer_partition_id: "slappart0" },
          },
        ],
      )
    }),
  )

  it.effect("lets a test wait for a call that was made, or will be", () =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      const started = named("startedComputerPartition", { computer_partition_id: "slappart0" })
      const waiting = yield* Effect.forkChild(master.awaitCall(started), { startImmediately: true })
      yield* report(master, "startedComputerPartition", { computer_partition_id: "slappart1" })
      yield* report(master, "startedComputerPartition", { computer_partition_id: "slappart0" })
      const call = yield* Fiber.join(waiting)
      assert.strictEqual(call.index, 1)
      assert.strictEqual((yield* master.awaitCall(started)).index, 1)
      const next = yield* Effect.forkChild(master.awaitCall(started, { after: call.index }), { startImmediately: true })
      yield* report(master, "startedComputerPartition", { computer_partition_id: "slappart0" })
      assert.strictEqual((yield* Fiber.join(next)).index, 2)
    }),
  )

  const faults: ReadonlyArray<[fault: Fault, expected: (answered: Answered | undefined) => boolean]> = [
    [{ _tag: "Reset" }, (answered) => answered === undefined],
    [{ _tag: "CutOff" }, (answered) => answered === undefined],
    [{ _tag: "Status", status: 503 }, (answered) => answered?.status === 503],
    [{ _tag: "Status", status: 403, body: "no" }, (answered) => answered?.status === 403 && answered.body === "no"],
    [{ _tag: "Garbage" }, (answered) => answered?.status === 200 && !isDocument(answered)],
    [{ _tag: "Truncated" }, (answered) => answered?.body.startsWith("<marshal>") === true && !isDocument(answered)],
  ]
  it.effect.each(faults)("injects $0._tag so many times, into one method", ([fault, expected]) =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      const injection = yield* master.inject("getFullComputerInformation", fault, 2)
      assert.strictEqual((yield* report(master, "useComputer", {}))?.status, 200)
      for (const time of [1, 2]) assert.isTrue(expected(yield* documentOf(master)), `time ${time}`)
      assert.isTrue(isDocument(yield* documentOf(master)))
      assert.strictEqual(yield* injection.hits, 2)
      const met = (yield* master.calls).map((call) => call.fault)
      assert.deepStrictEqual(met, [undefined, fault._tag, fault._tag, undefined])
    }),
  )

  it.effect("holds answers until they are released", () =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      const injection = yield* master.inject("*", { _tag: "Held" })
      const asking = yield* Effect.forkChild(documentOf(master), { startImmediately: true })
      yield* master.awaitCall(named("getFullComputerInformation"))
      assert.isUndefined(asking.pollUnsafe())
      yield* injection.release
      assert.isTrue(isDocument(yield* Fiber.join(asking)))
    }),
  )

  it.effect("clears its faults", () =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      yield* master.inject("*", { _tag: "Status", status: 503 })
      assert.strictEqual((yield* documentOf(master))?.status, 503)
      yield* master.clearFaults
      assert.strictEqual((yield* documentOf(master))?.status, 200)
    }),
  )

  it.effect("answers 304 to whom has the document, when told to offer validators", () =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      yield* master.script({ validators: true })
      const url = `${master.url}getFullComputerInformation?computer_id=COMP-1`
      const tag = yield* Effect.promise(() => fetch(url).then((response) => response.headers.get("etag")))
      const again = yield* ask(url, { headers: { "If-None-Match": tag ?? "" } })
      assert.deepStrictEqual(again, { status: 304, body: "" })
    }),
  )

  it.effect("serves other processes", () =>
    Effect.gen(function* () {
      const master = yield* makeScriptedMaster()
      const code = `await fetch(process.argv[1], { method: "POST", body: new URLSearchParams({ computer_id: "COMP-1" }) })`
      const arguments_ = ["--input-type=module", "--eval", code, `${master.url}computerBang`]
      const child = spawn(process.execPath, arguments_, { stdio: "ignore" })
      const call = yield* master.awaitCall(named("computerBang"))
      assert.deepStrictEqual(call.form, { computer_id: "COMP-1" })
      const exit = Effect.callback<number | null>((resume) => {
        if (child.exitCode !== null) return resume(Effect.succeed(child.exitCode))
        child.once("exit", (status) => resume(Effect.succeed(status)))
      })
      assert.strictEqual(yield* exit, 0)
    }),
  )

  it.effect("ends with its scope, held answers and all", () =>
    Effect.gen(function* () {
      const left = yield* Effect.scoped(
        Effect.gen(function* () {
          const master = yield* makeScriptedMaster()
          yield* master.inject("*", { _tag: "Held" })
          const asking = yield* Effect.forkDetach(documentOf(master), { startImmediately: true })
          yield* master.awaitCall(() => true)
          return { asking, master }
        }),
      )
      assert.isUndefined(yield* Fiber.join(left.asking))
      assert.isUndefined(yield* documentOf(left.master))
    }),
  )
})
