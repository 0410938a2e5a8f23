// Both ends of the control socket, over a real one.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as TestClock from "effect/testing/TestClock"
import * as fs from "node:fs"
import { createServer } from "node:net"
import { once } from "node:events"
import { expect } from "vitest"
import { Agent, request } from "undici"
import { NodeConfig } from "../../src/config/NodeConfig.ts"
import { commandServices, followPass, getPlan, getStatus, getUsage } from "../../src/control/ControlClient.ts"
import { ControlServer } from "../../src/control/ControlServer.ts"
import { Passes, type PassOrder } from "../../src/desired/Passes.ts"
import { Plans } from "../../src/desired/Plans.ts"
import type { NodePlan } from "../../src/domain/Plan.ts"
import type { NodeUsage } from "../../src/domain/NodeUsage.ts"
import { CommandRefused, ServiceCommands } from "../../src/process/ServiceCommands.ts"
import { Departure } from "../../src/process/Departure.ts"
import { NodeMeter } from "../../src/process/usage/NodeMeter.ts"
import { StatusBoard } from "../../src/report/StatusBoard.ts"
import type { PassEvent, PassRequest } from "../../src/domain/Pass.ts"
import { Inbox, settle } from "../support/Calls.ts"
import { nodeConfig, slappart0 } from "../support/facts.ts"
import { openBelow, scratchDirectory } from "../support/scratch.ts"

/** Knows one program, and tells what it was told. */
const commands = ServiceCommands.of({
  run: ({ action, targets }) =>
    targets[0] === "slappart0:web"
      ? Effect.succeed([{ partition: "slappart0", program: `web ${action}`, status: undefined, problem: undefined }])
      : new CommandRefused({ message: `there is no ${targets.join()}` }),
})

const usage: NodeUsage = {
  at: 1,
  agent: { cpu: 2, memory: 3, processes: 1 },
  software: [],
  partitions: [{ id: slappart0, cpu: 4, memory: 5, processes: 6, services: [] }],
}

const plan: NodePlan = {
  computer: nodeConfig().computerId,
  standing: "Away",
  error: "it is away",
  isSupervised: true,
  software: [],
  partitions: [],
  rejected: [],
}

const meter = NodeMeter.of({ read: () => Effect.succeed(usage) })

/** What a pass tells. */
type Begin = Passes["Service"]["begin"]

const layer = (root: string, begin: Begin = () => Effect.never) =>
  Layer.unwrap(
    Effect.gen(function* () {
      const orders = yield* Queue.unbounded<PassOrder>()
      return ControlServer.layer(`${root}/var/run/slapgrid`).pipe(
        Layer.provideMerge(StatusBoard.layer),
        Layer.provide(Layer.succeed(Passes, Passes.of({ orders, begin }))),
        Layer.provide(Layer.succeed(Plans, Plans.of({ get: Effect.succeed(plan), provide: () => Effect.void }))),
        Layer.provide([Departure.layer, Layer.succeed(ServiceCommands, commands), Layer.succeed(NodeMeter, meter)]),
        Layer.provide(Layer.succeed(NodeConfig, nodeConfig({ instanceRoot: root }))),
      )
    }),
  )

const rootOf = (name: string) =>
  Effect.map(scratchDirectory, (scratch) => {
    const root = `${scratch}/${name}`
    fs.mkdirSync(`${root}/var/run/slapgrid`, { recursive: true, mode: 0o700 })
    return root
  })

const instancePass: PassRequest = { _tag: "Instance", only: [], isForced: true, stops: false, isDebug: false }

const connection = (root: string) =>
  Effect.acquireRelease(
    Effect.sync(() => new Agent({ connect: { socketPath: `${root}/var/run/slapgrid/control.sock` } })),
    (agent) => Effect.promise(() => agent.destroy()),
  )

const post = (dispatcher: Agent, pass: PassRequest) =>
  request("http://x/passes", { method: "POST", dispatcher, body: JSON.stringify(pass) })

const call = (root: string, method: "GET" | "POST" | "DELETE", route: string, sent: string | null = null) =>
  Effect.promise(async () => {
    const agent = new Agent({ connect: { socketPath: `${root}/var/run/slapgrid/control.sock` } })
    const { body, headers, statusCode } = await request(`http://x${route}`, { method, dispatcher: agent, body: sent })
    const answer = { status: statusCode, type: headers["content-type"], body: await body.json() }
    await agent.close()
    return answer
  })

