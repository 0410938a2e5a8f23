// The instances as their user sees them: asked of the master until they have published an address, then called there for
// as long as the demo lasts, so that what is shown is what answers.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Schema from "effect/Schema"
import { PartitionId } from "../domain/ids.ts"
import type { InstanceStatus } from "./DemoStatus.ts"
import { requestForm, type WantedInstance, wantedInstances } from "./plan.ts"
import { grantedOf, type Web } from "./Web.ts"

/** The instances as the demo knows them so far, and a bell that rings when anything has changed. */
export class Progress {
  readonly bell: Queue.Queue<void>
  readonly #instances = new Map<string, InstanceStatus>()

  constructor(bell: Queue.Queue<void>) {
    this.bell = bell
    for (const { title } of wantedInstances) {
      this.#instances.set(title, {
        title,
        partition: undefined,
        url: undefined,
        answer: undefined,
        problem: undefined,
        answeredAt: undefined,
      })
    }
  }

  get instances(): ReadonlyArray<InstanceStatus> {
    return [...this.#instances.values()]
  }

  readonly update = (title: string, change: Partial<InstanceStatus>): Effect.Effect<void> =>
    Effect.suspend(() => {
      const known = this.#instances.get(title)
      if (known !== undefined) this.#instances.set(title, { ...known, ...change })
      return Queue.offer(this.bell, undefined)
    })
}

const isPartitionId = Schema.is(PartitionId)

/** Asks the master for the instance, as its user would, until it has published its address. */
const awaitUrl = Effect.fnUntraced(function* (web: Web, progress: Progress, software: string, wanted: WantedInstance) {
  while (true) {
    const granted = grantedOf(yield* web.post("requestComputerPartition", requestForm(software, wanted)))
    const partition = isPartitionId(granted.partition) ? granted.partition : undefined
    yield* progress.update(wanted.title, { partition, url: granted.url })
    if (granted.url !== undefined) return granted.url
    yield* Effect.sleep("100 millis")
  }
})

/** Calls an instance for as long as the demo lasts: often until it answers, then now and then. */
const followInstance = Effect.fnUntraced(function* (
  web: Web,
  progress: Progress,
  software: string,
  wanted: WantedInstance,
) {
  const url = yield* awaitUrl(web, progress, software, wanted)
  let answeredAt: number | undefined
  while (true) {
    const result = yield* Effect.result(web.firstLine(url))
    if (result._tag === "Success") {
      answeredAt ??= yield* Clock.currentTimeMillis
      yield* progress.update(wanted.title, { answer: result.success, problem: undefined, answeredAt })
    } else if (answeredAt !== undefined) {
      yield* progress.update(wanted.title, { problem: result.failure.message })
    }
    yield* Effect.sleep(answeredAt === undefined ? "50 millis" : "1 second")
  }
})

/** Follows them all; ends only when the master refuses an answer. */
export const followInstances = (web: Web, progress: Progress, software: string) =>
  Effect.forEach(wantedInstances, (wanted) => followInstance(web, progress, software, wanted), {
    concurrency: "unbounded",
    discard: true,
  })
