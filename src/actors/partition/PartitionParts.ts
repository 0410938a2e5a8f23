// What the actor of one partition works with. Its services live in the actor's own Scope, not in the fiber that works,
// so that neither a crash of the work nor a newer wish touches them.
import type * as FiberHandle from "effect/FiberHandle"
import type { PartitionRest } from "../../domain/Pass.ts"
import type { ServiceGroup } from "../../process/service/ServiceGroup.ts"
import type { Bangs } from "../../report/Bangs.ts"
import type { Outbox } from "../../report/Outbox.ts"
import type { Outcomes } from "../Outcomes.ts"
import type { Periods } from "./decide.ts"
import type { Health } from "./Health.ts"
import type { PartitionView } from "./PartitionView.ts"
import type { PartitionWork } from "./PartitionWork.ts"
import type { Turnstile } from "./Turnstile.ts"

export interface PartitionParts {
  readonly work: PartitionWork
  readonly view: PartitionView
  readonly group: ServiceGroup
  readonly health: Health
  readonly outbox: Outbox["Service"]
  readonly bangs: Bangs["Service"]
  readonly turnstile: Turnstile
  readonly periods: Periods
  /** The fiber that waits for the master to know of a processing. */
  readonly completion: FiberHandle.FiberHandle<void>
  /** For those who gave an order. */
  readonly outcomes: Outcomes<PartitionRest>
}