describe("calls", () => {
  it.effect("status, usage, and nothing else", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      yield* Layer.build(layer(root))
      expect(yield* call(root, "GET", "/status")).toMatchObject({
        status: 200,
        type: "application/json",
        body: { computer: "COMP-1", pid: process.pid, partitions: [] },
      })
      expect(yield* getUsage(root)).toStrictEqual(usage)
      expect(yield* getPlan(root)).toStrictEqual(plan)
      for (const [method, route] of [
        ["GET", "/"],
        ["GET", "/passes"],
        ["POST", "/status"],
        ["DELETE", "/status"],
        ["GET", "/status?x"],
        ["GET", "/__proto__"],
        ["GET", "/constructor"],
      ] as const) {
        expect(yield* call(root, method, route)).toMatchObject({
          status: 404,
          body: { error: `no such call: ${method} ${route}` },
        })
      }
    }),
  )

  it.effect("one that fails ends neither the agent nor the next one", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      yield* Layer.build(layer(root, () => Effect.die(new Error("broken"))))
      expect(yield* call(root, "POST", "/passes", JSON.stringify(instancePass))).toMatchObject({ status: 500 })
      expect(yield* call(root, "GET", "/status")).toMatchObject({ status: 200 })
    }),
  )

  it.effect("commands: what was done, why nothing was, and what is no command", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      yield* Layer.build(layer(root))
      const outcomes = yield* commandServices(root, { action: "stop", targets: ["slappart0:web"] })
      expect(outcomes).toMatchObject([{ partition: "slappart0", program: "web stop" }])
      const error = yield* Effect.flip(commandServices(root, { action: "stop", targets: ["a", "b"] }))
      expect(error.message).toBe("there is no a,b")
      for (const body of ["", "{", "[]", '{"action":"eat","targets":["a"]}', '{"action":"stop","targets":[]}']) {
        const answer = yield* call(root, "POST", "/services", body)
        expect(answer).toMatchObject({ status: 400, body: { error: expect.stringContaining("this is no command") } })
      }
    }),
  )

  it.effect("more than a command can be is cut off, and the next call answered", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      yield* Layer.build(layer(root))
      const tooMuch = Effect.promise(async () => {
        const agent = new Agent({ connect: { socketPath: `${root}/var/run/slapgrid/control.sock` } })
        try {
          await request("http://x/services", { method: "POST", dispatcher: agent, body: "x".repeat(3_000_000) })
          return "answered"
        } catch {
          return "cut off"
        } finally {
          await agent.destroy()
        }
      })
      expect(yield* tooMuch).toBe("cut off")
      expect(yield* call(root, "GET", "/status")).toMatchObject({ status: 200 })
    }),
  )

  it.effect("the socket is for its user alone, and gone with the server", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      const path = `${root}/var/run/slapgrid/control.sock`
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Layer.build(layer(root))
          expect(fs.statSync(path).mode & 0o777).toBe(0o600)
        }),
      )
      expect([fs.existsSync(path), openBelow(root)]).toStrictEqual([false, []])
    }),
  )
})

describe("a pass", () => {
  const began: PassEvent = { _tag: "Began", subjects: ["slappart0"] }
  const progress = (count: number): PassEvent => ({ _tag: "Progress", subject: "slappart0", state: `${count}` })
  const ended: PassEvent = { _tag: "Ended", status: 0, message: undefined }
  const follow = (root: string) => Stream.runCollect(followPass(root, instancePass))

  it.effect("is told event by event as it goes on, until its end", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      const events = yield* Queue.unbounded<PassEvent>()
      const asked: Array<PassRequest> = []
      yield* Layer.build(
        layer(root, (request) => {
          asked.push(request)
          return Effect.succeed(Stream.takeUntil(Stream.fromQueue(events), ({ _tag }) => _tag === "Ended"))
        }),
      )
      const seen = new Inbox<PassEvent>()
      const following = yield* Effect.forkScoped(
        Stream.runForEach(followPass(root, instancePass), (event) => Effect.sync(() => seen.push(event))),
      )
      for (const event of [began, progress(1), ended]) {
        yield* Queue.offer(events, event)
        expect(yield* seen.take).toStrictEqual(JSON.parse(JSON.stringify(event)))
      }
      yield* Fiber.join(following)
      expect([asked, openBelow(root)]).toStrictEqual([[instancePass], []])
    }),
  )

  it.effect("that is none is refused in words", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      yield* Layer.build(layer(root))
      for (const body of ["", "{", '{"_tag":"Dinner"}', '{"_tag":"Instance","only":"slappart0"}']) {
        const answer = yield* call(root, "POST", "/passes", body)
        expect(answer).toMatchObject({ status: 400, body: { error: expect.stringContaining("this is no pass") } })
      }
    }),
  )

  it.effect("gives signs of life while nothing happens", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      yield* Layer.build(layer(root, () => Effect.succeed(Stream.never)))
      const agent = yield* connection(root)
      const { body } = yield* Effect.promise(() => post(agent, instancePass))
      const text = yield* Effect.forkScoped(
        Effect.promise(async () => String((await body[Symbol.asyncIterator]().next()).value)),
      )
      yield* TestClock.adjust("5 seconds")
      expect((yield* Fiber.join(text)).trim()).toBe("")
    }),
  )

  it.effect("whose agent ends is told so", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      const scope = yield* Scope.make()
      yield* Scope.provide(
        Layer.build(layer(root, () => Effect.succeed(Stream.concat(Stream.make(began), Stream.never)))),
        scope,
      )
      const seen = new Inbox<PassEvent>()
      const following = yield* Effect.forkScoped(
        Stream.runForEach(followPass(root, instancePass), (event) => Effect.sync(() => seen.push(event))),
      )
      yield* seen.take
      yield* Scope.close(scope, Exit.void)
      const error = yield* Effect.flip(Fiber.join(following))
      expect(error.message).toContain("the agent ended before the pass did")
      expect((yield* Effect.flip(follow(root))).isAbsent).toBe(true)
    }),
  )

  it.effect("is not held up by a reader that stops reading, who is given up; the agent answers others", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      let told = 0
      let isOver = false
      const endless = Stream.fromEffectRepeat(
        Effect.andThen(
          Effect.yieldNow,
          Effect.sync(() => progress(told++)),
        ),
      ).pipe(Stream.ensuring(Effect.sync(() => void (isOver = true))))
      yield* Layer.build(layer(root, () => Effect.succeed(endless)))
      const agent = yield* connection(root)
      // Its body is never read.
      yield* Effect.promise(() => post(agent, instancePass))
      yield* steady(() => told)
      const before = told
      expect((yield* call(root, "GET", "/status")).status).toBe(200)
      expect([told - before, isOver]).toStrictEqual([0, false])
      yield* TestClock.adjust("1 minute")
      yield* settle
      expect(isOver).toBe(true)
    }),
  )
})

