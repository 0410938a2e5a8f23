// How a command line becomes one that runs as somebody else: words for setpriv(1), which sets user, group and
// supplementary groups together (child_process' own uid option drops the last). Pure; never gives root away.
import * as Schema from "effect/Schema"

/** As whom a process runs. */
export interface Credentials {
  readonly uid: number
  readonly gid: number
  /** Supplementary groups, the primary one included. */
  readonly groups: ReadonlyArray<number>
  /** Login name; the number as text when there is no passwd entry. */
  readonly name: string
  /** Undefined without a passwd entry. */
  readonly home: string | undefined
}

export class PrivilegeError extends Schema.TaggedError<PrivilegeError>()("PrivilegeError", {
  message: Schema.String,
}) {}

export interface Wrapping {
  /** Undefined: stay who we are. */
  readonly credentials: Credentials | undefined
  /** Directory of the cgroup to join before anything else; undefined: stay where the agent is. */
  readonly cgroup: string | undefined
  /** The process is killed when the agent dies. For builds and scripts; never for services. */
  readonly dieWithAgent: boolean
  readonly umask: number
}

/** Words of an argument vector in front of the command's own. */
const setpriv = ({ credentials, dieWithAgent }: Wrapping): ReadonlyArray<string> => {
  const words = [
    ...(credentials === undefined
      ? []
      : [
          `--reuid=${credentials.uid}`,
          `--regid=${credentials.gid}`,
          `--groups=${[...new Set([credentials.gid, ...credentials.groups])].join(",")}`,
          "--inh-caps=-all",
          "--no-new-privs",
        ]),
    ...(dieWithAgent ? ["--pdeathsig=KILL"] : []),
  ]
  return words.length === 0 ? [] : ["/usr/bin/setpriv", ...words, "--"]
}

/** The argument vector that runs `argv` as `wrapping` says: a shell for cgroup and umask, setpriv, the command. */
export const wrap = (argv: ReadonlyArray<string>, wrapping: Wrapping): ReadonlyArray<string> => [
  "/bin/sh",
  "-c",
  `${wrapping.cgroup === undefined ? "" : 'echo $$ >"$0/cgroup.procs" && '}umask ${wrapping.umask.toString(8).padStart(3, "0")} && exec "$@"`,
  wrapping.cgroup ?? "sh",
  ...setpriv(wrapping),
  ...argv,
]

/** Why `owner` cannot be used to run something, or undefined when it can (node-behaviour.md: never as root). */
export const refusal = (owner: { readonly uid: number; readonly gid: number }, what: string): string | undefined =>
  owner.uid === 0 || owner.gid === 0
    ? `${what} belongs to uid ${owner.uid} and gid ${owner.gid}: nothing is run as root; chown it to its own user`
    : undefined
