// Asks the running agent through its control socket.
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { execa } from "execa"
import * as fs from "node:fs"
import { Agent } from "undici"
import type { NodeStatus } from "../domain/NodeStatus.ts"
import type { NodePlan } from "../domain/Plan.ts"
import type { NodeUsage } from "../domain/NodeUsage.ts"
import type { PassEvent, PassRequest } from "../domain/Pass.ts"
import type { ServiceCommand, ServiceOutcome } from "../process/service/commands.ts"
import { errnoOf } from "../files/FileError.ts"
import { agentDirectory } from "../files/machine.ts"
import { ControlError, socketName } from "./protocol.ts"

/** Milliseconds: an agent that takes longer is stopped or stuck. */
const defaultPatience = 10_000

const failure = (path: string, cause: unknown): ControlError => {
  const code = errnoOf(cause) ?? ""
  const isAbsent = code === "ENOENT" || code === "ECONNREFUSED"
  const message = isAbsent
    ? `no slapgrid is running there (nothing listens on ${path}): start it with slapgrid --configuration-file FILE`
    : code === "EACCES"
      ? `not allowed to open ${path}: run this as the user that runs slapgrid`
      : `${path} does not answer: ${cause instanceof Error ? cause.message : String(cause)}`
  return new ControlError({ path, message, isAbsent })
}

interface Call {
  readonly method: "GET" | "POST"
  readonly route: string
  readonly body?: unknown
  /** Milliseconds. */
  readonly patience?: number
}

/** A connection to the agent on an instance root, for the life of the Scope. */
const connect = (instanceRoot: string) => {
  const directory = agentDirectory(instanceRoot)
  return Effect.acquireRelease(
    Effect.try({
      try: () => {
        const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
        // A socket's path is bounded at 107 bytes; through the open directory it is always short.
        return { fd, agent: new Agent({ connect: { socketPath: `/proc/self/fd/${fd}/${socketName}` } }) }
      },
      catch: (cause) => failure(socketPath(instanceRoot), cause),
    }),
    ({ agent, fd }) =>
      Effect.promise(async () => {
        await agent.destroy()
        fs.closeSync(fd)
      }),
  )
}

const socketPath = (instanceRoot: string): string => `${agentDirectory(instanceRoot)}/${socketName}`

/** Sends a call; the answer's body is still to be read. */
const send = Effect.fnUntraced(function* (instanceRoot: string, call: Call) {
  const { body, method, patience = defaultPatience, route } = call
  const { agent } = yield* connect(instanceRoot)
  const content = body === undefined ? null : JSON.stringify(body)
  const target = { origin: "http://slapgrid", path: route, method, body: content }
  const limits = { headersTimeout: patience, bodyTimeout: patience }
  const answer = yield* Effect.tryPromise({
    try: (signal) => agent.request({ ...target, ...limits, signal }),
    catch: (cause) => failure(socketPath(instanceRoot), cause),
  })
  if (answer.statusCode === 200) return answer.body
  const path = socketPath(instanceRoot)
  const text = yield* Effect.tryPromise({ try: () => answer.body.text(), catch: (cause) => failure(path, cause) })
  // The agent understood, and did nothing.
  if (answer.statusCode === 400) {
    return yield* new ControlError({ path, message: (JSON.parse(text) as { error: string }).error, isAbsent: false })
  }
  return yield* failure(path, new Error(`status ${answer.statusCode}: ${text}`))
})

const call = (instanceRoot: string, call: Call): Effect.Effect<unknown, ControlError> =>
  send(instanceRoot, call).pipe(
    Effect.flatMap((body) =>
      Effect.tryPromise({ try: () => body.json(), catch: (cause) => failure(socketPath(instanceRoot), cause) }),
    ),
    Effect.scoped,
  )

/** Ends the agent on this instance root and waits until it is gone; its services run on. */
export const detach = (instanceRoot: string): Effect.Effect<void, ControlError> =>
  Effect.andThen(
    call(instanceRoot, { method: "POST", route: "/detach" }),
    awaitUnlocked(`${agentDirectory(instanceRoot)}/lock`),
  )

/** The agent's lock is free when the agent is gone, so that a successor can be started at once. */
const awaitUnlocked = (file: string): Effect.Effect<void, ControlError> =>
  Effect.tryPromise({
    try: () => execa("flock", ["--wait", "60", file, "true"]),
    catch: () =>
      new ControlError({
        path: file,
        message: `the agent still holds ${file} after 60 s: it is leaving`,
        isAbsent: false,
      }),
  })

/** The status of the agent on this instance root. */
export const getStatus = (instanceRoot: string): Effect.Effect<NodeStatus, ControlError> =>
  // Both ends are one version of one program: the shape is ours.
  Effect.map(call(instanceRoot, { method: "GET", route: "/status" }), (answer) => answer as NodeStatus)

/** What the next sync would do; the agent asks the master for it. */
export const getPlan = (instanceRoot: string): Effect.Effect<NodePlan, ControlError> =>
  Effect.map(
    call(instanceRoot, { method: "GET", route: "/plan", patience: planPatience }),
    (answer) => answer as NodePlan,
  )

/** Milliseconds: longer than the master may take. */
const planPatience = 70_000

/** What the node's processes take now. */
export const getUsage = (instanceRoot: string): Effect.Effect<NodeUsage, ControlError> =>
  Effect.map(call(instanceRoot, { method: "GET", route: "/usage" }), (answer) => answer as NodeUsage)

/** A stop takes its grace time, and a node has thousands of services. */
const commandPatience = 3600_000

/** Has the agent carry a command out; fails with everything that is wrong when it does not. */
export const commandServices = (
  instanceRoot: string,
  command: ServiceCommand,
): Effect.Effect<ReadonlyArray<ServiceOutcome>, ControlError> =>
  Effect.map(
    call(instanceRoot, { method: "POST", route: "/services", body: command, patience: commandPatience }),
    (answer) => answer as ReadonlyArray<ServiceOutcome>,
  )

/** Milliseconds: far more than between two signs of life. */
const passPatience = 60_000

/** Runs a pass in the agent; the last event is its end. To leave does not end it. */
export const followPass = (instanceRoot: string, request: PassRequest): Stream.Stream<PassEvent, ControlError> => {
  const path = socketPath(instanceRoot)
  const lost = new ControlError({
    path,
    isAbsent: false,
    message: "the agent ended before the pass did: what was under way is done again by its successor; see its log",
  })
  return send(instanceRoot, { method: "POST", route: "/passes", body: request, patience: passPatience }).pipe(
    Effect.map((body) =>
      Stream.fromAsyncIterable(body, (cause) =>
        errnoOf(cause) === "UND_ERR_BODY_TIMEOUT" ? failure(path, cause) : lost,
      ).pipe(
        Stream.decodeText,
        Stream.splitLines,
        Stream.filter((line) => line !== ""),
        Stream.map((line) => JSON.parse(line) as PassEvent),
        Stream.concat(Stream.fail(lost)),
        Stream.takeUntil(({ _tag }) => _tag === "Ended"),
      ),
    ),
    Stream.unwrap,
  )
}
