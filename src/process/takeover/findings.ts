// What of the reference node is at work on this machine: beside it, everything would run twice. Facts are gathered by
// reference.ts; what they mean is decided here. Pure. node-behaviour.md (Services, Configuration).

export interface ReferenceFacts {
  /** Sockets on which a supervisord answers. */
  readonly sockets: ReadonlyArray<string>
  /** Pid files of the reference, and the command line of the living process that each names. */
  readonly supervisors: ReadonlyArray<PidFile>
  readonly passes: ReadonlyArray<PidFile>
  readonly cron: ReadonlyArray<CronFile>
}

export interface PidFile {
  readonly file: string
  readonly pid: number
  /** Undefined when there is no such process. */
  readonly command: string | undefined
}

export interface CronFile {
  readonly file: string
  readonly text: string
}

export interface Findings {
  /** A supervisord that can be taken over, in words. */
  readonly supervisor: string | undefined
  /** What has to be removed by hand, in words. */
  readonly obstacles: ReadonlyArray<string>
}

const pass =
  /\bslapos(?:\.node)?\s+node\s+(?:software|instance|report|promise|format|collect)\b|\bslapgrid-(?:sr|cp|ur|promise)\b|\bslapos-watchdog\b/

/** Lines of a crontab that run the reference. */
export const referenceLines = (text: string): ReadonlyArray<string> =>
  text.split("\n").filter((line) => !/^\s*#/.test(line) && pass.test(line))

export const judge = ({ cron, passes, sockets, supervisors }: ReferenceFacts): Findings => {
  const [socket] = sockets
  const supervisor = supervisors.find(({ command }) => command?.includes("supervisord") === true)
  return {
    supervisor:
      socket !== undefined
        ? `its supervisord answers on ${socket}`
        : supervisor !== undefined
          ? `its supervisord runs as pid ${supervisor.pid} (${supervisor.file})`
          : undefined,
    obstacles: [
      ...passes.flatMap(({ command, file, pid }) =>
        command !== undefined && /slapos|slapgrid/.test(command)
          ? [`one of its passes runs as pid ${pid} (${file}): wait until it has ended`]
          : [],
      ),
      ...cron.flatMap(({ file, text }) => {
        const [line] = referenceLines(text)
        return line === undefined ? [] : [`${file} starts it again and again (${line.trim()}): remove that entry`]
      }),
    ],
  }
}

/** Why the node may not start, or undefined when it may. */
export const refusal = ({ obstacles, supervisor }: Findings, isTakeOver: boolean): string | undefined => {
  const found = [
    ...(supervisor === undefined || isTakeOver
      ? []
      : [`${supervisor}: stop it, or have slapgrid take its programs over with --take-over`]),
    ...obstacles,
  ]
  return found.length === 0
    ? undefined
    : `the reference node is at work here, and everything would run twice:\n${found.map((one) => `  ${one}`).join("\n")}`
}
