// What the status board shows of one partition: the actor's words, and its services as they are at that moment.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { PartitionId } from "../../domain/ids.ts"
import type { PartitionActualState, PromiseStatus, ServiceStatus } from "../../domain/NodeStatus.ts"
import type { PartitionRest } from "../../domain/Pass.ts"
import type { StatusBoard } from "../../report/StatusBoard.ts"
import type { PartitionWish } from "./decide.ts"

export class PartitionView {
  readonly #id: PartitionId
  readonly #board: StatusBoard["Service"]
  #wish: PartitionWish | undefined
  #state: PartitionActualState = "waiting"
  #since = 0
  #waitingFor: string | undefined
  #error: string | undefined
  /** The error is a promise's: all else is done. */
  #isByPromises = false
  #promises: ReadonlyArray<PromiseStatus> = []
  #services: () => ReadonlyArray<ServiceStatus> = () => []

  constructor(id: PartitionId, board: StatusBoard["Service"]) {
    this.#id = id
    this.#board = board
  }

  get state(): PartitionActualState {
    return this.#state
  }

  get error(): string | undefined {
    return this.#error
  }

  /** From where the services' part comes. */
  watch(services: () => ReadonlyArray<ServiceStatus>): void {
    this.#services = services
  }

  /** Puts the newest facts on the board. */
  readonly refresh: Effect.Effect<void> = Effect.suspend(() => {
    if (this.#wish === undefined) return Effect.void
    const { requested, software } = this.#wish.partition
    return this.#board.setPartition(this.#id, {
      id: this.#id,
      requested,
      software,
      state: this.#state,
      since: this.#since,
      waitingFor: this.#waitingFor,
      error: this.#error,
      services: this.#services(),
      promises: this.#promises,
    })
  })

  wants(wish: PartitionWish): Effect.Effect<void> {
    this.#wish = wish
    return this.refresh
  }

  /** A new state; what it waited for and its error are over. */
  show(state: PartitionActualState, error?: string, isByPromises = false): Effect.Effect<void> {
    return Effect.flatMap(Clock.currentTimeMillis, (now) => {
      if (state !== this.#state || this.#since === 0) this.#since = now
      this.#state = state
      this.#error = error
      this.#isByPromises = isByPromises
      this.#waitingFor = undefined
      return this.refresh
    })
  }

  /** How it is left when there is nothing more to do. */
  rest({ partition: { requested } }: PartitionWish): PartitionRest {
    return {
      requested,
      state: this.#state,
      error: this.#error,
      isByPromises: this.#isByPromises,
      waitingFor: this.#waitingFor,
    }
  }

  /** How the promises were at their last check. */
  showPromises(promises: ReadonlyArray<PromiseStatus>): Effect.Effect<void> {
    if (promises.length === 0 && this.#promises.length === 0) return Effect.void
    this.#promises = promises
    return this.refresh
  }

  waitsFor(reason: string | undefined): Effect.Effect<void> {
    this.#waitingFor = reason
    return this.refresh
  }
}
