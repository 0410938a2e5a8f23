// `npm run bench -- unpack`: a cached release of many small files is unpacked by the agent's own reader and by tar, in
// turns. Numbers are told, never asserted; a tree that is not tar's fails the run.
import { execFileSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { parseArgs } from "node:util"
import { isRoot, ownerOf } from "./machine.ts"
import { type Comparison, formatTable, type Row } from "./table.ts"
import type { Unpacking } from "./unpackOnce.ts"

const usage = `npm run bench -- unpack [options]
  --megabytes N  size of the release, unpacked (200)
  --rounds N     unpackings by each (5)
  --in DIR       where; a file system matters (${tmpdir()})
`

const { values: flags } = parseArgs({
  options: {
    megabytes: { type: "string", default: "200" },
    rounds: { type: "string", default: "5" },
    in: { type: "string", default: tmpdir() },
    help: { type: "boolean", default: false },
  },
})

const count = (name: "megabytes" | "rounds", maximum: number): number => {
  const value = Number(flags[name])
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return value
  throw new Error(`--${name} takes a whole number from 1 to ${maximum}\n${usage}`)
}

const folder = "0123456789abcdef0123456789abcdef"

/** The same numbers from 0 to 1 in every run. */
const makeRandom = (): (() => number) => {
  let state = 1
  return () => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return state / 0x80000000
  }
}

/** Text that gzip makes a third of, and bytes that it cannot make smaller; files are pieces of them. */
const makePools = (random: () => number): readonly [text: Buffer, binary: Buffer] => {
  const letter = () => "etaoinshrdlu_".charAt(random() * 13)
  const vocabulary = Array.from({ length: 2000 }, () => Array.from({ length: 3 + random() * 9 }, letter).join(""))
  const word = () => vocabulary[Math.floor(random() ** 2 * vocabulary.length)] ?? ""
  const words = Array.from({ length: 300_000 }, () => `${word()}${random() < 0.1 ? "\n    " : " "}`)
  const binary = Buffer.alloc(2 ** 21)
  for (let index = 0; index < binary.length; index++) binary[index] = random() * 256
  return [Buffer.from(words.join("")), binary]
}

/** Most files of a release are modules of some kilobytes; a few are libraries. */
const sizeFor = (random: () => number): number => {
  const kind = random()
  if (kind < 0.65) return Math.floor(random() * 4_000)
  if (kind < 0.9) return 4_000 + Math.floor(random() * 16_000)
  return kind < 0.997 ? 20_000 + Math.floor(random() * 60_000) : 500_000 + Math.floor(random() * 500_000)
}

interface Release {
  readonly archive: string
  readonly files: number
}

/** Packs a release with tar, as a node that uploads it. */
const makeArchive = (scratch: string, megabytes: number): Release => {
  const random = makeRandom()
  const [text, binary] = makePools(random)
  const root = join(scratch, "source")
  let files = 0
  for (let left = megabytes * 1_000_000; left > 0; files++) {
    const size = sizeFor(random)
    const place = `parts/part-${Math.floor(files / 2000)}/lib/python3.11/site-packages/package_${Math.floor(files / 50)}`
    const path = join(root, folder, place, `${random() < 0.02 ? "module_of_a_long_name_".repeat(4) : "m"}${files}.py`)
    if (files % 50 === 0) mkdirSync(dirname(path), { recursive: true })
    const pool = size > 500_000 ? binary : text
    const from = Math.floor(random() * (pool.length - size))
    writeFileSync(path, pool.subarray(from, from + size), { mode: files % 20 === 0 ? 0o755 : 0o644 })
    if (files % 40 === 0) symlinkSync(`m${files}.py`, `${path}.link`)
    left -= size
  }
  const archive = join(scratch, "release.tar.gz")
  const { gid, uid } = ownerOf(0)
  const owner = [`--owner=:${uid}`, `--group=:${gid}`]
  execFileSync("tar", ["--create", "--gzip", "--file", archive, "--format=gnu", ...owner, folder], { cwd: root })
  rmSync(root, { recursive: true })
  return { archive, files }
}

