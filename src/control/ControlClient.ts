// Asks the running agent through its control socket.
import * as Effect from "effect/Effect"
import { execa } from "execa"
import * as fs from "node:fs"
import { Agent } from "undici"
import type { NodeStatus } from "../domain/NodeStatus.ts"
import { errnoOf } from "../files/FileError.ts"
import { agentDirectory } from "../files/machine.ts"
import { ControlError, socketName } from "./protocol.ts"

/** Milliseconds: an agent that takes longer is stopped or stuck. */
const patience = 10_000

const failure = (path: string, cause: unknown): ControlError => {
  const code = errnoOf(cause) ?? ""
  const message =
    code === "ENOENT" || code === "ECONNREFUSED"
      ? `no slapgrid is running there (nothing listens on ${path}): start it with slapgrid --configuration-file FILE`
      : code === "EACCES"
        ? `not allowed to open ${path}: run this as the user that runs slapgrid`
        : `${path} does not answer: ${cause instanceof Error ? cause.message : String(cause)}`
  return new ControlError({ path, message })
}

const call = (instanceRoot: string, method: "GET" | "POST", route: string): Effect.Effect<unknown, ControlError> => {
  const directory = agentDirectory(instanceRoot)
  return Effect.tryPromise({
    try: async (signal) => {
      const fd = fs.openSync(directory, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY)
      const agent = new Agent({ connect: { socketPath: `/proc/self/fd/${fd}/${socketName}` } })
      try {
        const target = { origin: "http://slapgrid", path: route, method }
        const limits = { signal, headersTimeout: patience, bodyTimeout: patience }
        const { body, statusCode } = await agent.request({ ...target, ...limits })
        const answer: unknown = await body.json()
        if (statusCode !== 200) throw new Error(`status ${statusCode}: ${JSON.stringify(answer)}`)
        return answer
      } finally {
        await agent.close()
        fs.closeSync(fd)
      }
    },
    catch: (cause) => failure(`${directory}/${socketName}`, cause),
  })
}

/** Ends the agent on this instance root and waits until it is gone; its services run on. */
export const detach = (instanceRoot: string): Effect.Effect<void, ControlError> =>
  Effect.andThen(call(instanceRoot, "POST", "/detach"), awaitUnlocked(`${agentDirectory(instanceRoot)}/lock`))

/** The agent's lock is free when the agent is gone, so that a successor can be started at once. */
const awaitUnlocked = (file: string): Effect.Effect<void, ControlError> =>
  Effect.tryPromise({
    try: () => execa("flock", ["--wait", "60", file, "true"]),
    catch: () => new ControlError({ path: file, message: `the agent still holds ${file} after 60 s: it is leaving` }),
  })

/** The status of the agent on this instance root. */
export const getStatus = (instanceRoot: string): Effect.Effect<NodeStatus, ControlError> =>
  // Both ends are one version of one program: the shape is ours.
  Effect.map(call(instanceRoot, "GET", "/status"), (answer) => answer as NodeStatus)
