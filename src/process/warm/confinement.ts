// How a helper of root's agent is kept from being root: a user namespace that has the release's owner and the users of
// its partitions, and of all capabilities the three that it takes to become one of them and to end what they run.
// user_namespaces(7), capabilities(7). Pure.

interface Ids {
  readonly uid: number
  readonly gid: number
}

/** Of a user_namespaces(7) map: the kernel takes less than a page, and 340 lines. */
const maxLines = 340
const maxBytes = 4096

/** Maps exactly these ids to themselves, adjacent ones in one line; undefined: more than the kernel takes. */
export const idMap = (ids: ReadonlyArray<number>): string | undefined => {
  const ranges: Array<{ readonly first: number; length: number }> = []
  for (const id of [...new Set(ids)].sort((a, b) => a - b)) {
    const last = ranges.at(-1)
    if (last !== undefined && last.first + last.length === id) last.length++
    else ranges.push({ first: id, length: 1 })
  }
  const text = ranges.map(({ first, length }) => `${first} ${first} ${length}\n`).join("")
  return ranges.length > maxLines || text.length >= maxBytes ? undefined : text
}

const capabilities = "-all,+setuid,+setgid,+kill"
/** CAP_KILL, CAP_SETGID and CAP_SETUID, as proc(5) shows them. */
const capabilityMask = "00000000000000e0"

/** In front of a program: a namespace of its own. `--keep-caps`: root itself is nobody in there. */
export const namespaceWords = ["unshare", "--user", "--keep-caps", "--"] as const

/** In front of the interpreter: the release's owner from here on, before anything of the release runs. */
export const ownerWords = ({ gid, uid }: Ids): ReadonlyArray<string> => [
  "setpriv",
  `--reuid=${uid}`,
  `--regid=${gid}`,
  `--groups=${gid}`,
  `--inh-caps=${capabilities}`,
  `--ambient-caps=${capabilities}`,
  `--bounding-set=${capabilities}`,
  "--no-new-privs",
  "--",
]

const fieldsOf = (status: string): ReadonlyMap<string, string> =>
  new Map(
    status.split("\n").map((line) => {
      const colon = line.indexOf(":")
      return [line.slice(0, colon), line.slice(colon + 1).trim()] as const
    }),
  )

/** What of a helper's `/proc/<pid>/status` is not as it must be; undefined when all is. `owner`: of root's agent. */
export const findLooseness = (status: string, owner: Ids | undefined): string | undefined => {
  const fields = fieldsOf(status)
  const fourTimes = (id: number) => [id, id, id, id].join("\t")
  const wanted: ReadonlyArray<readonly [string, string]> = [
    // A lock that another thread holds would be held in every child for ever.
    ["Threads", "1"],
    ...(owner === undefined
      ? []
      : ([
          ["Uid", fourTimes(owner.uid)],
          ["Gid", fourTimes(owner.gid)],
          ["Groups", `${owner.gid}`],
          ["NoNewPrivs", "1"],
          ...["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map((name) => [name, capabilityMask] as const),
        ] as const)),
  ]
  const wrong = wanted.find(([name, value]) => fields.get(name) !== value)
  return wrong === undefined ? undefined : `its ${wrong[0]} is ${fields.get(wrong[0]) ?? "not shown"}, not ${wrong[1]}`
}
