// Asks the running agent through its control socket.
import * as Effect from "effect/Effect"
import { execa } from "execa"
import * as fs from "node:fs"
import { Agent } from "undici"
import type { NodeStatus } from "../domain/NodeStatus.ts"
import type { NodePlan } from "../domain/Plan.ts"
import type { NodeUsage } from "../domain/NodeUsage.ts"
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

const call = (instanceRoot: string, call: Call): Effect.Effect<unknown, ControlError> => {
  const { body: sent, method, patience = defaultPatience, route } = call
  const directory = agentDirectory(instanceRoot)
  return Effect.tryPromise({
    try: async (signal) => {
      const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
      const agent = new Agent({ connect: { socketPath: `/proc/self/fd/${fd}/${socketName}` } })
      try {
        const content = sent === undefined ? null : JSON.stringify(sent)
        const target = { origin: "http://slapgrid", path: route, method, body: content }
        const limits = { signal, headersTimeout: patience, bodyTimeout: patience }
        const { body, statusCode } = await agent.request({ ...target, ...limits })
        const answer: unknown = await body.json()
        if (statusCode === 400) return new Refusal(answer)
        if (statusCode !== 200) throw new Error(`status ${statusCode}: ${JSON.stringify(answer)}`)
        return answer
      } finally {
        await agent.close()
        fs.closeSync(fd)
      }
    },
    catch: (cause) => failure(`${directory}/${socketName}`, cause),
  }).pipe(
    Effect.filterOrFail(
      (answer) => !(answer instanceof Refusal),
      (answer) => new ControlError({ path: `${directory}/${socketName}`, message: String(answer), isAbsent: false }),
    ),
  )
}

/** The agent understood, and did nothing. */
class Refusal {
  readonly #answer: unknown

  constructor(answer: unknown) {
    this.#answer = answer
  }

  toString(): string {
    const { error } = this.#answer as { readonly error: string }
    return error
  }
}

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
