// The master's last word on the disk, so that a start without a network knows what should run. A file that is damaged,
// of another version, or about another computer or master is as good as none: the master is asked then.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { NodeConfig } from "../config/NodeConfig.ts"
import type { DesiredPartition, DesiredState } from "../domain/DesiredState.ts"
import { ComputerId, PartitionId, SoftwareUrl } from "../domain/ids.ts"
import { publicUrl } from "../domain/text.ts"
import { writeDurably } from "../files/durable.ts"
import { agentDirectory } from "../files/machine.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"

const Cached = Schema.Struct({
  version: Schema.Literal(1),
  master: Schema.String,
  computer: ComputerId,
  software: Schema.Array(Schema.Struct({ url: SoftwareUrl, requested: Schema.Literals(["available", "destroyed"]) })),
  partitions: Schema.Array(
    Schema.Struct({
      id: PartitionId,
      requested: Schema.Literals(["started", "stopped", "destroyed"]),
      software: Schema.NullOr(SoftwareUrl),
      timestamp: Schema.NullOr(Schema.String),
      filter: Schema.Record(Schema.String, Schema.String),
      accessStatus: Schema.NullOr(Schema.String),
    }),
  ),
})
type Cached = typeof Cached.Type

const decode = Schema.decodeUnknownResult(Schema.fromJsonString(Cached))

const fileName = "desired.json"
/** A node of ten thousand partitions needs a third of it. */
const maxSize = 16 * 1024 * 1024

const toCached = (master: string, { computer, partitions, software }: DesiredState): Cached => ({
  version: 1,
  master,
  computer,
  software: software.map(({ requested, url }) => ({ url, requested })),
  partitions: partitions.map((one) => ({
    id: one.id,
    requested: one.requested,
    software: one.software ?? null,
    timestamp: one.timestamp ?? null,
    filter: one.filter,
    accessStatus: one.accessStatus ?? null,
  })),
})

const toPartition = (cached: Cached["partitions"][number]): DesiredPartition => ({
  ...cached,
  software: cached.software ?? undefined,
  timestamp: cached.timestamp ?? undefined,
  accessStatus: cached.accessStatus ?? undefined,
})

/** The newest word about each partition: one whose record cannot be used is still wanted as it was before. */
const merge = (before: Cached | undefined, now: Cached, hasRejected: boolean): Cached => {
  if (before === undefined || !hasRejected) return now
  const named = new Set(now.partitions.map(({ id }) => id))
  return { ...now, partitions: [...now.partitions, ...before.partitions.filter(({ id }) => !named.has(id))] }
}

export class DesiredCache extends Context.Service<
  DesiredCache,
  {
    /** What the master said last, before this agent's life. */
    readonly last: DesiredState | undefined
    /** Keeps what the master says now. Fails never: what cannot be written is told once. */
    readonly keep: (state: DesiredState) => Effect.Effect<void>
  }
>()("slapgrid/desired/DesiredCache") {
  static readonly layer = Layer.effect(
    DesiredCache,
    Effect.gen(function* () {
      const config = yield* NodeConfig
      const { computerId, instanceRoot } = config
      const master = publicUrl(config.masterUrl)
      const path = `${agentDirectory(instanceRoot)}/${fileName}`
      let known = yield* read(instanceRoot)
      if (known?.computer !== computerId || known.master !== master) known = undefined
      const last = known && { ...known, partitions: known.partitions.map(toPartition), rejected: [] }
      let isWritten = true
      let kept: DesiredState | undefined

      const keep = Effect.fnUntraced(
        function* (state: DesiredState) {
          if (isWritten && state === kept) return
          kept = state
          const next = merge(known, toCached(master, state), state.rejected.length > 0)
          if (isWritten && JSON.stringify(next) === JSON.stringify(known)) return
          known = next
          yield* writeDurably(path, JSON.stringify(next))
          isWritten = true
        },
        Effect.catch(({ message }) => {
          const isNews = isWritten
          isWritten = false
          return isNews
            ? Effect.logError(`what the master wants is not kept for a start without it: ${message}`)
            : Effect.void
        }),
      )
      return DesiredCache.of({ last, keep })
    }),
  )
}

/** The file's content, when it can be used. */
const read = Effect.fnUntraced(
  function* (instanceRoot: string) {
    const directory = yield* OwnedDirectory.open(agentDirectory(instanceRoot))
    const text = yield* directory.readIfPresent(fileName, maxSize)
    if (text === undefined) return undefined
    const cached = decode(text)
    if (Result.isSuccess(cached)) return cached.success
    const [reason] = String(cached.failure).split("\n")
    yield* Effect.logWarning(`${directory.path}/${fileName} is not used, the master is asked first: ${reason}`)
    return undefined
  },
  Effect.catch(({ message }) =>
    Effect.as(Effect.logWarning(`what the master wanted last is not known: ${message}`), undefined),
  ),
)
