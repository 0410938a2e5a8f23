// Words on their way to a real socket, as a service manager has one: it wants to know who sent them. With the
// systemd-notify that scripts/setup installs where root runs the tests; only root can speak for another process.
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Logger from "effect/Logger"
import { spawn } from "node:child_process"
import { createInterface } from "node:readline"
import { expect } from "vitest"
import { makeNotifier } from "../../src/control/Notifier.ts"
import { Inbox } from "../support/Calls.ts"
import { inCi, isRoot, scratchDirectory } from "../support/scratch.ts"

/** Prints what each datagram says and which pid vouches for it. Closing what came with a barrier lets its sender go. */
const receiver = `
import json, os, socket, struct, sys
server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
server.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
server.bind(sys.argv[1])
print("{}", flush=True)
while True:
    text, ancillary, _, _ = server.recvmsg(4096, 1024)
    pid = 0
    for _, kind, data in ancillary:
        if kind == socket.SCM_RIGHTS:
            os.close(struct.unpack("i", data)[0])
        else:
            pid = struct.unpack("3i", data)[0]
    print(json.dumps({"text": text.decode(), "pid": pid}), flush=True)
`

interface Datagram {
  readonly text: string
  readonly pid: number
}

const manager = Effect.gen(function* () {
  const socket = `${yield* scratchDirectory}/notify`
  const heard = new Inbox<Datagram>()
  const child = yield* Effect.acquireRelease(
    Effect.sync(() => spawn("python3", ["-c", receiver, socket], { stdio: ["ignore", "pipe", "inherit"] })),
    (child) => Effect.sync(() => child.kill("SIGKILL")),
  )
  createInterface(child.stdout).on("line", (line) => heard.push(JSON.parse(line) as Datagram))
  // It listens now.
  yield* heard.take
  return { socket, heard }
})

/** Sets variables of this process for the life of the Scope. */
const withEnvironment = (variables: Readonly<Record<string, string>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const before = Object.keys(variables).map((name) => [name, process.env[name]] as const)
      Object.assign(process.env, variables)
      return before
    }),
    (before) =>
      Effect.sync(() => {
        for (const [name, value] of before) {
          if (value === undefined) delete process.env[name]
          else process.env[name] = value
        }
      }),
  )

const rooted = it.live.runIf(inCi || isRoot)

describe("a notifier", () => {
  rooted("sends words in the name of this process, and returns when they were read", () =>
    Effect.gen(function* () {
      const { heard, socket } = yield* manager
      yield* withEnvironment({ NOTIFY_SOCKET: socket, WATCHDOG_USEC: "6000000", WATCHDOG_PID: String(process.pid) })
      const notifier = yield* makeNotifier
      expect(notifier?.watchdog).toBe(6000)
      expect(Object.keys(process.env).filter((name) => /NOTIFY|WATCHDOG/.test(name))).toStrictEqual([])
      yield* notifier!.send(["READY=1", "STATUS=2 services, 1 failed"])
      const { pid, text } = yield* heard.take
      expect(text.trim()).toBe("READY=1\nSTATUS=2 services, 1 failed")
      expect(pid).toBe(process.pid)
      expect(yield* heard.take).toMatchObject({ text: "BARRIER=1" })
    }),
  )

  it.effect("is none where nobody wants to know", () =>
    Effect.gen(function* () {
      expect(yield* makeNotifier).toBeUndefined()
    }),
  )

  it.live.each([
    { how: "systemd-notify is missing", variables: { PATH: "/nonexistent" }, reason: "systemd-notify is missing" },
    { how: "nobody listens", variables: {}, reason: "Failed to notify init system" },
  ])("tells once that the manager cannot be told: $how", ({ reason, variables }) =>
    Effect.gen(function* () {
      const told: Array<unknown> = []
      const logger = Logger.layer([Logger.make<unknown, void>(({ message }) => void told.push(message))])
      yield* withEnvironment({ NOTIFY_SOCKET: "/nonexistent/notify", ...variables })
      const notifier = yield* makeNotifier
      yield* Effect.provide(Effect.andThen(notifier!.send(["READY=1"]), notifier!.send(["READY=1"])), logger)
      expect(told).toHaveLength(1)
      expect(String(told[0])).toContain(reason)
    }),
  )
})
