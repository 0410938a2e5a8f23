// Tells what the connection to the master rests on: a master that nobody verifies, and certificates that have expired or
// will soon (the computer's, the partitions', the master's CA), before the master refuses them. It only looks: the
// client reads the files anew by itself.
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { NodeConfig, type NodeConfigShape } from "../config/NodeConfig.ts"
import type { CertificateWarning } from "../domain/NodeStatus.ts"
import { publicUrl } from "../domain/text.ts"
import { readPem, validitiesIn } from "../files/certificates.ts"
import { OwnedDirectory } from "../files/OwnedDirectory.ts"
import { StatusBoard } from "../report/StatusBoard.ts"
import { describeCertificates, warningOf } from "./certificates.ts"

/** How soon a renewed file is noticed. */
const interval = "1 minute"

/** Of a partition's chain; its user could have thousands looked at every minute. */
const maximumChain = 64 * 1024

const lookAt = Effect.fnUntraced(function* (path: string, use: "shown" | "trusted") {
  const now = yield* Clock.currentTimeMillis
  return yield* Effect.match(
    Effect.tryPromise(() => readPem(path)),
    {
      onSuccess: (pem) => warningOf(path, use, validitiesIn(pem), now),
      onFailure: (): CertificateWarning => ({ path, expires: undefined, problem: "cannot be read" }),
    },
  )
})

/** The files belong to the partitions, whatever is in them; a master without certificates leaves them empty. */
const lookAtPartitions = Effect.fnUntraced(function* (repository: string) {
  const directory = yield* OwnedDirectory.open(repository)
  const names = (yield* directory.names()).filter((name) => name.endsWith(".crt"))
  const now = yield* Clock.currentTimeMillis
  return yield* Effect.forEach(names, (name) =>
    Effect.match(directory.read(name, maximumChain), {
      onSuccess: (pem) =>
        pem === "" ? undefined : warningOf(`${repository}/${name}`, "shown", validitiesIn(pem), now),
      onFailure: () => undefined,
    }),
  )
})

const lookAtAll = Effect.fnUntraced(function* ({ certificates, masterCaFile, masterVerify }: NodeConfigShape) {
  const found = [
    certificates && (yield* lookAt(certificates.certFile, "shown")),
    masterCaFile !== undefined && masterVerify ? yield* lookAt(masterCaFile, "trusted") : undefined,
    // Its absence is told by whoever wants to write into it.
    ...(certificates === undefined
      ? []
      : yield* Effect.orElseSucceed(lookAtPartitions(certificates.repositoryPath), () => [])),
  ]
  return found.filter((warning) => warning !== undefined)
})

/** Without https there is nothing to watch. */
const layer = Layer.effectDiscard(
  Effect.gen(function* () {
    const config = yield* NodeConfig
    const board = yield* StatusBoard
    if (!/^https:/i.test(publicUrl(config.masterUrl))) return
    const isMasterUnverified = !config.masterVerify
    if (isMasterUnverified) {
      yield* Effect.logWarning(
        "master_verify is off: whoever is between this computer and its master can give it orders; name the master's CA in master_ca_file instead",
      )
    }
    let told: ReadonlyArray<string> = []
    // What expires in so many days is another line, and told again, each day.
    const look = Effect.gen(function* () {
      const certificates = yield* lookAtAll(config)
      yield* board.setTrust({ isMasterUnverified, certificates })
      const lines = describeCertificates(certificates)
      for (const line of lines.filter((one) => !told.includes(one))) yield* Effect.logWarning(line)
      told = lines
    })
    yield* look
    yield* Effect.forkScoped(Effect.forever(Effect.delay(look, interval)))
  }).pipe(Effect.annotateLogs({ actor: "master" })),
)

export const CertificateWatch = { layer }
