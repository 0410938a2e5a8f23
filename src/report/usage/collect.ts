// Finds reports of usage where partitions and the node's own tools leave them (node-behaviour.md, Usage), and deletes
// them once the master has them. What lies in a partition is a stranger's: bounded in number and size, and whatever is no
// report stays where it is and is named.
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type { ComputerId, PartitionId } from "../../domain/ids.ts"
import type { InvalidReport } from "../../domain/NodeStatus.ts"
import type { FileError } from "../../files/FileError.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import type { Snapshot } from "../../files/reading.ts"
import { type Movement, parseConsumption, parseJournal } from "./documents.ts"
import { groupReports, isSameReport, type Source } from "./ledger.ts"

/** Bytes of one report. */
export const maximumReport = 1024 * 1024
/** Files of one folder that are looked at each time. */
export const maximumFiles = 1000
/** Bytes of the reports of one partition that are taken each time; the rest waits for the next time. */
export const maximumBytes = 4 * maximumReport

/** One report, and every file that is it. */
export interface Report {
  readonly sources: ReadonlyArray<Source>
  readonly text: string
  readonly movements: ReadonlyArray<Movement>
}

export interface Unusable extends InvalidReport {
  /** Why is the machine's doing: it can be usable later. */
  readonly canPass: boolean
}

export interface Collected {
  readonly reports: ReadonlyArray<Report>
  readonly unusable: ReadonlyArray<Unusable>
}

/** Where somebody's reports lie. */
interface Place {
  readonly owner: PartitionId | ComputerId
  /** Null: the computer's own journals. */
  readonly partition: PartitionId | null
  readonly folder: Source["folder"]
  /** The directory that is opened, and the folder below it. */
  readonly root: string
  readonly path: string
}

const nodePlace = (instanceRoot: string, owner: Place["owner"], partition: PartitionId | null): Place => ({
  owner,
  partition,
  folder: "node",
  root: `${instanceRoot}/var`,
  path: `xml_report/${owner}`,
})

/** Both folders of a partition. */
export const placesOf = (instanceRoot: string, partition: PartitionId): ReadonlyArray<Place> => [
  { owner: partition, partition, folder: "partition", root: `${instanceRoot}/${partition}`, path: "var/xml_report" },
  nodePlace(instanceRoot, partition, partition),
]

/** The folder of the computer's own journals. */
export const placesOfComputer = (instanceRoot: string, computer: ComputerId): ReadonlyArray<Place> => [
  nodePlace(instanceRoot, computer, null),
]

/** Reports of these places that are in no journal yet. `isKnown` tells of a file whether it is in one. */
export const collect = (places: ReadonlyArray<Place>, isKnown: (source: Source) => boolean): Effect.Effect<Collected> =>
  Effect.gen(function* () {
    const unusable: Array<Unusable> = []
    const found: Array<Report & { readonly source: Source }> = []
    let bytes = 0
    for (const place of places) {
      const { files, problem } = yield* filesOf(place)
      if (problem !== undefined) unusable.push(problem)
      for (const file of files) {
        if (bytes > maximumBytes) break
        // Between two reports the agent may have something to do.
        yield* Effect.yieldNow
        const read = yield* Effect.result(readFile(place, file))
        if (Result.isFailure(read)) {
          if (read.failure.reason !== "NotFound") unusable.push(unusableOf(read.failure))
          continue
        }
        const { snapshot, source } = read.success
        if (isKnown(source)) continue
        const report = parse(place, snapshot)
        if (Result.isFailure(report)) {
          unusable.push({ path: shown(place, file), reason: report.failure, canPass: false })
          continue
        }
        bytes += snapshot.content.length
        found.push({ ...report.success, sources: [source], source })
      }
    }
    const reports = groupReports(found).map((group) => ({ ...group[0], sources: group.map(({ source }) => source) }))
    return { reports, unusable }
  })

/** Deletes every file that is one of these reports, and returns when they are gone for good. */
export const deleteSources = (
  places: ReadonlyArray<Place>,
  sources: ReadonlyArray<Source>,
): Effect.Effect<void, FileError> =>
  Effect.forEach(
    places,
    (place) =>
      Effect.gen(function* () {
        // A report can have been renamed since, or copied into the other folder.
        const { files } = yield* filesOf(place)
        const named = sources.filter(({ folder }) => folder === place.folder).map(({ name }) => name)
        const directory = yield* OwnedDirectory.open(place.root)
        let isChanged = false
        for (const file of new Set([...named, ...files])) {
          const read = yield* Effect.result(readFile(place, file))
          if (Result.isFailure(read)) {
            if (unusableOf(read.failure).canPass) return yield* read.failure
            continue
          }
          const { source } = read.success
          if (!sources.some((one) => isSameReport(one, source))) continue
          yield* directory.remove(`${place.path}/${file}`)
          isChanged = true
        }
        if (isChanged) yield* directory.syncNames(place.path)
      }).pipe(
        // Nothing that was sealed is there any more.
        Effect.catchIf(
          (error) => !unusableOf(error).canPass,
          () => Effect.void,
        ),
      ),
    { discard: true },
  )

const shown = ({ path, root }: Place, file?: string): string =>
  file === undefined ? `${root}/${path}` : `${root}/${path}/${file}`

const unusableOf = ({ message, path, reason }: FileError): Unusable => ({
  path,
  reason: message,
  canPass: reason === "Failed" || reason === "NoSpace",
})

/** Names of a folder's files; a name that begins with a dot is being written. */
const filesOf = (place: Place) =>
  OwnedDirectory.open(place.root).pipe(
    Effect.flatMap((directory) => directory.someNames(place.path, maximumFiles)),
    Effect.map((names) => ({ files: names.filter((name) => !name.startsWith(".")).sort(), problem: undefined })),
    Effect.catch((error) =>
      Effect.succeed({ files: [], problem: error.reason === "NotFound" ? undefined : unusableOf(error) }),
    ),
  )

interface Found {
  readonly snapshot: Snapshot
  readonly source: Source
}

const readFile = (place: Place, name: string): Effect.Effect<Found, FileError> =>
  Effect.gen(function* () {
    const directory = yield* OwnedDirectory.open(place.root)
    const owner = place.folder === "partition" ? directory.owner.uid : undefined
    const snapshot = yield* directory.snapshot(`${place.path}/${name}`, maximumReport, owner)
    const { hash, inode, modified } = snapshot
    return { snapshot, source: { partition: place.partition, folder: place.folder, name, hash, modified, inode } }
  })

const parse = ({ partition }: Place, { content }: Snapshot): Result.Result<Omit<Report, "sources">, string> => {
  const decoded = Result.try({
    try: () => new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(content),
    catch: () => "it is not UTF-8",
  })
  return Result.flatMap(decoded, (text) =>
    Result.mapBoth(partition === null ? parseJournal(text) : parseConsumption(text), {
      onSuccess: (movements) => ({ text, movements }),
      onFailure: ({ message }) => message,
    }),
  )
}
