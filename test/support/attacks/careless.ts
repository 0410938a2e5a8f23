// The control: what an agent does that takes a partition's files for its own. Each attack is seen to succeed against it
// before slapgrid's resistance to the same attack counts for anything. Nothing here is used outside of the attack suite.
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import { dirname } from "node:path"
import type { Identity } from "../ScratchMachine.ts"

/** Writes a file and gives it to its owner. */
export const writeFile = (path: string, { gid, uid }: Identity): void => {
  fs.writeFileSync(path, "written by the agent\n")
  fs.chownSync(path, uid, gid)
}

/** Writes one where there is none yet. */
export const writeOnce = (path: string, owner: Identity): void => {
  if (!fs.existsSync(path)) writeFile(path, owner)
}

/** Makes the directories of a log, and adds a line to it. */
export const log = (path: string, { gid, uid }: Identity): void => {
  fs.mkdirSync(dirname(path), { recursive: true })
  fs.appendFileSync(path, "a line of the agent\n")
  fs.chownSync(path, uid, gid)
}

/** Reads a file, and tells somebody what is in it. */
export const read = (path: string): string => fs.readFileSync(path, "utf8")

/** Takes the files of a directory, and deletes what it has taken. */
export const collect = (path: string): string =>
  fs
    .readdirSync(path)
    .map((name) => {
      const text = fs.readFileSync(`${path}/${name}`, "utf8")
      fs.unlinkSync(`${path}/${name}`)
      return text
    })
    .join("\n")

/** Removes a tree, whatever modes are in its way. */
export const remove = (path: string): void => {
  for (const name of fs.readdirSync(path)) {
    const entry = `${path}/${name}`
    fs.chmodSync(entry, 0o777)
    if (fs.statSync(entry).isDirectory()) remove(entry)
    else fs.unlinkSync(entry)
  }
}

/** Empties the directories that the entries of a directory lead to. */
export const removeLinked = (path: string): void => {
  for (const name of fs.readdirSync(path)) remove(fs.realpathSync(`${path}/${name}`))
}

/** Waits for what another program does with a path; how long is too long for an agent with other things to do. */
const within = (seconds: number, ...argv: ReadonlyArray<string>): string | undefined =>
  spawnSync("timeout", ["--kill-after=0.5", String(seconds), ...argv], { stdio: "ignore" }).status === 0
    ? undefined
    : "blocked"

export const blocksReader = (path: string): string | undefined => within(0.5, "cat", path)
export const blocksWriter = (path: string): string | undefined => within(0.5, "sh", "-c", `echo >>"${path}"`)

/** Runs a program as itself. */
export const run = (path: string, cwd: string): void => void spawnSync(path, [], { cwd, stdio: "ignore" })

/** Reads all of a file, with 2 GB to do so: where that is not enough, the agent is gone. */
export const exhausts = (path: string): string | undefined => {
  const script = `ulimit -v 2000000; exec python3 -c 'import sys; open(sys.argv[1], "rb").read()' "$0"`
  return spawnSync("sh", ["-c", script, path], { stdio: "ignore" }).status === 0 ? undefined : "crashed"
}

/** Waits for a program to say all that it has to say. */
export const blocks = (path: string): string | undefined => within(0.5, path)

/** Does it as a partition's user, who can keep himself out, too. */
export const failsAs = ({ gid, uid }: Identity, ...argv: ReadonlyArray<string>): string | undefined => {
  const words = [`--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--", ...argv]
  return spawnSync("setpriv", words, { stdio: "ignore" }).status === 0 ? undefined : "crashed"
}
