// softwareInstanceRename: an instance, or a shared instance that the partition hosts, gets another title. The title is
// how a requester finds its instance again, and a root's title is how its whole tree is found: all move together.
import * as Result from "effect/Result"
import type { Call, Outcome } from "./call.ts"
import { done, field, instanceField, optionalField, refuse } from "./call.ts"
import type { Allocated } from "./rows.ts"

const renameTree = (call: Call, from: string, to: string): void => {
  for (const child of call.tables.descendants(from)) {
    call.tables.saveInstance(child.computer, child.id, { ...child, root: to })
  }
  for (const shared of call.tables.sharedOfTree(from)) call.tables.saveShared({ ...shared, root: to })
}

const renameShared = (call: Call, host: Allocated, reference: string, title: string): Outcome => {
  const shared = call.tables.sharedByReference(host.computer, reference)
  if (shared === undefined || shared.partition !== host.id) {
    return refuse(404, `partition ${host.id} of ${host.computer} hosts no shared instance ${reference}`)
  }
  const namesake = call.tables.sharedByTitle(shared.computer, shared.root, title)
  if (namesake !== undefined && namesake.reference !== reference) {
    return refuse(409, `another shared instance is called ${title} already`)
  }
  call.tables.saveShared({ ...shared, title })
  return done("done")
}

export const softwareInstanceRename = (call: Call): Outcome =>
  Result.gen(function* () {
    const instance = yield* instanceField(call)
    const title = yield* field(call, "new_name")
    const reference = optionalField(call, "slave_reference")
    if (reference !== undefined) return yield* renameShared(call, instance, reference, title)
    if (title === instance.title) return yield* done("done")
    if (call.tables.instanceByTitle(instance.root, title) !== undefined) {
      return yield* refuse(409, `another instance is called ${title} already`)
    }
    call.tables.saveInstance(instance.computer, instance.id, { ...instance, title })
    if (instance.root === "") renameTree(call, instance.title, title)
    return yield* done("done")
  })
