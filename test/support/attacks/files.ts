// Traps at the places where the agent reads, writes, gives away or removes in a partition. A trap is planted in a
// partition of a real node and, with a victim of its own, before the careless agent.
import { execFileSync } from "node:child_process"
import {
  chmodSync,
  chownSync,
  ftruncateSync,
  lchownSync,
  linkSync,
  mkdirSync,
  openSync,
  closeSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { dirname } from "node:path"
import type { Identity } from "../ScratchMachine.ts"
import * as careless from "./careless.ts"
import type { Victim } from "./victims.ts"

/** Where a trap is, and whose directory that is. */
export interface Trap {
  readonly path: string
  /** The partition's directory, or the control's. */
  readonly root: string
  readonly owner: Identity
  readonly victim: Victim
}

export interface FileAttack {
  readonly name: string
  /** Partitions are named by what is done to them; traps of one role are planted together. */
  readonly role: Role
  /** In the partition; `%` is its id. */
  readonly place: string
  /** A directory of this content, when the victim is no file. */
  readonly victim?: { readonly name: string; readonly content?: (secret: string) => string }
  readonly plant: (trap: Trap) => void
  /** What a careless agent does there. Gives what it tells others, or how it suffers itself. */
  readonly control: (trap: Trap) => string | undefined | void
}

export type Role =
  | "processed"
  | "linked-folder"
  | "linked-logs"
  | "linked-log"
  | "hard-linked-log"
  | "fifo-log"
  | "reporting"
  | "linked-reports"
  | "linked-report-log"
  | "removed"
  | "crashing"
  | "locked"

const own = (path: string, { gid, uid }: Identity): void => lchownSync(path, uid, gid)

/** The directories above a path, each the owner's. */
const makeAbove = ({ owner, path, root }: Trap): void => {
  const parts = dirname(path).slice(root.length).split("/").filter(Boolean)
  parts.reduce((above, part) => {
    const folder = `${above}/${part}`
    try {
      mkdirSync(folder, { mode: 0o755 })
      own(folder, owner)
    } catch {
      // Another trap has made it.
    }
    return folder
  }, root)
}

const planting =
  (plant: (trap: Trap) => void) =>
  (trap: Trap): void => {
    makeAbove(trap)
    plant(trap)
  }

const link = planting(({ owner, path, victim }) => {
  symlinkSync(victim.path, path)
  own(path, owner)
})
/** Only a kernel without fs.protected_hardlinks lets a partition do this. */
const hardLink = planting(({ path, victim }) => linkSync(victim.path, path))
const fifo = planting(({ owner, path }) => {
  execFileSync("mkfifo", [path])
  own(path, owner)
})
/** /dev/zero, which never ends. */
const device = planting(({ path }) => {
  execFileSync("mknod", [path, "c", "1", "5"])
  chmodSync(path, 0o666)
})
/** A program that does its worst to its victim, wherever it is run from. */
const program = planting(({ owner, path, victim }) => {
  writeFileSync(path, `#!/bin/sh\necho "$(id -u)" >>"${victim.path}"\nexit 0\n`)
  chmodSync(path, 0o755)
  own(path, owner)
})

/** What keeps everybody out but root: a directory with a file in it, or a file. */
const lockedFolder = planting((trap) => {
  mkdirSync(trap.path)
  own(trap.path, trap.owner)
  program({ ...trap, path: `${trap.path}/inside` })
  chmodSync(trap.path, 0)
})
const lockedFile = planting((trap) => {
  program(trap)
  chmodSync(trap.path, 0)
})
const removesAsUser = ({ owner, path }: Trap) => careless.failsAs(owner, "rm", "-rf", path)
const readsAsUser = ({ owner, path }: Trap) => careless.failsAs(owner, "cat", path)
const writesAsUser = ({ owner, path }: Trap) => careless.failsAs(owner, "sh", "-c", `echo >>"${path}"`)
const listsAsUser = ({ owner, path }: Trap) => careless.failsAs(owner, "ls", path)

const locked = (place: string, plant: FileAttack["plant"], control: FileAttack["control"]): FileAttack => ({
  name: `${place.replace("%_", "")} has mode 000`,
  role: "locked",
  place,
  plant,
  control,
})

const writes = ({ owner, path }: Trap) => careless.writeFile(path, owner)
const logs = ({ owner, path }: Trap) => careless.log(path, owner)
const runs = ({ path, root }: Trap) => careless.run(path, root)
const reads = ({ path }: Trap) => careless.read(path)

const linkAttacks: ReadonlyArray<FileAttack> = [
  { name: "buildout.cfg is a link", role: "processed", place: "buildout.cfg", plant: link, control: writes },
  { name: ".timestamp is a link", role: "processed", place: ".timestamp", plant: link, control: writes },
  {
    name: "the retention's file is a dangling link",
    role: "processed",
    place: ".slapos-retention-lock-delay",
    victim: { name: "other" },
    plant: planting(({ owner, path, victim }) => {
      symlinkSync(`${victim.path}/new`, path)
      own(path, owner)
    }),
    control: ({ owner, path }) => careless.writeOnce(path, owner),
  },
  { name: "a service's log is a link", role: "processed", place: ".%_linked.log", plant: link, control: logs },
  { name: "a service's log is a hard link", role: "processed", place: ".%_hard.log", plant: hardLink, control: logs },
  {
    name: "a service's log is a FIFO",
    role: "processed",
    place: ".%_fifo.log",
    plant: fifo,
    control: ({ path }) => careless.blocksWriter(path),
  },
  {
    name: "a service wants to run as root",
    role: "processed",
    place: "etc/service/worst",
    plant: program,
    control: runs,
  },
  {
    name: "a one-shot wants to run as root",
    role: "processed",
    place: "etc/run/worst-once",
    plant: program,
    control: runs,
  },
  {
    name: "the note of the last bang is a link",
    role: "crashing",
    place: ".slapos_latest_bang_timestamp",
    plant: link,
    control: writes,
  },
  { name: "buildout.cfg is a hard link", role: "crashing", place: "buildout.cfg", plant: hardLink, control: writes },
  { name: "a log's backup is a link", role: "crashing", place: ".%_talks.log.1", plant: link, control: writes },
  {
    name: ".slapgrid is a link to a directory",
    role: "linked-folder",
    place: ".slapgrid",
    victim: { name: "precious" },
    plant: link,
    control: ({ owner, path }) => careless.log(`${path}/log/instance.log`, owner),
  },
  {
    name: "the log of failures is a link",
    role: "linked-folder",
    place: ".slapgrid-%-error.log",
    plant: link,
    control: writes,
  },
  {
    name: ".slapgrid/log is a link to a directory",
    role: "linked-logs",
    place: ".slapgrid/log",
    victim: { name: "precious" },
    plant: link,
    control: ({ owner, path }) => careless.log(`${path}/instance.log`, owner),
  },
  {
    name: "the log of processings is a link",
    role: "linked-log",
    place: ".slapgrid/log/instance.log",
    plant: link,
    control: logs,
  },
  {
    name: "the log of processings is a hard link",
    role: "hard-linked-log",
    place: ".slapgrid/log/instance.log",
    plant: hardLink,
    control: logs,
  },
  {
    name: "the log of processings is a FIFO",
    role: "fifo-log",
    place: ".slapgrid/log/instance.log",
    plant: fifo,
    control: ({ path }) => careless.blocksWriter(path),
  },
  {
    name: "a report is a link to a secret",
    role: "reporting",
    place: "var/xml_report/link",
    plant: link,
    control: reads,
  },
  {
    name: "a report is a hard link to a secret",
    role: "reporting",
    place: "var/xml_report/hard",
    plant: hardLink,
    control: reads,
  },
  {
    name: "a report is a FIFO",
    role: "reporting",
    place: "var/xml_report/fifo",
    plant: fifo,
    control: ({ path }) => careless.blocksReader(path),
  },
  {
    name: "a report is a device without end",
    role: "reporting",
    place: "var/xml_report/zero",
    plant: device,
    control: ({ path }) => careless.blocksReader(path),
  },
  {
    name: "a report is a sparse file of 1 TB",
    role: "reporting",
    place: "var/xml_report/sparse",
    plant: planting(({ owner, path }) => {
      const fd = openSync(path, "w")
      ftruncateSync(fd, 1024 ** 4)
      closeSync(fd)
      own(path, owner)
    }),
    control: ({ path }) => careless.exhausts(path),
  },
  {
    name: "a report's script wants to run as root",
    role: "reporting",
    place: "etc/report/worst",
    plant: program,
    control: runs,
  },
  {
    name: "the folder of reports is a link to another's",
    role: "linked-reports",
    place: "var/xml_report",
    victim: { name: "report.xml", content: (secret) => consumption(secret) },
    plant: link,
    control: ({ path }) => careless.collect(path),
  },
  {
    name: "the log of report scripts is a link",
    role: "linked-report-log",
    place: ".slapgrid/log/report.log",
    plant: link,
    control: logs,
  },
  {
    name: "a link to a directory lies in what is removed",
    role: "removed",
    place: "srv/link",
    victim: { name: "precious" },
    plant: link,
    control: ({ root }) => careless.remove(`${root}/srv`),
  },
  {
    name: "a hard link lies in what is removed",
    role: "removed",
    place: "srv/hard",
    plant: hardLink,
    control: ({ root }) => careless.remove(`${root}/srv`),
  },
  {
    name: "a name that is no text lies in what is removed",
    role: "removed",
    place: "srv/odd/x",
    plant: (trap) => {
      makeAbove(trap)
      const path = Buffer.concat([Buffer.from(`${trap.root}/srv/odd/`), Buffer.from([0xff, 0xfe, 0x1b, 0x0a])])
      writeFileSync(path, "")
      chownSync(path, trap.owner.uid, trap.owner.gid)
    },
    control: ({ root }) => {
      try {
        careless.remove(`${root}/srv/odd`)
        return undefined
      } catch {
        return "crashed"
      }
    },
  },
  {
    name: "what is removed is deeper than any path",
    role: "removed",
    place: "srv/deep/x",
    plant: (trap) => {
      makeAbove(trap)
      execFileSync("python3", ["-c", dig, `${trap.root}/srv/deep`])
    },
    control: ({ root }) => {
      try {
        careless.remove(`${root}/srv/deep`)
        return undefined
      } catch {
        return "crashed"
      }
    },
  },
  {
    name: "DATA holds a link to another's storage",
    role: "removed",
    place: "DATA/volume",
    victim: { name: "precious" },
    plant: link,
    control: ({ root }) => careless.removeLinked(`${root}/DATA`),
  },
  {
    name: "the last script wants to run as root",
    role: "removed",
    place: "sbin/destroy",
    plant: program,
    control: runs,
  },
  {
    name: "the list of programs to wait for is a link to a secret",
    role: "removed",
    place: ".slapos-report-wait-service-list",
    plant: link,
    control: reads,
  },
]

/** Every place where the agent looks, reads, writes or removes. */
const lockedAttacks: ReadonlyArray<FileAttack> = [
  locked("buildout.cfg", lockedFile, writesAsUser),
  locked(".timestamp", lockedFile, readsAsUser),
  locked(".slapgrid-%-error.log", lockedFile, writesAsUser),
  locked(".slapos-retention-lock-delay", lockedFile, readsAsUser),
  locked(".slapos-report-wait-service-list", lockedFile, readsAsUser),
  locked(".slapgrid/log/instance.log", lockedFile, writesAsUser),
  locked(".slapgrid/promise", lockedFolder, listsAsUser),
  locked(".%_locked.log", lockedFile, writesAsUser),
  locked("etc/run", lockedFolder, listsAsUser),
  locked("etc/service/locked", lockedFile, readsAsUser),
  locked("etc/report", lockedFolder, listsAsUser),
  locked("var/xml_report", lockedFolder, listsAsUser),
  locked("DATA", lockedFolder, listsAsUser),
  locked("srv/locked", lockedFolder, removesAsUser),
]

/** A chain of 1,500 directories. */
const dig = `
import os, sys
os.chdir(sys.argv[1])
for _ in range(1500):
    os.mkdir("deeper-and-deeper")
    os.chdir("deeper-and-deeper")
`

export const fileAttacks: ReadonlyArray<FileAttack> = [...linkAttacks, ...lockedAttacks]

const consumption = (title: string): string =>
  `<consumption><movement><resource>r</resource><title>${title}</title><quantity>1</quantity><price>1</price><VAT>none</VAT></movement></consumption>\n`
