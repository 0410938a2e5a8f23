// A live supervisord behind its socket: the few calls that a take-over needs. None of them waits for programs to end:
// whoever stops some looks afterwards, so that a stop can be interrupted and asked for again.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Agent } from "undici"
import { errnoOf } from "../../files/FileError.ts"
import { decodeResponse, encodeCall, isStruct, type RpcFault, type RpcValue } from "./xmlrpc.ts"

export class SupervisordError extends Schema.TaggedError<SupervisordError>()("SupervisordError", {
  /** `NotListening`: nobody is there. `Fault`: it says no. `NoAnswer`: somebody is there and says nothing of use. */
  reason: Schema.Literals(["NotListening", "Fault", "NoAnswer"]),
  /** Of a fault; undefined otherwise. */
  code: Schema.UndefinedOr(Schema.Int),
  message: Schema.String,
}) {}

export interface SupervisedProgram {
  readonly group: string
  readonly name: string
  /** 0 when it does not run. */
  readonly pid: number
}

/** Milliseconds: no call waits for a program, so one that takes longer is stuck. */
const patience = 10_000

/** There is no such group. */
const badName = 10

export interface Supervisord {
  readonly socket: string
  readonly pid: Effect.Effect<number, SupervisordError>
  readonly programs: Effect.Effect<ReadonlyArray<SupervisedProgram>, SupervisordError>
  /** Asks the programs of a group to end; a group that it does not have has none. */
  readonly stopGroup: (name: string) => Effect.Effect<void, SupervisordError>
  /** Asks it to stop everything and to end. */
  readonly shutdown: Effect.Effect<void, SupervisordError>
}

export const supervisordAt = (socket: string): Supervisord => {
  const call = (method: string, ...parameters: ReadonlyArray<string | boolean>) =>
    exchange(socket, encodeCall(`supervisor.${method}`, parameters))
  return {
    socket,
    pid: Effect.filterOrFail(
      call("getPID"),
      (value) => typeof value === "number",
      () => noAnswer(socket, "its pid is no number"),
    ),
    programs: Effect.map(call("getAllProcessInfo"), programsIn),
    stopGroup: (name) =>
      call("stopProcessGroup", name, false).pipe(
        Effect.catchIf(
          ({ code }) => code === badName,
          () => Effect.void,
        ),
        Effect.asVoid,
      ),
    shutdown: Effect.asVoid(call("shutdown")),
  }
}

const programsIn = (value: RpcValue): ReadonlyArray<SupervisedProgram> =>
  (Array.isArray(value) ? (value as ReadonlyArray<RpcValue>) : []).flatMap((one) => {
    if (!isStruct(one)) return []
    const { group, name, pid } = one
    return typeof group === "string" && typeof name === "string" && typeof pid === "number"
      ? [{ group, name, pid }]
      : []
  })

const exchange = (socketPath: string, body: string): Effect.Effect<RpcValue, SupervisordError> =>
  Effect.tryPromise({
    try: async (signal) => {
      const agent = new Agent({ connect: { socketPath, timeout: patience } })
      try {
        const answer = await agent.request({
          origin: "http://supervisord",
          path: "/RPC2",
          method: "POST",
          headers: { "content-type": "text/xml" },
          body,
          signal,
          headersTimeout: patience,
          bodyTimeout: patience,
        })
        const text = await answer.body.text()
        if (answer.statusCode !== 200) throw new Error(`status ${answer.statusCode}`)
        return text
      } finally {
        await agent.destroy()
      }
    },
    catch: (cause) => fromTransport(socketPath, cause),
  }).pipe(
    Effect.flatMap((text) =>
      Effect.mapError(Effect.fromResult(decodeResponse(text)), (fault) => fromFault(socketPath, fault)),
    ),
  )

const noAnswer = (socket: string, why: string): SupervisordError =>
  new SupervisordError({
    reason: "NoAnswer",
    code: undefined,
    message: `what listens on ${socket} does not answer: ${why}`,
  })

const fromFault = (socket: string, { code, message }: RpcFault): SupervisordError =>
  code === undefined
    ? noAnswer(socket, message)
    : new SupervisordError({ reason: "Fault", code, message: `supervisord at ${socket} says no: ${message}` })

/** What connect(2) says of a socket without a listener, and of a name that is no socket. */
const deserted = new Set(["ECONNREFUSED", "ENOENT", "ENOTSOCK", "ENOTDIR"])

const fromTransport = (socket: string, cause: unknown): SupervisordError => {
  const code = errnoOf(cause)
  if (code === undefined || !deserted.has(code)) {
    return noAnswer(socket, cause instanceof Error ? cause.message : String(cause))
  }
  return new SupervisordError({ reason: "NotListening", code: undefined, message: `nothing listens on ${socket}` })
}
