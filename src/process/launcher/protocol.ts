// What the agent and its launcher (launcher.py) say to each other: a line of JSON each.
import * as os from "node:os"
import { exited, type ExitStatus, signaled } from "../../domain/ExitStatus.ts"

export interface StartRequest {
  readonly argv: readonly [string, ...ReadonlyArray<string>]
  readonly cwd: string
  /** The whole environment: nothing is inherited. */
  readonly env: Readonly<Record<string, string>>
  /** As whom; null: as the agent. */
  readonly user: { readonly uid: number; readonly gid: number; readonly groups: ReadonlyArray<number> } | null
  readonly umask: number
  /** Path that is opened for appending as stdout and stderr. */
  readonly output: string
  /** Whether standard input is open without data, so that a reader waits; else it is `input`. */
  readonly waits: boolean
  /** Path that is opened as standard input; null: it is empty. */
  readonly input: string | null
  /** Directory of the cgroup to join before anything else; null: the launcher's own. */
  readonly cgroup: string | null
  /** Limit on the number of its user's processes; null: none. */
  readonly processes: number | null
  /** Whether it is killed when the launcher, and so when the agent, is gone. */
  readonly dies: boolean
}

/** The launcher opens the path and takes `length` bytes off the head of that file. */
export interface CollapseRequest {
  readonly collapse: string
  readonly length: number
}

/** Asks for the entries of uids in the user database. */
export interface AccountsRequest {
  readonly accounts: ReadonlyArray<number>
}

/** A user's entry in the user database. */
export interface Account {
  readonly name: string
  readonly home: string
  /** The primary one included. */
  readonly groups: ReadonlyArray<number>
}

/** A forked process becomes that user and kills everything of his. */
export interface KillRequest {
  readonly kill: number
}

/** Asks for a pipe: its ends are open in the launcher until it is told to close them. */
export interface PipeRequest {
  readonly pipe: true
}

export type Request = StartRequest | CollapseRequest | AccountsRequest | KillRequest | PipeRequest

/** The answer to the request with that `id`: which fields it has depends on the request. */
export interface Answer {
  readonly id: number
  readonly pid?: number
  readonly startTime?: string
  /** In the order of the uids; null for one without an entry. */
  readonly accounts?: ReadonlyArray<Account | null>
  readonly killed?: true
  /** Descriptors of the launcher's. */
  readonly reader?: number
  readonly writer?: number
  /** What failed, with its errno, or in words when there is none. */
  readonly step?: string
  readonly errno?: number
  readonly why?: string
}

/** A process that was started has ended. */
export interface End {
  readonly end: number
  readonly code?: number
  readonly signal?: number
}

/** Where the launcher finds the very file that a descriptor of the agent stands for, whatever its name is by now. */
export const descriptorPath = (fd: number): string => `/proc/${process.pid}/fd/${fd}`

const nameIn = (table: Readonly<Record<string, number>>, number: number): string | undefined =>
  Object.entries(table).find(([, value]) => value === number)?.[0]

/** `ENOENT` and the like, from its number. */
export const errnoName = (errno: number): string => nameIn(os.constants.errno, errno) ?? `errno ${errno}`

export const exitStatusOf = ({ code, signal }: Pick<End, "code" | "signal">): ExitStatus =>
  signal === undefined ? exited(code ?? 0) : signaled(nameIn(os.constants.signals, signal) ?? `signal ${signal}`)

/** Words for what commonly goes wrong. */
const causes: Readonly<Record<string, string>> = {
  EACCES: "its user is not allowed to",
  EAGAIN: "the limit of processes is reached",
  EDQUOT: "the disk quota is used up",
  ENOENT: "it does not exist",
  ENOMEM: "there is not enough memory",
  ENOSPC: "there is no space left",
  EPERM: "the agent is not allowed to",
}

/** Words for what keeps a program from running: execve(2). */
const executionCauses: Readonly<Record<string, string>> = {
  ...causes,
  EACCES: "its user may not execute it: it or a directory above is not executable for that user, or it is no file",
  ELOOP: "it is a link that leads nowhere, or its first line leads back to itself",
  ENAMETOOLONG: "its path or the first line is too long",
  ENOENT: "it does not exist, or the interpreter that its first line names does not",
  ENOEXEC: "it is no program: a script needs a first line such as #!/bin/sh",
}

/** What failed and why, in words; undefined when nothing did. */
export const failureOf = ({ errno = 0, step, why }: Answer): string | undefined => {
  if (step === undefined) return undefined
  const name = errnoName(errno)
  const words = step.startsWith("execute ") ? executionCauses : causes
  return `cannot ${step}: ${why ?? `${words[name] ?? "see errno(3)"} (${name})`}`
}
