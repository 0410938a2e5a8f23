// cgroup v2 as far as supervision needs it: find where groups can be made, make them, end what is in them. A process
// cannot leave its group, whatever it forks; cgroups(7), kernel Documentation/admin-guide/cgroup-v2.rst.
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import { errnoOf } from "../../files/FileError.ts"

/** The cgroup2 mount that `mountinfo` names first: its root within the hierarchy, and where it is mounted. */
export const findMount = (mountinfo: string): { readonly root: string; readonly path: string } | undefined => {
  for (const line of mountinfo.split("\n")) {
    const [before = "", after = ""] = line.split(" - ")
    const [, , , root, path] = before.split(" ")
    if (after.startsWith("cgroup2 ") && root !== undefined && path !== undefined) return { root, path }
  }
  return undefined
}

/** This process's own group as a directory below the mount, from `/proc/self/cgroup`. */
export const ownGroup = (
  mount: { readonly root: string; readonly path: string },
  selfCgroup: string,
): string | undefined => {
  const line = selfCgroup.split("\n").find((one) => one.startsWith("0::"))
  if (line === undefined) return undefined
  const path = line.slice("0::".length)
  const below = mount.root === "/" ? path : path.startsWith(mount.root) ? path.slice(mount.root.length) : undefined
  return below === undefined ? undefined : `${mount.path}${below === "/" ? "" : below}`
}

/**
 * The group in which groups can be made: its own, or the unit's when systemd has put the agent into a group of its own
 * below that (`DelegateSubgroup=` in systemd/slapgrid.service). Then the agent is beside its services, not above them.
 */
export const delegatedGroup = (own: string): string => own.replace(/(\.service)\/agent$/, "$1")

const probe = (parent: string): boolean => {
  const path = `${parent}/slapgrid-probe-${process.pid}`
  try {
    fs.mkdirSync(path)
    const canKill = fs.existsSync(`${path}/cgroup.kill`)
    fs.rmdirSync(path)
    return canKill
  } catch {
    return false
  }
}

/** The group that this process is in, or undefined when no mount shows it. */
export const currentGroup = (): string | undefined => {
  const mount = findMount(fs.readFileSync("/proc/self/mountinfo", "utf8"))
  return mount === undefined ? undefined : ownGroup(mount, fs.readFileSync("/proc/self/cgroup", "utf8"))
}

/** Where groups can be made, or undefined when this machine or user cannot. */
export const writableBase = (): string | undefined => {
  const own = currentGroup()
  if (own === undefined) return undefined
  return [delegatedGroup(own), own].find(probe)
}

const hash = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16)

/** Directory names of one owner (a partition) and of one member (a program): plain, whatever the names hold. */
export const groupName = (instanceRoot: string, owner: string): string =>
  `slapgrid-${hash(`${instanceRoot}\0${owner}`)}`
export const memberName = (name: string): string => `p-${hash(name)}`

/** False when it was there already. */
export const makeGroup = (path: string): boolean => {
  try {
    fs.mkdirSync(path)
    return true
  } catch (cause) {
    if (errnoOf(cause) !== "EEXIST") throw cause
    return false
  }
}

/** Whether a process, zombies aside, is in the group or below it. A group that is not there is empty. */
export const isPopulated = (path: string): boolean => {
  try {
    return /^populated 1$/m.test(fs.readFileSync(`${path}/cgroup.events`, "utf8"))
  } catch {
    return false
  }
}

const write = (path: string, text: string): void => {
  try {
    fs.writeFileSync(path, text)
  } catch (cause) {
    if (errnoOf(cause) !== "ENOENT") throw cause
  }
}

export const childGroups = (path: string): ReadonlyArray<string> => {
  try {
    return fs
      .readdirSync(path, { withFileTypes: true })
      .flatMap((entry) => (entry.isDirectory() ? [`${path}/${entry.name}`] : []))
  } catch {
    return []
  }
}

/** Removes an empty group and those below it; one that is not empty stays. */
export const removeGroup = (path: string): void => {
  for (const child of childGroups(path)) removeGroup(child)
  try {
    fs.rmdirSync(path)
  } catch (cause) {
    const code = errnoOf(cause)
    if (code !== "ENOENT" && code !== "EBUSY") throw cause
  }
}

/** Kills everything in the group and below it, a frozen one too. */
export const killGroupNow = (path: string): void => write(`${path}/cgroup.kill`, "1")

/** The same, and returns when it is empty, or after 10 s: what the kernel holds longer, nobody can end. */
export const killGroup = (path: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (!isPopulated(path)) return Effect.void
    killGroupNow(path)
    return Effect.fail("alive")
  }).pipe(Effect.retry({ schedule: Schedule.spaced("5 millis"), times: 2000 }), Effect.ignore)

/** Stops everything in the group where it is; returns when it stands, or after 0.5 s: a process can hang in the kernel. */
export const freeze = (path: string): Effect.Effect<void> =>
  Effect.try({
    try: () => {
      write(`${path}/cgroup.freeze`, "1")
      return /^frozen 1$/m.test(fs.readFileSync(`${path}/cgroup.events`, "utf8"))
    },
    catch: String,
  }).pipe(
    Effect.flatMap((isFrozen) => (isFrozen ? Effect.void : Effect.fail("moving"))),
    Effect.retry({ schedule: Schedule.spaced("1 millis"), times: 500 }),
    Effect.ignore,
  )

/** Lets it go on. A group that cannot be frozen, or is gone, needs nothing. */
export const thawNow = (path: string): void => {
  try {
    write(`${path}/cgroup.freeze`, "0")
  } catch {
    // It is not frozen then.
  }
}

export const thaw = (path: string): Effect.Effect<void> => Effect.sync(() => thawNow(path))