/** Waits until a count no longer grows, for many turns of the event loop. */
const steady = (count: () => number) =>
  Effect.promise(async () => {
    for (let same = 0; same < 2000;) {
      const before = count()
      await new Promise((resolve) => setImmediate(resolve))
      same = count() === before ? same + 1 : 0
    }
  })

describe("the client", () => {
  it.effect("reads the status, also where the path is longer than a socket's may be", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("instances-".repeat(15))
      yield* Layer.build(layer(root))
      expect((yield* getStatus(root)).computer).toBe("COMP-1")
      expect(openBelow(root)).toStrictEqual([])
    }),
  )

  it.effect("says what to do when nobody runs: no directory, no socket, or a dead agent's", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      const words = "no slapgrid is running there"
      expect((yield* Effect.flip(getStatus(`${root}/none`))).message).toContain(words)
      expect((yield* Effect.flip(getStatus(root))).message).toContain(words)
      const stale = yield* staleSocket(root)
      expect((yield* Effect.flip(getStatus(root))).message).toContain(words)
      expect([fs.existsSync(stale), openBelow(root)]).toStrictEqual([true, []])
    }),
  )

  it.effect("whatever else answers is told", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      const path = `${root}/var/run/slapgrid/control.sock`
      const server = createServer((socket) => socket.end("nonsense"))
      server.listen(path)
      yield* Effect.promise(() => once(server, "listening"))
      yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
      expect((yield* Effect.flip(getStatus(root))).message).toContain(`${path} does not answer: `)
      expect(openBelow(root)).toStrictEqual([])
    }),
  )
})

/** A socket whose listener died without removing it. */
const staleSocket = (root: string) =>
  Effect.promise(async () => {
    const directory = `${root}/var/run/slapgrid`
    const server = createServer()
    server.listen(`${directory}/other.sock`)
    await once(server, "listening")
    fs.renameSync(`${directory}/other.sock`, `${directory}/control.sock`)
    server.close()
    return `${directory}/control.sock`
  })

describe("the server", () => {
  it.effect("takes the place of a dead agent's socket", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      yield* staleSocket(root)
      yield* Layer.build(layer(root))
      expect((yield* getStatus(root)).computer).toBe("COMP-1")
    }),
  )

  it.effect.each([
    ["has no directory", (directory: string) => fs.rmdirSync(directory)],
    ["finds a directory in its place", (directory: string) => fs.mkdirSync(`${directory}/control.sock`)],
  ] as const)("that %s says so and leaves nothing open", ([, spoil]) =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      spoil(`${root}/var/run/slapgrid`)
      const error = yield* Effect.flip(Effect.scoped(Layer.build(layer(root))))
      expect(error.message).toContain(`cannot listen on ${root}/var/run/slapgrid/control.sock`)
      expect(openBelow(root)).toStrictEqual([])
    }),
  )

  it.effect("ends although a client holds its connection open", () =>
    Effect.gen(function* () {
      const root = yield* rootOf("i")
      const agent = new Agent({ connect: { socketPath: `${root}/var/run/slapgrid/control.sock` } })
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* Layer.build(layer(root))
          yield* Effect.promise(async () => {
            const { body } = await request("http://x/status", { dispatcher: agent })
            await body.dump()
          })
        }),
      )
      yield* Effect.promise(() => agent.destroy())
    }),
  )
})
