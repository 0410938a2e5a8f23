// Puts the limits on the cgroups of partitions, and notices when the kernel kills because of one. Told what happens by
// a callback: the kernel's notice comes outside of any fiber.
import * as fs from "node:fs"
import { errnoOf } from "../../files/FileError.ts"
import type { LimitPlan, WriteFile } from "./limits.ts"

export interface Tellers {
  /** A limit could not be put on the partition's group. */
  readonly onProblem: (partition: string, message: string) => void
  /** So many processes were killed because there was no memory left. */
  readonly onOutOfMemory: (partition: string, killed: number) => void
}

interface Watched {
  readonly watcher: fs.FSWatcher
  killed: number
}

const eventsFile = "memory.events"

/** How many processes of the group and below it the kernel has killed; undefined when nobody counts. */
const killedIn = (group: string): number | undefined => {
  try {
    const count = /^oom_kill (\d+)$/m.exec(fs.readFileSync(`${group}/${eventsFile}`, "utf8"))?.[1]
    return count === undefined ? undefined : Number(count)
  } catch {
    return undefined
  }
}

export class PartitionLimiter {
  readonly #plan: LimitPlan
  readonly #tellers: Tellers
  readonly #write: WriteFile
  readonly #watched = new Map<string, Watched>()

  constructor(plan: LimitPlan, tellers: Tellers, write: WriteFile = fs.writeFileSync) {
    this.#plan = plan
    this.#tellers = tellers
    this.#write = write
  }

  /** Limits a partition's group that is there: a new one, or one that an earlier agent has limited otherwise. */
  apply(partition: string, group: string): void {
    for (const [name, text] of this.#plan.files) this.#put(partition, `${group}/${name}`, text)
    if (this.#plan.countsMemory) this.#put(partition, `${group}/cgroup.subtree_control`, "+memory")
    this.#watch(partition, group)
  }

  /** The partition's group is about to go. */
  forget(partition: string): void {
    this.#watched.get(partition)?.watcher.close()
    this.#watched.delete(partition)
  }

  close(): void {
    for (const partition of this.#watched.keys()) this.forget(partition)
  }

  #put(partition: string, path: string, text: string): void {
    try {
      // Nothing to take away, and nobody to tell, where there is no such controller.
      if (text === "max" && !fs.existsSync(path)) return
      this.#write(path, text)
    } catch (cause) {
      this.#tellers.onProblem(partition, `${path} cannot be set to ${text} (${errnoOf(cause) ?? String(cause)})`)
    }
  }

  #watch(partition: string, group: string): void {
    this.forget(partition)
    const killed = killedIn(group)
    if (killed === undefined) return
    try {
      const watcher = fs.watch(`${group}/${eventsFile}`, { persistent: false }, () => this.#look(partition, group))
      watcher.on("error", () => watcher.close())
      this.#watched.set(partition, { watcher, killed })
    } catch {
      // The kernel's limit on watches, say: the kills are in its own log, too.
    }
  }

  #look(partition: string, group: string): void {
    const watched = this.#watched.get(partition)
    const killed = killedIn(group)
    if (watched === undefined || killed === undefined || killed <= watched.killed) return
    this.#tellers.onOutOfMemory(partition, killed - watched.killed)
    watched.killed = killed
  }
}
