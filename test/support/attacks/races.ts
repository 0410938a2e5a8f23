// Races: a partition's user exchanges what the agent is about to use for something that leads elsewhere, as often as the
// machine can, while the agent's own hands (src/files/) try as often as they can.
import { spawn } from "node:child_process"
import { chownSync, existsSync, lchownSync, mkdirSync, symlinkSync, writeFileSync, writeSync } from "node:fs"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { slappart0 } from "../facts.ts"
import type { FileError } from "../../../src/files/FileError.ts"
import { OwnedDirectory } from "../../../src/files/OwnedDirectory.ts"
import { removeTree } from "../../../src/files/removeTree.ts"
import { collect, deleteSources, placesOf } from "../../../src/report/usage/collect.ts"
import type { Identity } from "../ScratchMachine.ts"
import * as careless from "./careless.ts"
import type { Victim } from "./victims.ts"

export interface Arena {
  /** A directory of the user's, where `good` and `evil` are exchanged all the time. */
  readonly root: string
  readonly owner: Identity
  /** A directory of root's with the file `file`. */
  readonly victim: Victim
}

export interface Race {
  readonly name: string
  /** What the agent uses, and what leads to the victim; relative to the root. */
  readonly swaps: readonly [good: string, evil: string]
  readonly plant: (arena: Arena) => void
  /** One try of the careless agent's; gives what it tells others. */
  readonly control: (arena: Arena) => string | void
  /** One try of ours. */
  readonly attempt: (arena: Arena) => Effect.Effect<string | void, FileError>
}

const own = (path: string, { gid, uid }: Identity): void => lchownSync(path, uid, gid)

const makeFolder = (path: string, owner: Identity): void => {
  mkdirSync(path, { recursive: true })
  own(path, owner)
}

const makeFile = (path: string, owner: Identity, content = "own\n"): void => {
  writeFileSync(path, content)
  chownSync(path, owner.uid, owner.gid)
}

/** A folder with a file, and a link of the same look to the victim. */
const plantFolder = ({ owner, root, victim }: Arena): void => {
  makeFolder(`${root}/good`, owner)
  makeFile(`${root}/good/file`, owner)
  symlinkSync(victim.path, `${root}/evil`)
  own(`${root}/evil`, owner)
}

/** A file, and a link of the same look to the victim's. */
const plantFile = ({ owner, root, victim }: Arena): void => {
  makeFile(`${root}/good`, owner)
  symlinkSync(`${victim.path}/file`, `${root}/evil`)
  own(`${root}/evil`, owner)
}

const within = <A>(
  { root }: Arena,
  use: (directory: OwnedDirectory) => Effect.Effect<A, FileError, Scope.Scope>,
): Effect.Effect<A, FileError> => Effect.scoped(Effect.flatMap(OwnedDirectory.open(root), use))

const folder = ["good", "evil"] as const
const report =
  "<consumption><movement><resource>r</resource><quantity>1</quantity><price>1</price><VAT/></movement></consumption>"

/** Puts back what a try has removed, as long as that leads nowhere else. */
const refill = (path: string, owner: Identity): void => {
  try {
    if (!existsSync(path)) makeFile(path, owner)
  } catch {
    // Exchanged meanwhile: the next try has it.
  }
}

