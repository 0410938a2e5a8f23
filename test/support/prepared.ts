// Partitions with programs and no buildout: laid out as an earlier processing left them, and changed by a release whose
// `bin/buildout` is a few lines of shell. What is tested is the supervision, and a processing costs next to nothing.
import { chmodSync, chownSync, mkdirSync, mkdtempSync, renameSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname } from "node:path"
import { type Identity, isRoot } from "./ScratchMachine.ts"
import type { TestNode, TestPartition } from "./TestNode.ts"

/**
 * A program's text by its place below `etc`, such as `service/web` or `promise/listens`; `before` is shell that the
 * buildout runs first.
 */
export type Programs = Readonly<Record<string, string>>

const kinds = ["run", "service", "promise"] as const

/** Puts each program in its place by a rename: a buildout can be killed at any moment. */
const buildout = (wanted: string): string => `#!/bin/sh
set -e
wanted=$(readlink "${wanted}/\${PWD##*/}")
if [ -e "$wanted/before" ]; then . "$wanted/before"; fi
for kind in ${kinds.join(" ")}; do
  mkdir -p etc/$kind
  for program in etc/$kind/*; do [ -e "$wanted/$kind/\${program##*/}" ] || rm -f "$program"; done
  for program in "$wanted/$kind"/*; do
    target=etc/$kind/\${program##*/}
    if [ -e "$program" ] && ! cmp -s "$program" "$target"; then cp "$program" .next && mv .next "$target"; fi
  done
done
`

const wantedBy = (node: TestNode): string => `${node.scratch.path}/wanted`

const give = (path: string, mode: number, { gid, uid }: Identity): void => {
  if (isRoot) chownSync(path, uid, gid)
  chmodSync(path, mode)
}

const makeDirectory = (path: string, owner: Identity): void => {
  mkdirSync(path)
  give(path, 0o755, owner)
}

const writeProgram = (path: string, text: string, owner: Identity): void => {
  writeFileSync(path, text)
  give(path, 0o755, owner)
}

/** Makes the release, already built; gives its URL, which the master needs to name for partitions only. */
export const prepareRelease = (node: TestNode): string => {
  const url = `${node.scratch.path}/prepared/software.cfg`
  const path = node.releaseDirectory(url)
  makeDirectory(path, node.software)
  makeDirectory(`${path}/bin`, node.software)
  writeProgram(`${path}/bin/buildout`, buildout(wantedBy(node)), node.software)
  writeProgram(`${path}/instance.cfg`, "[buildout]\n", node.software)
  return url
}

/** Says what the next processing of a partition installs; one under way installs the old programs or the new ones. */
export const want = (node: TestNode, partition: TestPartition, programs: Programs): void => {
  mkdirSync(wantedBy(node), { recursive: true })
  const folder = mkdtempSync(`${wantedBy(node)}/${partition.id}-`)
  give(folder, 0o755, partition)
  for (const kind of kinds) makeDirectory(`${folder}/${kind}`, partition)
  for (const [place, text] of Object.entries(programs)) writeProgram(`${folder}/${place}`, text, partition)
  symlinkSync(folder, `${folder}.link`)
  renameSync(`${folder}.link`, `${wantedBy(node)}/${partition.id}`)
}

/** Leaves a partition as an earlier processing for this timestamp did: the next agent starts its programs. */
export const layOut = (partition: TestPartition, programs: Programs, timestamp: string): void => {
  const { path } = partition
  makeDirectory(`${path}/etc`, partition)
  for (const kind of kinds) makeDirectory(`${path}/etc/${kind}`, partition)
  for (const [place, text] of Object.entries(programs)) writeProgram(`${path}/etc/${place}`, text, partition)
  writeFileSync(`${path}/.timestamp`, timestamp)
  give(`${path}/.timestamp`, 0o644, partition)
}

/** Where a program of a partition lies. */
export const placeOf = ({ path }: TestPartition, place: string): string => `${path}/etc/${place}`

/** A program's log. */
export const logOf = ({ id, path }: TestPartition, place: string): string =>
  `${path}/.${id}_${place.slice(dirname(place).length + 1)}.log`
