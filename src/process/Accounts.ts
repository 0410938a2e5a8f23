// Who the owner of a directory is: name, home and supplementary groups from the system's user database. An owner
// without an entry works too (node-behaviour.md, Computer partitions): its groups are its own and the extra ones given.
import * as Cache from "effect/Cache"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Launcher } from "./launcher/Launcher.ts"
import { type Credentials, PrivilegeError, refusal } from "./privileges.ts"

export interface Owner {
  readonly uid: number
  readonly gid: number
}

export class Accounts extends Context.Service<
  Accounts,
  {
    /** Whether the agent can, and therefore must, change users. */
    readonly isRoot: boolean
    /**
     * As whom to run what belongs to `owner`; undefined when the agent is no root and runs everything as itself.
     * Fails when the owner is root, whoever the agent is. `extraGroups` only count for a uid without passwd entry.
     */
    readonly credentialsFor: (
      owner: Owner,
      what: string,
      extraGroups: ReadonlyArray<number>,
    ) => Effect.Effect<Credentials | undefined, PrivilegeError>
    /** Login name and home of a user, whoever the agent is. */
    readonly describe: (owner: Owner) => Effect.Effect<Credentials>
  }
>()("slapgrid/process/Accounts") {
  static readonly layer = (options: { readonly rootCheck: boolean }) =>
    Layer.effect(
      Accounts,
      Effect.gen(function* () {
        const isRoot = process.getuid?.() === 0
        const launcher = yield* Launcher
        const cache = yield* Cache.make({
          capacity: 10_000,
          timeToLive: "1 minute",
          lookup: (key: string) => lookUp(launcher, ...parseKey(key)),
        })
        const describe = (owner: Owner) => Cache.get(cache, `${owner.uid}:${owner.gid}`)
        const credentialsFor = Effect.fnUntraced(function* (
          owner: Owner,
          what: string,
          extraGroups: ReadonlyArray<number>,
        ) {
          const why = options.rootCheck || isRoot ? refusal(owner, what) : undefined
          if (why !== undefined) return yield* new PrivilegeError({ message: why })
          if (!isRoot) return undefined
          const known = yield* describe(owner)
          return known.home !== undefined ? known : { ...known, groups: [owner.gid, ...extraGroups] }
        })
        return Accounts.of({ isRoot, credentialsFor, describe })
      }),
    )
}

const parseKey = (key: string): [number, number] => {
  const [uid, gid] = key.split(":")
  return [Number(uid), Number(gid)]
}

/** A database that does not answer is one without an entry: groups are then those that the directories tell. */
const lookUp = (launcher: Launcher["Service"], uid: number, gid: number): Effect.Effect<Credentials> =>
  launcher.account(uid).pipe(
    Effect.catch(({ message }) =>
      Effect.as(Effect.logWarning(`uid ${uid} could not be looked up: ${message}`), undefined),
    ),
    Effect.map((entry) =>
      entry === undefined
        ? { uid, gid, groups: [], name: String(uid), home: undefined }
        : { uid, gid, groups: entry.groups, name: entry.name, home: entry.home },
    ),
  )
