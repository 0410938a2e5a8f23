// One node for all attacks: partitions with traps in them, a release that runs what a partition wants it to run, and the
// record of what came of each attack, for the careless agent and for this one.
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs"
import * as Effect from "effect/Effect"
import type { Program } from "../Program.ts"
import type { Identity } from "../ScratchMachine.ts"
import type { ScriptedTestMaster } from "../TestMaster.ts"
import type { TestNode, TestPartition } from "../TestNode.ts"
import { type FileAttack, fileAttacks, type Role, type Trap } from "./files.ts"
import { makeDirectory, makeFile, type Victim } from "./victims.ts"

export type Node = TestNode<ScriptedTestMaster>

/** What came of an attack, in few words. */
export interface Outcome {
  readonly attack: string
  readonly careless: string
  readonly slapgrid: string
}

/** Each has a partition of its own. */
export const roles: ReadonlyArray<Role> = [...new Set(fileAttacks.map(({ role }) => role))]

const give = (path: string, mode: number, { gid, uid }: Identity): void => {
  chownSync(path, uid, gid)
  chmodSync(path, mode)
}

export const put = (
  { path, ...owner }: Pick<TestPartition, "path" | "uid" | "gid">,
  place: string,
  text: string,
): void => {
  const parts = place.split("/")
  for (let depth = 1; depth < parts.length; depth++) {
    const folder = `${path}/${parts.slice(0, depth).join("/")}`
    if (existsSync(folder)) continue
    mkdirSync(folder)
    give(folder, 0o755, owner)
  }
  writeFileSync(`${path}/${place}`, text)
  give(`${path}/${place}`, 0o755, owner)
}

/** A release that is built already: its buildout runs the partition's own `evil`, if there is one. */
export const makeRelease = (node: Node): string => {
  const url = `${node.scratch.path}/hostile/software.cfg`
  const path = node.releaseDirectory(url)
  mkdirSync(path)
  give(path, 0o755, node.software)
  const release = { path, ...node.software }
  put(release, "bin/buildout", "#!/bin/sh\n[ ! -e evil ] || exec ./evil\n")
  put(release, "instance.cfg", "[buildout]\n")
  writeFileSync(`${path}/.completed`, "")
  give(`${path}/.completed`, 0o644, node.software)
  return url
}

/** A program of root's that tells as whom it runs, and runs as root whoever starts it. */
export const makeSetuid = (path: string): string => {
  copyFileSync("/usr/bin/id", path)
  chmodSync(path, 0o4755)
  return path
}

export interface Planted {
  readonly attack: FileAttack
  readonly trap: Trap
  /** How the careless agent fared. */
  readonly careless: string | undefined
}

const victimOf = ({ victim }: FileAttack, path: string): Victim =>
  victim === undefined ? makeFile(path) : makeDirectory(path, victim.name, victim.content)

/** Plants every trap in the partition of its role, and has the careless agent walk into one like it first. */
export const plantAll = (node: Node, partitionOf: (role: Role) => TestPartition): ReadonlyArray<Planted> => {
  const outside = `${node.scratch.path}/outside`
  mkdirSync(outside)
  return fileAttacks.map((attack, index) => {
    const partition = partitionOf(attack.role)
    const place = attack.place.replace("%", partition.id)
    const owner = { uid: partition.uid, gid: partition.gid }
    const root = `${node.scratch.path}/control-${index}`
    mkdirSync(root)
    give(root, 0o750, owner)
    const control: Trap = {
      path: `${root}/${place}`,
      root,
      owner,
      victim: victimOf(attack, `${outside}/control-${index}`),
    }
    attack.plant(control)
    const told = attack.control(control) ?? ""
    const suffered = told === "blocked" || told === "crashed" ? told : undefined
    const careless = control.victim.harm(told) ?? suffered
    execFileSync("rm", ["-rf", root])
    const trap: Trap = {
      path: `${partition.path}/${place}`,
      root: partition.path,
      owner,
      victim: victimOf(attack, `${outside}/${index}`),
    }
    attack.plant(trap)
    return { attack, trap, careless }
  })
}

/** What is in a partition, as far as it does not lead out of it. */
const contentOf = (path: string): string =>
  readdirSync(path, { withFileTypes: true })
    .map((entry) => {
      const place = `${path}/${entry.name}`
      if (entry.isDirectory()) return place.length > 500 ? "" : contentOf(place)
      const stats = lstatSync(place, { throwIfNoEntry: false })
      // What has another name is the victim itself.
      return stats?.isFile() === true && stats.nlink === 1 && stats.size < 1024 * 1024
        ? readFileSync(place, "utf8")
        : ""
    })
    .join("\n")

/** Everything that the agent told anybody: its master, its log and these partitions. */
export const toldBy = (node: Node, agent: Program, partitions: ReadonlyArray<TestPartition>): Effect.Effect<string> =>
  Effect.map(node.master.scripted.calls, (calls) =>
    [
      JSON.stringify(calls.map(({ form, query }) => ({ form, query }))),
      agent.log,
      ...partitions.map(({ path }) => contentOf(path)),
    ].join("\n"),
  )

/** What became of a trap that did no harm. */
export const fateOf = ({ path }: Trap, log: string): string => {
  const line = log
    .split("\n")
    .find((one) => /(?:refused to|cannot) (?:read|open|look|list|make)/.test(one) && one.includes(path))
  if (line !== undefined) return `refused: ${line.slice(line.lastIndexOf(": ") + 2)}`
  const stats = lstatSync(path, { throwIfNoEntry: false })
  return stats === undefined ? "replaced or left alone; gone with its partition" : "left alone"
}

export const table = (rows: ReadonlyArray<Outcome>): string => {
  const all = [{ attack: "ATTACK", careless: "CARELESS AGENT", slapgrid: "SLAPGRID" }, ...rows]
  const width = (of: (row: Outcome) => string) => Math.max(...all.map((row) => of(row).length))
  const widths = [width((row) => row.attack), width((row) => row.careless)] as const
  return all
    .map((row) => `${row.attack.padEnd(widths[0])}  ${row.careless.padEnd(widths[1])}  ${row.slapgrid}`)
    .join("\n")
}
