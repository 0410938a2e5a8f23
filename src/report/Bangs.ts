// Bangs that survive: what a watched program's death asks of the master is on the disk before it is sent, and stays
// there until the master took or refused it, so that a killed agent's successor sends it. The same file tells for which
// deployment the last one was: one each. node-behaviour.md (Services).
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { NodeConfig } from "../config/NodeConfig.ts"
import { PartitionId } from "../domain/ids.ts"
import { agentDirectory } from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { Outbox } from "./Outbox.ts"

const Bang = Schema.Struct({
  version: Schema.Literal(1),
  id: PartitionId,
  /** The master's timestamp for the installation whose program died. */
  deployment: Schema.String,
  message: Schema.String,
  /** The master has taken it, or never will. */
  isSettled: Schema.Boolean,
})
type Bang = typeof Bang.Type

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Bang))

export class Bangs extends Context.Service<
  Bangs,
  {
    /** Tells the master that a watched program of a deployment died, unless it was told so before; gives whether. */
    readonly ring: (bang: Pick<Bang, "id" | "deployment" | "message">) => Effect.Effect<boolean>
    /** The instance is gone, and with it everything that was to be told of it. */
    readonly forget: (id: PartitionId) => Effect.Effect<void>
  }
>()("slapgrid/report/Bangs") {
  static readonly layer = Layer.effect(
    Bangs,
    Effect.gen(function* () {
      const { instanceRoot } = yield* NodeConfig
      const outbox = yield* Outbox
      const fork = yield* FiberSet.makeRuntime<never, void, never>()
      const files = yield* openFiles(agentDirectory(instanceRoot))
      const last = new Map((yield* files.load).map((bang) => [bang.id, bang]))

      const settle = (bang: Bang) =>
        Effect.suspend(() => {
          if (last.get(bang.id) !== bang) return Effect.void
          const settled = { ...bang, isSettled: true }
          last.set(bang.id, settled)
          return files.write(settled)
        })
      const send = (bang: Bang) =>
        outbox.deliver({ _tag: "Bang", id: bang.id, message: bang.message }).pipe(Effect.andThen(settle(bang)))

      const ring = Effect.fnUntraced(function* (asked: Pick<Bang, "id" | "deployment" | "message">) {
        if (last.get(asked.id)?.deployment === asked.deployment) return false
        const bang: Bang = { version: 1, ...asked, isSettled: false }
        last.set(bang.id, bang)
        yield* files.write(bang)
        fork(send(bang))
        return true
      })
      const forget = (id: PartitionId) =>
        Effect.andThen(
          Effect.sync(() => last.delete(id)),
          files.remove(id),
        )

      for (const bang of last.values()) if (!bang.isSettled) fork(send(bang))
      return Bangs.of({ ring, forget })
    }),
  )
}

const folder = "bangs"
const fileOf = (id: PartitionId): string => `${folder}/${id}.json`

/** The files of the bangs, a partition each. What cannot be written is told once, and sent all the same. */
const openFiles = Effect.fnUntraced(function* (path: string) {
  const directory = yield* OwnedDirectory.open(path).pipe(
    Effect.tap((directory) => directory.makeDirectory(folder, 0o700)),
    Effect.orDie,
  )
  let isFailing = false
  const tellOnce = (message: string) =>
    Effect.suspend(() => {
      if (isFailing) return Effect.void
      isFailing = true
      return Effect.logError(`bangs are sent, but lost should the agent end before the master took them: ${message}`)
    })
  const write = (bang: Bang) =>
    directory.write(fileOf(bang.id), JSON.stringify(bang), { mode: 0o600 }).pipe(
      Effect.andThen(Effect.sync(() => void (isFailing = false))),
      Effect.catch(({ message }) => tellOnce(message)),
    )
  const remove = (id: PartitionId) => Effect.ignore(directory.remove(fileOf(id)))

  const read = Effect.fnUntraced(function* (name: string) {
    const text = yield* directory.read(`${folder}/${name}`)
    const bang = decode(text)
    if (Result.isSuccess(bang) && fileOf(bang.success.id) === `${folder}/${name}`) return [bang.success]
    yield* Effect.logWarning(`${path}/${folder}/${name} is no bang and was removed`)
    yield* directory.remove(`${folder}/${name}`)
    return []
  })
  const load = directory.names(folder).pipe(
    Effect.flatMap((names) => Effect.forEach(names, read)),
    Effect.map((bangs) => bangs.flat()),
    Effect.catch(({ message }) => Effect.as(Effect.logWarning(`bangs of an earlier agent are lost: ${message}`), [])),
  )
  return { load, write, remove }
})
