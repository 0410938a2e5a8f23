// Partitions as an earlier processing left them, with programs of a test's own: the agent starts what is there and
// builds nothing. Every start of a program leaves a line `<name> <pid>` in its partition.
import { chmodSync, chownSync, mkdirSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { isRoot } from "./ScratchMachine.ts"
import { makeScriptedTestMaster, type ScriptedTestMaster } from "./TestMaster.ts"
import { makeNode, type NodeOptions, type TestNode, type TestPartition } from "./TestNode.ts"
import { textOf } from "./waiting.ts"

export const laidOutTimestamp = "1700000000"
/** Named by the master for each partition; never built, because every partition is processed already. */
export const laidOutRelease = "file:///none/software.cfg"

export type LaidOutNode = TestNode<ScriptedTestMaster>

interface LayoutOptions extends NodeOptions {
  /** Mounts another file system as instance root, for the life of the Scope. */
  readonly mount?: (instanceRoot: string) => Effect.Effect<void, never, Scope.Scope>
}

export const makeLaidOutNode = (options: LayoutOptions): Effect.Effect<LaidOutNode, never, Scope.Scope> =>
  Effect.gen(function* () {
    const node = yield* makeNode((_, ids) => makeScriptedTestMaster(ids), options)
    if (options.mount !== undefined) {
      yield* options.mount(node.instanceRoot)
      for (const { gid, path, uid } of node.partitions) {
        mkdirSync(path)
        chownSync(path, uid, gid)
        chmodSync(path, 0o750)
      }
    }
    for (const partition of node.partitions) {
      for (const folder of ["etc", "etc/run", "etc/service"])
        own(partition, folder, () => mkdirSync(`${partition.path}/${folder}`))
      own(partition, ".timestamp", (path) => writeFileSync(path, laidOutTimestamp))
    }
    yield* node.master.scripted.script({
      partitions: node.partitions.map(({ id }) => ({ id, software: laidOutRelease, timestamp: laidOutTimestamp })),
    })
    return node
  })

const own = ({ gid, path, uid }: TestPartition, name: string, make: (path: string) => void): void => {
  make(`${path}/${name}`)
  if (isRoot) chownSync(`${path}/${name}`, uid, gid)
}

/** Puts a file into a partition, as its user. */
export const put = (partition: TestPartition, name: string, content: string, mode = 0o755): void =>
  own(partition, name, (path) => {
    writeFileSync(path, content)
    chmodSync(path, mode)
  })

/** A shell program that says that it was started, then does what `code` says. */
export const shell = (partition: TestPartition, name: string, code: string): string =>
  `#!/bin/sh\necho "${name} $$" >>"${partition.path}/starts"\n${code}\n`

/** The pids of a program's starts so far. */
export const startsOf = (partition: TestPartition, name: string): ReadonlyArray<number> =>
  (textOf(`${partition.path}/starts`) ?? "")
    .split("\n")
    .slice(0, -1)
    .flatMap((line) => {
      const [program, pid] = line.split(" ")
      return program === name ? [Number(pid)] : []
    })
