// Bangs that survive: what a watched program's death asks of the master is on the disk before it is sent, and stays
// there until the master took or refused it, so that a killed agent's successor sends it. The same file tells for which
// deployment the last one was: one each. node-behaviour.md (Services).
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FiberSet from "effect/FiberSet"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import { NodeConfig } from "../config/NodeConfig.ts"
import { PartitionId } from "../domain/ids.ts"
import { type BangReport, subjectOf } from "../domain/Report.ts"
import type { FileError } from "../files/FileError.ts"
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
/** Bytes; ours have a few hundred. */
const maximumFile = 64 * 1024

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
      const files = new BangFiles(agentDirectory(instanceRoot))
      const last = new Map((yield* files.load).map((bang) => [bang.id, bang]))

      /** What is kept of a partition is what there is now: writes end in the order in which they began. */
      const save = (id: PartitionId) => files.keep(id, () => last.get(id))
      const settle = (bang: Bang) =>
        Effect.suspend(() => {
          if (last.get(bang.id) !== bang) return Effect.void
          last.set(bang.id, { ...bang, isSettled: true })
          return save(bang.id)
        })
      const send = (bang: Bang) => outbox.deliver(reportOf(bang)).pipe(Effect.andThen(settle(bang)))

      const ring = Effect.fnUntraced(function* (asked: Pick<Bang, "id" | "deployment" | "message">) {
        if (last.get(asked.id)?.deployment === asked.deployment) return false
        const bang: Bang = { version: 1, ...asked, isSettled: false }
        last.set(bang.id, bang)
        yield* save(bang.id)
        // The instance can have gone meanwhile.
        if (last.get(bang.id) === bang) fork(send(bang))
        return true
      }, Effect.uninterruptible)
      const forget = (id: PartitionId) =>
        Effect.suspend(() => {
          last.delete(id)
          return Effect.andThen(outbox.withdraw(subjectOf(reportOf({ id, message: "" }))), save(id))
        })

      for (const bang of last.values()) if (!bang.isSettled) fork(send(bang))
      return Bangs.of({ ring, forget })
    }),
  )
}

const reportOf = ({ id, message }: Pick<Bang, "id" | "message">): BangReport => ({ _tag: "Bang", id, message })

const folder = "bangs"
const fileOf = (id: PartitionId): string => `${folder}/${id}.json`

/** The files of the bangs, a partition each. What cannot be written is told once, and sent all the same. */
class BangFiles {
  readonly #path: string
  readonly #turn = Semaphore.makeUnsafe(1)
  #isFailing = false

  constructor(path: string) {
    this.#path = path
  }

  /** Whatever is wrong with the disk now may be mended later. */
  readonly #open: Effect.Effect<OwnedDirectory, FileError> = Effect.suspend(() =>
    Effect.tap(OwnedDirectory.open(this.#path), (directory) => directory.makeDirectory(folder, 0o700)),
  )

  /** Every bang that can be read: what is wrong with one costs no other. */
  readonly load: Effect.Effect<ReadonlyArray<Bang>> = Effect.suspend(() =>
    this.#open.pipe(
      Effect.flatMap((directory) =>
        Effect.flatMap(directory.names(folder), (names) =>
          Effect.forEach(names, (name) =>
            name.startsWith(".")
              ? // An earlier agent was killed while it wrote.
                Effect.as(Effect.ignore(directory.remove(`${folder}/${name}`)), [])
              : readBang(directory, `${folder}/${name}`),
          ),
        ),
      ),
      Effect.map((bangs) => bangs.flat()),
      Effect.catch(({ message }) => Effect.as(Effect.logError(`bangs of an earlier agent are lost: ${message}`), [])),
    ),
  )

  /** Has a partition's file hold its bang, on the disk when this returns, or be gone when there is none. */
  keep(id: PartitionId, bang: () => Bang | undefined): Effect.Effect<void> {
    return Effect.flatMap(this.#open, (directory) => {
      const kept = bang()
      return kept === undefined
        ? directory.remove(fileOf(id))
        : directory.writeDurably(fileOf(id), JSON.stringify(kept), { mode: 0o600 })
    }).pipe(
      Effect.andThen(Effect.sync(() => void (this.#isFailing = false))),
      Effect.catch(({ message }) => this.#tellOnce(message)),
      (work) => this.#turn.withPermit(work),
    )
  }

  #tellOnce(message: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#isFailing) return Effect.void
      this.#isFailing = true
      return Effect.logError(
        `what becomes of bangs cannot be kept: one that the master has not taken is lost, or one that it has is sent again, should the agent end now: ${message}`,
      )
    })
  }
}

/** One bang, or none: what is no bang goes, and what cannot be read or removed stays. */
const readBang = (directory: OwnedDirectory, file: string): Effect.Effect<ReadonlyArray<Bang>> =>
  Effect.gen(function* () {
    const bang = decode(yield* directory.read(file, maximumFile))
    if (Result.isSuccess(bang) && fileOf(bang.success.id) === file) return [bang.success]
    yield* Effect.logWarning(`${directory.path}/${file} is no bang and was removed`)
    yield* directory.remove(file)
    return []
  }).pipe(
    Effect.catch(({ message }) => Effect.as(Effect.logWarning(`a bang of an earlier agent is lost: ${message}`), [])),
  )
