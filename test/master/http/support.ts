// What the tests of the HTTP client share: ids, an answer, and a client for one master.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Redacted from "effect/Redacted"
import { ComputerId, PartitionId, SoftwareUrl } from "../../../src/domain/ids.ts"
import type { Report } from "../../../src/domain/Report.ts"
import { HttpMasterClient, type HttpMasterOptions } from "../../../src/master/http/HttpMasterClient.ts"
import { MasterClient } from "../../../src/master/MasterClient.ts"
import { MasterTools } from "../../../src/master/MasterTools.ts"
import { exchanges } from "../wire/vectors.ts"

export const computerId = Schema.decodeSync(ComputerId)("COMP-1")
export const slappart0 = Schema.decodeSync(PartitionId)("slappart0")
export const release = Schema.decodeSync(SoftwareUrl)("https://x/software.cfg")

export const computerXml = exchanges.findLast(({ path }) => path === "/getFullComputerInformation")?.response ?? ""

export const started: Report = { _tag: "Partition", id: slappart0, state: "started" }
export const bang: Report = { _tag: "Bang", id: slappart0, message: "hello" }

const built = (masterUrl: string, options: Partial<HttpMasterOptions>) =>
  Layer.build(
    HttpMasterClient.layer({
      masterUrl: Redacted.make(masterUrl),
      computerId,
      certificates: undefined,
      masterCaFile: undefined,
      version: "1.2.3",
      ...options,
    }),
  )

/** A client that lives as long as the test's scope. */
export const clientOf = (masterUrl: string, options: Partial<HttpMasterOptions> = {}) =>
  Effect.map(built(masterUrl, options), Context.get(MasterClient))

/** The calls for other programs, likewise. */
export const toolsOf = (masterUrl: string) => Effect.map(built(masterUrl, {}), Context.get(MasterTools))
