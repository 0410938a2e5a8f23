// The two masters of the end-to-end tests behind one face: `slapgrid master` as a process of its own, and the scripted
// master within the test. What a node reported is read from what the master keeps or recorded.
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { attributesOf, formatXml, requestForm } from "../master/local/master.ts"
import { type Program, start } from "./Program.ts"
import { makeScriptedMaster, type ScriptedMasterShape, type ScriptedPartition } from "./ScriptedMaster.ts"
import { slapgrid } from "./slapgrid.ts"
import { eventually } from "./waiting.ts"

export interface Wanted {
  readonly software: string
  /** `started` when missing. */
  readonly state?: "started" | "stopped" | "destroyed"
  readonly parameters?: Readonly<Record<string, string>>
}

/** A report of the node's, numbered in the order in which the master got them. */
export interface Reported {
  readonly seq: number
  /** A partition's id or a release's URL. */
  readonly name: string
  readonly state: string
  readonly message: string
}

export interface TestMaster {
  readonly url: string
  readonly supply: (url: string, state?: "available" | "destroyed") => Effect.Effect<void>
  /** Wants an instance; gives the id of its partition. */
  readonly request: (title: string, wanted: Wanted) => Effect.Effect<string>
  readonly reports: Effect.Effect<ReadonlyArray<Reported>>
  /** The first such report, past or future; with `after`, the first beyond that number. */
  readonly awaitReport: (name: string, state: string, options?: { readonly after?: number }) => Effect.Effect<Reported>
  /** The number of the newest report. */
  readonly lastReport: Effect.Effect<number>
}

export const computer = "COMP-1"

const withWaiting = (master: Pick<TestMaster, "url" | "supply" | "request" | "reports">): TestMaster => ({
  ...master,
  // The embedded master sends no event when it is told something.
  awaitReport: (name, state, { after = -1 } = {}) =>
    eventually(
      `report '${state}' of ${name}`,
      Effect.map(master.reports, (reports) =>
        reports.find((report) => report.seq > after && report.name === name && report.state === state),
      ),
    ),
  lastReport: Effect.map(master.reports, (reports) => reports.at(-1)?.seq ?? -1),
})

/** What the tests read of `status.json`. */
interface Status {
  readonly reports: ReadonlyArray<Reported>
  readonly computers: ReadonlyArray<{ readonly partitions: ReadonlyArray<Readonly<Record<string, unknown>>> }>
}

export interface EmbeddedMaster extends TestMaster {
  readonly program: Program
  /** What `status.json` shows of a partition. */
  readonly partition: (id: string) => Effect.Effect<Readonly<Record<string, unknown>>>
}

/** `slapgrid master` with a computer of these partitions. */
export const makeEmbeddedMaster = (
  database: string,
  partitions: ReadonlyArray<string>,
): Effect.Effect<EmbeddedMaster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const program = yield* start([...slapgrid, "master", "--database", database, "--port", "0", "--log-format", "json"])
    const { message } = yield* program.awaitLine("the master listens on")
    const url = /http:\S+\//.exec(message)?.[0] ?? ""

    const post = (call: string, fields: Readonly<Record<string, string>>) =>
      Effect.promise(async () => {
        const response = await fetch(url + call, { method: "POST", body: new URLSearchParams(fields) })
        const body = await response.text()
        if (response.status !== 200) throw new Error(`${call}: ${response.status} ${body}`)
        return body
      })
    const status = Effect.promise(async () => (await (await fetch(`${url}status.json`)).json()) as Status)

    yield* post("loadComputerConfigurationFromXML", { xml: formatXml(partitions, { computer }) })
    const master = withWaiting({
      url,
      supply: (release, state = "available") =>
        Effect.asVoid(post("supplySupply", { url: release, computer_id: computer, state })),
      request: (title, wanted) =>
        Effect.map(post("requestComputerPartition", requestForm(title, wanted)), (body) => {
          const id = attributesOf({ status: 200, contentType: "", body }).get("slap_computer_partition_id")
          return typeof id === "string" ? id : ""
        }),
      reports: Effect.map(status, ({ reports }) => reports),
    })
    const partition = (id: string) =>
      Effect.map(
        status,
        ({ computers }) => computers.flatMap(({ partitions }) => partitions).find((one) => one["id"] === id) ?? {},
      )
    return { ...master, program, partition }
  })

const stateOf = new Map([
  ["buildingSoftwareRelease", "building"],
  ["availableSoftwareRelease", "available"],
  ["destroyedSoftwareRelease", "destroyed"],
  ["softwareReleaseError", "error"],
  ["startedComputerPartition", "started"],
  ["stoppedComputerPartition", "stopped"],
  ["destroyedComputerPartition", "destroyed"],
  ["softwareInstanceError", "error"],
  ["softwareInstanceBang", "bang"],
])

export interface ScriptedTestMaster extends TestMaster {
  readonly scripted: ScriptedMasterShape
  /** Replaces what is said about one partition. */
  readonly change: (id: string, change: Partial<ScriptedPartition>) => Effect.Effect<void>
}

/** The scripted master, which gives partitions away in order and frees none. */
export const makeScriptedTestMaster = (
  partitions: ReadonlyArray<string>,
): Effect.Effect<ScriptedTestMaster, never, Scope.Scope> =>
  Effect.gen(function* () {
    const scripted = yield* makeScriptedMaster({ computer })
    const records = new Map<string, ScriptedPartition>(partitions.map((id) => [id, { id }]))
    const software = new Map<string, "available" | "destroyed">()
    let timestamp = 1000
    const publish = Effect.suspend(() =>
      scripted.script({
        software: [...software].map(([url, requested]) => ({ url, requested })),
        partitions: [...records.values()],
      }),
    )
    yield* publish
    const change = (id: string, changed: Partial<ScriptedPartition>) =>
      Effect.suspend(() => {
        records.set(id, { ...records.get(id), id, ...changed })
        return publish
      })
    const placeOf = (title: string): string => {
      const all = [...records.values()]
      const place = all.find((one) => one.title === title) ?? all.find((one) => one.software === undefined)
      if (place === undefined) throw new Error(`no free partition for ${title}`)
      return place.id
    }
    const master = withWaiting({
      url: scripted.url,
      supply: (url, state = "available") =>
        Effect.andThen(
          Effect.sync(() => software.set(url, state)),
          publish,
        ),
      request: (title, { parameters = {}, software, state = "started" }) =>
        Effect.suspend(() => {
          const id = placeOf(title)
          const wanted = { title, software, requested: state, parameters, timestamp: String(++timestamp) }
          return Effect.as(change(id, wanted), id)
        }),
      reports: Effect.map(scripted.calls, (calls) =>
        calls.flatMap(({ fault, form, index, name }) => {
          const state = stateOf.get(name)
          if (state === undefined || fault !== undefined) return []
          const message = form["error_log"] ?? form["message"] ?? ""
          return [{ seq: index, name: form["computer_partition_id"] ?? form["url"] ?? "", state, message }]
        }),
      ),
    })
    return { ...master, scripted, change }
  })
