// The demo's directory: everything it writes lies here and goes with it, at an orderly end and at a forced one. As root
// its parts belong to users of the demo's own, none of which is root.
import * as fs from "node:fs"
import * as os from "node:os"
import { dirname } from "node:path"
import * as Effect from "effect/Effect"
import { execa } from "execa"
import type { FileError } from "../files/FileError.ts"
import { fromErrno } from "../files/FileError.ts"
import { removeTree } from "../files/removeTree.ts"
import { instanceTemplate, softwareProfile } from "./assets/profile.ts"
import { recipeModule, recipeSetup } from "./assets/recipe.ts"
import { serverProgram } from "./assets/server.ts"
import { DemoError } from "./DemoError.ts"
import { freeIds, idRange } from "./freeIds.ts"

export interface Scratch {
  readonly directory: string
  readonly isRoot: boolean
  readonly instanceRoot: string
  readonly softwareRoot: string
  /** The demo's software release: what the master is told to supply. */
  readonly profile: string
  readonly database: string
  readonly configurationFile: string
  readonly logFile: string
}

export interface ScratchOptions {
  readonly keep: boolean
  readonly partitions: ReadonlyArray<string>
  /** Tells what became of the directory in the end. */
  readonly say: (line: string) => void
}

const layoutOf = (directory: string): Scratch => ({
  directory,
  isRoot: process.geteuid?.() === 0,
  instanceRoot: `${directory}/instance`,
  softwareRoot: `${directory}/software`,
  profile: `${directory}/release/software.cfg`,
  database: `${directory}/master.sqlite`,
  configurationFile: `${directory}/slapos.cfg`,
  logFile: `${directory}/slapgrid.log`,
})

/** Runs steps of node:fs on something in or about the directory. */
const filesOf = <A>(operation: string, path: string, run: () => A): Effect.Effect<A, FileError> =>
  Effect.try({ try: run, catch: (cause) => fromErrno(operation, path, cause) })

const createDirectory = filesOf("make a directory in", os.tmpdir(), () => {
  const directory = fs.mkdtempSync(`${fs.realpathSync(os.tmpdir())}/slapgrid-demo-`)
  // Partition users have to pass.
  fs.chmodSync(directory, 0o755)
  const removeAtOnce = (): void => Effect.runSync(Effect.ignore(removeTree(directory)))
  return { directory, removeAtOnce }
})

const removeOrKeep = ({ keep, say }: ScratchOptions, directory: string) =>
  keep
    ? Effect.sync(() => say(`kept: ${directory}`))
    : removeTree(directory).pipe(
        Effect.match({
          onFailure: ({ message }) => say(`${message}; remove ${directory} yourself`),
          onSuccess: () => say(`removed ${directory}; nothing is left`),
        }),
      )

const directoryOf = (options: ScratchOptions) =>
  Effect.acquireRelease(
    Effect.tap(createDirectory, ({ removeAtOnce }) =>
      Effect.sync(() => {
        // A second signal leaves without finalizers.
        if (!options.keep) process.once("exit", removeAtOnce)
      }),
    ),
    ({ directory, removeAtOnce }) =>
      Effect.andThen(
        removeOrKeep(options, directory),
        Effect.sync(() => process.off("exit", removeAtOnce)),
      ),
  )

const elsewhere = "set TMPDIR to another directory, such as /tmp"

const checkName = (directory: string) =>
  /\s/.test(directory)
    ? new DemoError({ message: `the demo's directory ${directory} has a space in its name: ${elsewhere}` })
    : Effect.void

const ancestors = (path: string): ReadonlyArray<string> =>
  path === "/" ? ["/"] : [...ancestors(dirname(path)), dirname(path)]

/** Users of the demo's own have to reach their directories from the root. */
const checkPassable = Effect.fnUntraced(function* (directory: string) {
  for (const path of ancestors(directory)) {
    const stats = yield* filesOf("look at", path, () => fs.statSync(path))
    if ((stats.mode & 0o001) === 0) {
      const message = `users without rights cannot pass ${path} to the demo's directory ${directory}: ${elsewhere}`
      return yield* new DemoError({ message })
    }
  }
})

const checkExecutable = Effect.fnUntraced(function* (directory: string) {
  const probe = `${directory}/probe`
  yield* filesOf("write", probe, () => {
    fs.writeFileSync(probe, "#!/bin/sh\n")
    settle(probe, 0o755, undefined)
  })
  const result = yield* Effect.promise(() => execa(probe, { reject: false, stdin: "ignore" }))
  yield* filesOf("remove", probe, () => fs.rmSync(probe))
  if (!result.failed) return
  const message = `nothing can be executed in ${directory} (${result.code ?? result.shortMessage}), perhaps it is mounted noexec: ${elsewhere}`
  return yield* new DemoError({ message })
})

/** `owner` is user and group id; undefined: the demo's own. Modes hold whatever the umask is. */
const settle = (path: string, mode: number, owner: number | undefined): void => {
  fs.chmodSync(path, mode)
  if (owner !== undefined) fs.chownSync(path, owner, owner)
}

const makeDirectory = (path: string, mode: number, owner: number | undefined): void => {
  fs.mkdirSync(path)
  settle(path, mode, owner)
}

const writeRelease = (directory: string, owner: number | undefined): void => {
  const release = `${directory}/release`
  const recipe = `${release}/recipe`
  makeDirectory(release, 0o755, undefined)
  // Building a develop egg writes beside its sources.
  makeDirectory(recipe, 0o755, owner)
  for (const [path, text] of [
    [`${release}/software.cfg`, softwareProfile(release)],
    [`${release}/instance.cfg.in`, instanceTemplate],
    [`${release}/http-server.py`, serverProgram],
    [`${recipe}/setup.py`, recipeSetup],
    [`${recipe}/slapgrid_demo.py`, recipeModule],
  ] as const) {
    fs.writeFileSync(path, text)
    settle(path, 0o644, undefined)
  }
}

const populate = Effect.fnUntraced(function* (scratch: Scratch, partitions: ReadonlyArray<string>) {
  const { directory, instanceRoot, isRoot, softwareRoot } = scratch
  // Demos that start together look in different places.
  const start = idRange.first + ((process.pid * 64) % 32_768)
  const [softwareOwner, ...partitionOwners] = isRoot ? yield* freeIds(partitions.length + 1, start) : []
  yield* filesOf("set up", directory, () => {
    writeRelease(directory, softwareOwner)
    makeDirectory(softwareRoot, 0o755, softwareOwner)
    makeDirectory(instanceRoot, 0o755, undefined)
    for (const [index, name] of partitions.entries()) {
      makeDirectory(`${instanceRoot}/${name}`, 0o750, partitionOwners[index])
    }
  })
})

/** Makes the directory and all that the demo needs in it. The end of the Scope removes it. */
export const makeScratch = Effect.fnUntraced(function* (options: ScratchOptions) {
  const { directory } = yield* directoryOf(options)
  const scratch = layoutOf(directory)
  yield* checkName(directory)
  if (scratch.isRoot) yield* checkPassable(directory)
  yield* checkExecutable(directory)
  yield* populate(scratch, options.partitions)
  return scratch
})
