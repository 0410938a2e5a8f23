// How a process ended, as wait(2) tells it; `Unknown` for processes that were not our children.
export type ExitStatus =
  | { readonly _tag: "Exited"; readonly code: number }
  | { readonly _tag: "Signaled"; readonly signal: string }
  | { readonly _tag: "Unknown" }

export const exited = (code: number): ExitStatus => ({ _tag: "Exited", code })
export const signaled = (signal: string): ExitStatus => ({ _tag: "Signaled", signal })
export const unknownExit: ExitStatus = { _tag: "Unknown" }

export const describeExit = (status: ExitStatus): string => {
  switch (status._tag) {
    case "Exited":
      return `exit status ${status.code}`
    case "Signaled":
      return `killed by ${status.signal}`
    case "Unknown":
      return "ended with unknown status"
  }
}
