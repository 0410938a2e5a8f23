// A supervisord in the test's hands: it answers on a real socket, its programs end when the test lets them, and its own
// life is a real process.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import * as http from "node:http"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { Watch } from "./Calls.ts"

export interface ScriptedProgram {
  readonly group: string
  readonly name: string
  pid: number
}

const value = (one: string | number): string =>
  typeof one === "number" ? `<value><int>${one}</int></value>` : `<value><string>${one}</string></value>`

const struct = (members: Readonly<Record<string, string | number>>): string =>
  `<value><struct>${Object.entries(members)
    .map(([name, one]) => `<member><name>${name}</name>${value(one)}</member>`)
    .join("")}</struct></value>`

const result = (text: string): string =>
  `<?xml version='1.0'?>\n<methodResponse><params><param>${text}</param></params></methodResponse>`

const fault = (faultCode: number, faultString: string): string =>
  `<?xml version='1.0'?>\n<methodResponse><fault>${struct({ faultCode, faultString })}</fault></methodResponse>`

export class ScriptedSupervisord {
  readonly programs: ReadonlyArray<ScriptedProgram>
  /** Methods with their first argument, but for those that only ask. */
  readonly told: Array<string> = []
  readonly watch = new Watch()
  /** Groups whose programs do not end when they are told to. */
  readonly stubborn = new Set<string>()
  /** Groups that are refused to be stopped. */
  readonly refused = new Set<string>()
  readonly #child: ChildProcess

  constructor(child: ChildProcess, programs: ReadonlyArray<ScriptedProgram>) {
    this.#child = child
    this.programs = programs
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  get isAlive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** It is gone, whatever it ran. */
  readonly die: Effect.Effect<void> = Effect.promise(async () => {
    if (!this.isAlive) return
    const gone = once(this.#child, "exit")
    this.#child.kill("SIGKILL")
    await gone
  })

  endPrograms(group: string): void {
    for (const program of this.programs) if (program.group === group) program.pid = 0
  }

  answer(body: string): string | undefined {
    if (!this.isAlive) return undefined
    const method = /<methodName>supervisor\.(\w+)</.exec(body)?.[1] ?? ""
    const group = /<string>(.*?)</.exec(body)?.[1] ?? ""
    switch (method) {
      case "getPID":
        return result(value(this.pid))
      case "getAllProcessInfo":
        return result(
          `<value><array><data>${this.programs.map(({ group, name, pid }) => struct({ group, name, pid })).join("\n")}</data></array></value>`,
        )
      case "stopProcessGroup":
        return this.#stop(group)
      case "shutdown":
        this.#tell("shutdown")
        this.#child.kill("SIGTERM")
        return result("<value><boolean>1</boolean></value>")
      default:
        return fault(1, "UNKNOWN_METHOD")
    }
  }

  #stop(group: string): string {
    this.#tell(`stop ${group}`)
    if (this.refused.has(group)) return fault(30, "FAILED")
    if (!this.programs.some((program) => program.group === group)) return fault(10, `BAD_NAME: ${group}`)
    if (!this.stubborn.has(group)) this.endPrograms(group)
    return result("<value><array><data></data></array></value>")
  }

  #tell(what: string): void {
    this.told.push(what)
    Effect.runSync(this.watch.changed)
  }
}

const listen = (socket: string, answer: (body: string) => string | undefined) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const server = http.createServer((request, response) => {
        let body = ""
        request.setEncoding("utf8").on("data", (text: string) => void (body += text))
        request.on("end", () => {
          const text = answer(body)
          if (text === undefined) request.socket.destroy()
          else response.end(text)
        })
      })
      server.listen(socket)
      await once(server, "listening")
      return server
    }),
    (server) =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      }),
  )

/** Listens on `socket` until the Scope closes; programs as `group:name`, each with a pid that nobody has. */
export const makeScriptedSupervisord = (
  socket: string,
  programs: ReadonlyArray<ScriptedProgram | string>,
): Effect.Effect<ScriptedSupervisord, never, Scope.Scope> =>
  Effect.gen(function* () {
    const child = spawn("sleep", ["infinity"], { stdio: "ignore" })
    const supervisord = new ScriptedSupervisord(
      child,
      programs.map((one, index) => {
        if (typeof one !== "string") return one
        const [group = "", name = ""] = one.split(":")
        return { group, name, pid: 4_190_000 + index }
      }),
    )
    yield* Effect.addFinalizer(() => supervisord.die)
    yield* listen(socket, (body) => supervisord.answer(body))
    return supervisord
  })
