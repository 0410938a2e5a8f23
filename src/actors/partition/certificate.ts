// A partition's own certificate and key, kept in the node's repository and given to the partition's user. Files are
// only written when the master's text differs.
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type { PartitionId } from "../../domain/ids.ts"
import type { FileError } from "../../files/FileError.ts"
import { OwnedDirectory } from "../../files/OwnedDirectory.ts"
import type { DirectoryOwner } from "../../files/writing.ts"
import type { MasterClient } from "../../master/MasterClient.ts"
import type { MasterError } from "../../master/MasterError.ts"

const mode = 0o400

export const updateCertificate = Effect.fnUntraced(function* (
  client: MasterClient["Service"],
  repository: string,
  id: PartitionId,
  owner: DirectoryOwner,
): Effect.fn.Return<void, MasterError | FileError> {
  const pair = yield* client.partitionCertificate(id)
  const directory = yield* OwnedDirectory.open(repository)
  const update = Effect.fnUntraced(function* (name: string, text: string) {
    if ((yield* directory.readIfPresent(name)) === text) return
    yield* directory.write(name, text, { mode, owner })
  })
  yield* update(`${id}.crt`, pair.certificate)
  yield* update(`${id}.key`, Redacted.value(pair.key))
})

export const removeCertificate = Effect.fnUntraced(function* (repository: string, id: PartitionId) {
  const directory = yield* OwnedDirectory.open(repository)
  yield* directory.remove(`${id}.crt`)
  yield* directory.remove(`${id}.key`)
})
