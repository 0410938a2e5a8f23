// Which names of an archive may become files below its one folder, and where its links may lead. Pure: names are read
// as they are written, and nothing is looked up on the disk.

/** The message follows the entry's name. */
export class PlaceError extends Error {}

/** The path below `folder` that an entry's name means; "" is the folder itself. */
export const placeOf = (name: string, folder: string): string => {
  if (name.includes("\0")) throw new PlaceError("has a NUL in its name")
  if (name.startsWith("/")) throw new PlaceError("has an absolute name")
  const [first, ...rest] = name.split("/").filter((part) => part !== "" && part !== ".")
  if (first === ".." || rest.includes("..")) throw new PlaceError("leads out with '..'")
  if (first !== folder) throw new PlaceError(`is not in the folder ${folder}`)
  return rest.join("/")
}

export const parentOf = (place: string): string => {
  const slash = place.lastIndexOf("/")
  return slash < 0 ? "" : place.slice(0, slash)
}

/** Of the system, and only root's to change; a release that was built on the machine can have links to them, too. */
const systemDirectories = ["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32"]

const isBelow = (path: string, directory: string): boolean => path === directory || path.startsWith(`${directory}/`)

const isOfSystem = (parts: ReadonlyArray<string>): boolean => {
  const kept: Array<string> = []
  for (const part of parts) {
    if (part === "..") kept.pop()
    else kept.push(part)
  }
  const path = `/${kept.join("/")}`
  return path === "/dev/null" || systemDirectories.some((directory) => isBelow(path, directory))
}

const partsOf = (path: string): ReadonlyArray<string> => path.split("/").filter((part) => part !== "" && part !== ".")

/**
 * Whether a symbolic link at `place` stays in the folder, or leads to what the system has. `homes` are the folder's
 * absolute paths: buildouts make links with the release's own path in them. A `..` behind a name is only known to lead
 * where it seems to when that name is a directory and no link: `isDirectory` tells.
 */
export const staysInside = (
  place: string,
  target: string,
  homes: ReadonlyArray<string>,
  isDirectory: (place: string) => boolean,
): boolean => {
  const home = homes.find((path) => isBelow(target, path))
  if (target === "" || target.includes("\0")) return false
  if (target.startsWith("/") && home === undefined) return isOfSystem(partsOf(target))
  const at = home === undefined ? [...partsOf(parentOf(place))] : []
  for (const part of partsOf(home === undefined ? target : target.slice(home.length))) {
    if (part !== "..") at.push(part)
    else if (at.length === 0 || !isDirectory(at.join("/"))) return false
    else at.pop()
  }
  return true
}

/** Whether the answer of `staysInside` depends on entries that may still come. */
export const turnsBack = (target: string): boolean => {
  const parts = partsOf(target)
  return parts.slice(parts.findIndex((part) => part !== "..")).includes("..")
}