/** A new directory, once the disk is at rest. */
const freshDirectory = (scratch: string, name: string): string => {
  const path = join(scratch, name)
  rmSync(path, { recursive: true, force: true })
  execFileSync("sync")
  mkdirSync(path, { mode: 0o700 })
  return path
}

const byTar = (scratch: string, { archive }: Release): Omit<Unpacking, "growth"> => {
  const path = freshDirectory(scratch, "tar")
  const from = performance.now()
  // `times` tells the shell's own processor time, then that of its children.
  const told = execFileSync("sh", ["-c", 'tar xzf "$1" && times', "sh", archive], { cwd: path, encoding: "utf8" })
  const seconds = (performance.now() - from) / 1000
  const children = [...(told.split("\n")[1] ?? "").matchAll(/(\d+)m([\d.]+)s/g)]
  const processor = children.reduce((sum, [, minutes, rest]) => sum + Number(minutes) * 60 + Number(rest), 0)
  return { seconds, processor }
}

const bySlapgrid = (scratch: string, { archive }: Release): Unpacking => {
  const path = freshDirectory(scratch, "slapgrid")
  const script = join(import.meta.dirname, "unpackOnce.ts")
  return JSON.parse(execFileSync(process.execPath, [script, archive, path, folder], { encoding: "utf8" })) as Unpacking
}

const differences = (scratch: string): string => {
  const list = (path: string) =>
    execFileSync("find", [path, "-mindepth", "1", "-printf", "%P %y %m %U %G %T@ %l\n"], {
      encoding: "utf8",
      maxBuffer: 2 ** 28,
    })
      .replaceAll(/(\.\d{0,9})\d* /g, "$1 ")
      .split("\n")
      .toSorted()
  const [ours, theirs] = [list(join(scratch, "slapgrid")), list(join(scratch, "tar", folder))]
  const index = ours.findIndex((line, at) => line !== theirs[at])
  return index < 0 && ours.length === theirs.length ? "" : `${ours[index]} instead of ${theirs[index]}`
}

const measure = (scratch: string): void => {
  process.stderr.write("a release is packed\n")
  const megabytes = count("megabytes", 5000)
  const release = makeArchive(scratch, megabytes)
  const [ours, theirs]: [Array<Unpacking>, Array<ReturnType<typeof byTar>>] = [[], []]
  for (let round = 0; round < count("rounds", 100); round++) {
    theirs.push(byTar(scratch, release))
    ours.push(bySlapgrid(scratch, release))
    const [a, b] = [theirs.at(-1)?.seconds.toFixed(2), ours.at(-1)?.seconds.toFixed(2)]
    process.stderr.write(`  tar ${a} s, slapgrid ${b} s\n`)
  }
  const difference = differences(scratch)
  if (difference !== "") {
    process.exitCode = 1
    process.stderr.write(`the trees differ: ${difference}\n`)
  }
  const packed = Math.round(statSync(release.archive).size / 1_000_000)
  const rows: ReadonlyArray<Row> = [
    {
      measure: `unpack ${megabytes} MB (${packed} MB packed), ${release.files} files, as ${isRoot ? "root" : "a user"}`,
      unit: "s",
      aim: "≤ 1.3×",
      slapgrid: { values: ours.map(({ seconds }) => seconds) },
      peer: { values: theirs.map(({ seconds }) => seconds) },
    },
    {
      measure: "processor time of that",
      unit: "s",
      aim: "",
      slapgrid: { values: ours.map(({ processor }) => processor) },
      peer: { values: theirs.map(({ processor }) => processor) },
    },
    {
      measure: "RSS growth meanwhile",
      unit: "MB",
      aim: "≤ 60 MB",
      slapgrid: { values: ours.map(({ growth }) => growth) },
      peer: { values: [] },
    },
  ]
  const comparison: Comparison = { peer: "tar xzf", ratio: "slapgrid / peer" }
  process.stdout.write(`${formatTable(rows, comparison)}\n`)
}

if (flags.help) process.stdout.write(usage)
else {
  const scratch = mkdtempSync(join(flags.in, "slapgrid-bench-"))
  try {
    measure(scratch)
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