export const races: ReadonlyArray<Race> = [
  {
    name: "the folder of a file that is written",
    swaps: folder,
    plant: plantFolder,
    control: ({ owner, root }) => careless.writeFile(`${root}/good/new`, owner),
    attempt: (arena) =>
      within(arena, (directory) => directory.write("good/new", "x", { mode: 0o644, owner: arena.owner })),
  },
  {
    name: "a file that is written",
    swaps: folder,
    plant: plantFile,
    control: ({ owner, root }) => careless.writeFile(`${root}/good`, owner),
    attempt: (arena) => within(arena, (directory) => directory.write("good", "x", { mode: 0o644, owner: arena.owner })),
  },
  {
    name: "the folder of a file that is read",
    swaps: folder,
    plant: plantFolder,
    control: ({ root }) => careless.read(`${root}/good/file`),
    attempt: (arena) => within(arena, (directory) => directory.read("good/file")),
  },
  {
    name: "a log that is opened",
    swaps: folder,
    plant: plantFile,
    control: ({ owner, root }) => careless.log(`${root}/good`, owner),
    attempt: (arena) =>
      within(arena, (directory) => Effect.map(directory.openLog("good"), (fd) => void writeSync(fd, "a line\n"))),
  },
  {
    name: "the folder of a directory that is made",
    swaps: folder,
    plant: plantFolder,
    control: ({ owner, root }) => careless.log(`${root}/good/made/log`, owner),
    attempt: (arena) =>
      within(arena, (directory) =>
        Effect.andThen(directory.makeDirectory("good/made", 0o755), removeTree(`${arena.root}/good/made`)),
      ),
  },
  {
    name: "the folder of reports that are taken and deleted",
    swaps: ["var/xml_report", "evil"],
    plant: ({ owner, root, victim }) => {
      makeFolder(`${root}/var`, owner)
      makeFolder(`${root}/var/xml_report`, owner)
      symlinkSync(victim.path, `${root}/evil`)
      own(`${root}/evil`, owner)
    },
    control: ({ root }) => careless.collect(`${root}/var/xml_report`),
    attempt: ({ owner, root }) => {
      const places = placesOf(root.slice(0, root.lastIndexOf("/")), slappart0)
      return Effect.gen(function* () {
        yield* within({ owner, root } as Arena, (directory) =>
          directory.write("var/xml_report/new", report, { mode: 0o644, owner }),
        ).pipe(Effect.ignore)
        const { reports } = yield* collect(places, () => false)
        yield* deleteSources(
          places,
          reports.flatMap(({ sources }) => sources),
        )
        return reports.map(({ text }) => text).join("\n")
      })
    },
  },
  {
    name: "a directory in what is removed",
    swaps: ["srv/folder", "evil"],
    plant: ({ owner, root, victim }) => {
      makeFolder(`${root}/srv`, owner)
      makeFolder(`${root}/srv/folder`, owner)
      symlinkSync(victim.path, `${root}/evil`)
      own(`${root}/evil`, owner)
    },
    control: ({ owner, root }) => {
      makeFolder(`${root}/srv/folder`, owner)
      careless.remove(`${root}/srv`)
    },
    attempt: ({ owner, root }) =>
      Effect.gen(function* () {
        // A tree of some size: the exchange is to come in the middle of it.
        for (const path of [`${root}/srv`, `${root}/srv/folder`]) if (!existsSync(path)) makeFolder(path, owner)
        for (let index = 0; index < 20; index++) refill(`${root}/srv/file-${index}`, owner)
        yield* removeTree(`${root}/srv`)
      }),
  },
]

/** Exchanges two names until it is ended, as a user. It gives up by itself after a minute. */
export const swapper = (pairs: ReadonlyArray<readonly [string, string]>): string => `#!/usr/bin/python3 -IS
import ctypes, time
libc = ctypes.CDLL(None)
AT_FDCWD, RENAME_EXCHANGE = -100, 2
pairs = [(one.encode(), other.encode()) for one, other in ${JSON.stringify(pairs)}]
end = time.monotonic() + 60
while time.monotonic() < end:
    for _ in range(50):
        for one, other in pairs:
            libc.renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE)
    # Others race beside it on the same processors.
    time.sleep(0.01)
`

/** The same as a process of the test's own, for the life of the Scope. */
export const swapping = (
  root: string,
  { gid, uid }: Identity,
  pairs: ReadonlyArray<readonly [string, string]>,
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<ReturnType<typeof spawn>>((resume) => {
      const child = spawn("python3", ["-IS", "-c", swapper(pairs)], { cwd: root, uid, gid, stdio: "ignore", env: {} })
      child.once("spawn", () => resume(Effect.succeed(child)))
      child.once("error", (cause) => resume(Effect.die(cause)))
    }),
    (child) =>
      Effect.callback<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        if (child.exitCode !== null || child.signalCode !== null) resume(Effect.void)
        child.kill("SIGKILL")
      }),
  ).pipe(Effect.asVoid)
