// How the reference is recognised: its passes by the words that start them, its supervisord by its command line, and
// what both mean for an agent that wants to start on the same partitions. Pure. node-behaviour.md (Services).

/** A crontab's entry that runs a pass. */
export interface ScheduledPass {
  readonly file: string
  readonly line: number
  readonly command: string
  /** The configuration that it names; undefined: the default one. */
  readonly config: string | undefined
}

/** What stands in the way. */
export type Finding =
  | {
      readonly _tag: "Supervisord"
      /** Its socket, or the pid file that names it. */
      readonly file: string
      readonly pid: number | undefined
      readonly groups: ReadonlyArray<string>
      /** Why it cannot be told to stop its programs; undefined: it can. */
      readonly problem: string | undefined
    }
  | { readonly _tag: "Pass"; readonly file: string; readonly pid: number; readonly command: string }
  | ({ readonly _tag: "Scheduled" } & ScheduledPass)

/** Commands of `slapos node` that run nothing of an instance; even `status` starts supervisord. */
const harmless = new Set(["bang", "boot", "collect", "format", "register"])

const baseName = (path: string): string => path.slice(path.lastIndexOf("/") + 1)

/** The pass that these words start, in short, or undefined. Its interpreter and wrappers may stand before it. */
export const passOf = (words: ReadonlyArray<string>): string | undefined => {
  for (const [index, word] of words.entries()) {
    const name = baseName(word)
    if (/^slapgrid-(?:sr|cp|ur|supervisord)$/.test(name)) return name
    if (name !== "slapos" && word !== "slapos.cli.entry") continue
    const [group, command] = words.slice(index + 1).filter((one) => !one.startsWith("-"))
    if (group === "node" && command !== undefined && !harmless.has(command)) return `slapos node ${command}`
  }
  return undefined
}

/** The configuration file that these words name. */
export const configOf = (words: ReadonlyArray<string>): string | undefined =>
  words
    .filter((word) => word.endsWith(".cfg"))
    .map((word) => (word.startsWith("/") ? word : word.slice(word.indexOf("=/") + 1)))
    .findLast((path) => path.startsWith("/"))

/** Whether a process with this command line is the supervisord of one of these roots (several names of one). */
export const isSupervisord = (commandLine: string, roots: ReadonlyArray<string>): boolean => {
  if (!commandLine.includes("supervisord")) return false
  const named = commandLine
    .split(/[\s'"\],]/)
    .map((word) => word.slice(Math.max(0, word.indexOf("/"))))
    .filter((word) => word.startsWith("/") && /\.conf\b/.test(word))
  // One that names no configuration, or names it otherwise, can still be it.
  return named.length === 0 || named.some((path) => roots.some((root) => path.startsWith(`${root}/`)))
}

/** cron(8) on Debian skips other names, such as those of packages' backups. */
export const isCronName = (name: string): boolean => /^[A-Za-z0-9_-]+$/.test(name)

const assignment = /^\s*["']?(\w+)["']?\s*=(.*)$/s

/** The commands of a shell line, each as its words, quotes aside. */
const commandsOf = (line: string): ReadonlyArray<ReadonlyArray<string>> =>
  line.split(/[;&|()`]+/).map((one) => one.replaceAll(/["']/g, " ").split(/\s+/).filter(Boolean))

/** The entries of a crontab that run a pass; `hasUser`: its lines name the user, as those of /etc do. crontab(5). */
export const scheduledIn = (file: string, text: string, hasUser: boolean): ReadonlyArray<ScheduledPass> => {
  let inherited: string | undefined
  return text.split("\n").flatMap((line, index) => {
    const [, name, value] = assignment.exec(line) ?? []
    if (name === "SLAPOS_CONFIGURATION") inherited = value?.trim().replace(/^["']/, "").replace(/["']$/, "")
    if (name !== undefined || /^\s*(?:#|$)/.test(line)) return []
    const fields = (/^\s*@/.test(line) ? 1 : 5) + (hasUser ? 1 : 0)
    const command = line.replace(new RegExp(String.raw`^\s*(?:\S+\s+){${fields}}`), "")
    return commandsOf(command).flatMap((words) => {
      const pass = passOf(words)
      return pass === undefined ? [] : [{ file, line: index + 1, command: pass, config: configOf(words) ?? inherited }]
    })
  })
}

/** Whether `--take-over` deals with it. */
export const canBeTakenOver = (finding: Finding): boolean =>
  finding._tag === "Supervisord" && finding.problem === undefined

const listed = (names: ReadonlyArray<string>): string =>
  names.length === 0
    ? "no programs"
    : `the programs of ${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} others` : ""}`

const describe = (finding: Finding): string => {
  switch (finding._tag) {
    case "Scheduled":
      return `${finding.file}:${finding.line} starts ${finding.command}: remove the line or make it a comment`
    case "Pass":
      return `${finding.command} (pid ${finding.pid}) holds ${finding.file}: wait until it has ended, or end it`
    case "Supervisord":
      return describeSupervisord(finding)
  }
}

const describeSupervisord = ({ file, groups, pid, problem }: Extract<Finding, { _tag: "Supervisord" }>): string => {
  if (problem !== undefined) return `${problem}: end it${pid === undefined ? "" : ` (kill ${pid})`}`
  const ways = `start slapgrid with --take-over, or end it (supervisorctl -s unix://${file} shutdown)`
  return `supervisord (pid ${pid}) listens on ${file} and has ${listed(groups)}: ${ways}`
}

/** What an operator is told who starts slapgrid beside the reference. */
export const refusalOf = (instanceRoot: string, findings: ReadonlyArray<Finding>): string =>
  [
    `the reference still runs this node, and everything in ${instanceRoot} would run twice:`,
    ...findings.map((one) => `  ${describe(one)}`),
  ].join("\n")
