// The tree release on a node: real users where there are any, a volume for the partitions' storage, and what an instance
// of it consists of.
import { chmodSync, chownSync, mkdirSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { isRoot, makeAccounts } from "./ScratchMachine.ts"
import { type EmbeddedMaster, makeEmbeddedMaster } from "./TestMaster.ts"
import { makeNode, type NodeOptions, type Running, type TestNode, type TestPartition } from "./TestNode.ts"

export const treeRelease = (node: TestNode): string => `${node.scratch.path}/release/tree.cfg`

/** The volume `fast`. */
export const volumeOf = (node: TestNode): string => `${node.scratch.path}/storage/fast`

export const storageOf = (node: TestNode, { id }: TestPartition): string => `${volumeOf(node)}/${id}`

const makeVolume = (node: TestNode): void => {
  mkdirSync(volumeOf(node), { recursive: true })
  // Scripts leave there what outlives their instance.
  chmodSync(volumeOf(node), 0o1777)
  for (const partition of node.partitions) {
    mkdirSync(storageOf(node, partition))
    if (isRoot) chownSync(storageOf(node, partition), partition.uid, partition.gid)
  }
}

/** A node whose agent runs `etc/prerm` and has built the tree release. */
export const makeTree = (
  options: Pick<NodeOptions, "partitions" | "isOrdinary">,
): Effect.Effect<Running<EmbeddedMaster>, never, Scope.Scope> =>
  Effect.gen(function* () {
    const hasUsers = isRoot && options.isOrdinary !== true
    const node = yield* makeNode((scratch, ids) => makeEmbeddedMaster(`${scratch.path}/master.db`, ids), {
      ...options,
      ...(hasUsers ? { identities: (_: unknown, count: number) => makeAccounts(`sgp${process.pid}x`, count) } : {}),
    })
    makeVolume(node)
    node.configure({ instance_storage_home: `${node.scratch.path}/storage`, manager_list: "prerm" })
    yield* node.master.supply(treeRelease(node))
    const agent = yield* node.startAgent
    yield* node.master.awaitReport(treeRelease(node), "available")
    return { node, agent }
  })
