// What attacks are after: a file of root's that nobody else may read, one for each attack, so that what happened to it
// tells who did it. A victim is unharmed when its bytes, owner and mode are the same and nobody was told its secret.
import { createHash } from "node:crypto"
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import type { Identity } from "../ScratchMachine.ts"

interface Facts {
  readonly hash: string
  readonly uid: number
  readonly gid: number
  readonly mode: number
}

/** A directory's content is its names: nothing may come or go in it. */
const contentOf = (path: string): string | Buffer =>
  lstatSync(path).isDirectory() ? readdirSync(path).sort().join("\0") : readFileSync(path)

const factsOf = (path: string): Facts => {
  const { gid, mode, uid } = lstatSync(path)
  return { hash: createHash("sha256").update(contentOf(path)).digest("hex"), uid, gid, mode }
}

export class Victim {
  readonly path: string
  readonly secret: string
  readonly #paths: ReadonlyArray<string>
  readonly #before: ReadonlyArray<Facts>

  constructor(path: string, secret: string, paths: ReadonlyArray<string>) {
    this.path = path
    this.secret = secret
    this.#paths = paths
    this.#before = paths.map(factsOf)
  }

  /** What was done to it; undefined: nothing. `told` is everything that others were told. */
  harm(told = ""): string | undefined {
    for (const [index, path] of this.#paths.entries()) {
      const before = this.#before[index]
      let after: Facts
      try {
        after = factsOf(path)
      } catch {
        return "removed"
      }
      if (after.hash !== before?.hash) return "overwritten"
      if (after.uid !== before.uid || after.gid !== before.gid) return "given away"
      if (after.mode !== before.mode) return "opened to others"
    }
    return told.includes(this.secret) ? "told" : undefined
  }
}

const secretOf = (path: string): string => `secret-${createHash("sha256").update(path).digest("hex").slice(0, 24)}`

/** A file that only its owner, root when missing, may read. */
export const makeFile = (path: string, owner: Identity = { uid: 0, gid: 0 }): Victim => {
  const secret = secretOf(path)
  writeFileSync(path, `${secret}\n`, { flag: "wx" })
  chownSync(path, owner.uid, owner.gid)
  chmodSync(path, 0o600)
  return new Victim(path, secret, [path])
}

/** A directory of root's with such a file in it. */
export const makeDirectory = (path: string, name: string, content?: (secret: string) => string): Victim => {
  const secret = secretOf(path)
  mkdirSync(path, { mode: 0o755 })
  writeFileSync(`${path}/${name}`, content?.(secret) ?? `${secret}\n`, { mode: 0o600 })
  return new Victim(path, secret, [path, `${path}/${name}`])
}
