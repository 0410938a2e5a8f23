// Documents and archives that are made to do something to who reads them, and how a careless agent reads them.
import { spawnSync } from "node:child_process"
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from "node:fs"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { unpack } from "../../../src/files/archive/unpack.ts"
import { parseConsumption } from "../../../src/report/usage/documents.ts"
import { gzipped, type Member } from "../tarball.ts"
import type { Victim } from "./victims.ts"

/** What came of an attack for who was attacked. */
export interface Document {
  readonly name: string
  readonly careless: (victim: Victim, directory: string) => string | undefined
  /** Undefined: it was refused. */
  readonly slapgrid: (victim: Victim, directory: string) => Effect.Effect<string | undefined>
}

const report = (head: string, title: string): string =>
  `${head}<consumption><movement><resource>r</resource><title>${title}</title><quantity>1</quantity><price>1</price><VAT/></movement></consumption>`

/** Replaces entities as their declarations say, for as long as there are some, up to 10 MB. */
const expand = (source: string): string => {
  const entities = new Map<string, string>()
  for (const [, name = "", external, value = ""] of source.matchAll(/<!ENTITY (\w+) (SYSTEM )?"([^"]*)">/g)) {
    entities.set(name, external === undefined ? value : readFileSync(value.replace("file://", ""), "utf8"))
  }
  let text = source.slice(source.indexOf("]>") + 2)
  for (let round = 0; round < 20 && /&\w+;/.test(text) && text.length < 10_000_000; round++) {
    text = text.replaceAll(/&(\w+);/g, (_, name: string) => entities.get(name) ?? "")
  }
  return text
}

/** Reads elements within elements by calling itself. */
const depthOf = (source: string, at = 0): number => (source.startsWith("<a>", at) ? 1 + depthOf(source, at + 3) : 0)

const document = (
  name: string,
  source: (victim: Victim) => string,
  careless: (text: string, victim: Victim) => string | undefined,
): Document => ({
  name,
  careless: (victim) => {
    try {
      return careless(source(victim), victim)
    } catch {
      return "crashed"
    }
  },
  slapgrid: (victim) =>
    Effect.sync(() => {
      const begun = performance.now()
      const read = parseConsumption(source(victim))
      if (performance.now() - begun > 5_000) return "kept busy"
      return Result.isFailure(read) ? undefined : "believed"
    }),
})

const doubling = Array.from({ length: 30 }, (_, index) => `<!ENTITY e${index + 1} "&e${index};&e${index};">`).join("")

const folder = "0123456789abcdef0123456789abcdef"

/** What was unpacked beside the victim, as the attack means it. */
const archive = (
  name: string,
  members: (victim: Victim) => ReadonlyArray<Member>,
  harm: (victim: Victim, top: string) => string | undefined,
): Document => {
  const bytes = (victim: Victim) => gzipped({ name: `${folder}/`, type: "5", mode: 0o755 }, ...members(victim))
  const write = (victim: Victim, directory: string, place: string) => {
    const [file, top] = [`${directory}/${place}.tar.gz`, `${directory}/${place}`]
    writeFileSync(file, bytes(victim))
    mkdirSync(top, { mode: 0o700 })
    return { file, top }
  }
  return {
    name,
    careless: (victim, directory) => {
      const { file, top } = write(victim, directory, "careless")
      const script = 'import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2], filter="fully_trusted")'
      const older = "import sys, tarfile; tarfile.open(sys.argv[1]).extractall(sys.argv[2])"
      const python = (code: string) =>
        spawnSync("/usr/bin/python3", ["-c", code, file, top], { stdio: "ignore" }).status
      if (python(script) !== 0) python(older)
      return harm(victim, top)
    },
    slapgrid: (victim, directory) => {
      const { file, top } = write(victim, directory, "slapgrid")
      const [opened, into] = [openSync(file, "r"), openSync(top, "r")]
      const owner = { uid: 61_234, gid: 61_235 }
      return unpack({
        archive: opened,
        directory: into,
        folder,
        homes: [`${top}/${folder}`],
        owner,
        minFreeSpace: 0,
        leftOut: [],
      }).pipe(
        Effect.ignore,
        Effect.andThen(
          Effect.sync(() => {
            closeSync(opened)
            closeSync(into)
            return harm(victim, top)
          }),
        ),
      )
    },
  }
}

const tell = (path: string, args: ReadonlyArray<string>): string =>
  spawnSync("stat", [...args, path], { encoding: "utf8" }).stdout.trim()

export const documents: ReadonlyArray<Document> = [
  document(
    "entities that double",
    () => report(`<!DOCTYPE c [<!ENTITY e0 "ha">${doubling}]>`, "&e30;"),
    (text) => (expand(text).length > 5_000_000 ? "filled" : undefined),
  ),
  document(
    "an entity that is a file of the machine",
    ({ path }) => report(`<!DOCTYPE c [<!ENTITY x SYSTEM "file://${path}">]>`, "&x;"),
    (text, { secret }) => (expand(text).includes(secret) ? "told" : undefined),
  ),
  document(
    "a million elements within each other",
    () => "<a>".repeat(1_000_000),
    (text) => String(depthOf(text)),
  ),
  archive(
    "a name that climbs out",
    ({ path }) => [{ name: `${folder}/../../${path.slice(path.lastIndexOf("/") + 1)}`, content: "x" }],
    (victim) => victim.harm(),
  ),
  archive(
    "an absolute name",
    ({ path }) => [{ name: path, content: "x" }],
    (victim) => victim.harm(),
  ),
  archive(
    "a link that leads out, and a file through it",
    ({ path }) => [
      { name: `${folder}/out`, type: "2", target: path.slice(0, path.lastIndexOf("/")) },
      { name: `${folder}/out/${path.slice(path.lastIndexOf("/") + 1)}`, content: "x" },
    ],
    (victim) => victim.harm(),
  ),
  archive(
    "a hard link to a file outside, and new content for it",
    ({ path }) => [
      { name: `${folder}/hard`, type: "1", target: path },
      { name: `${folder}/hard`, content: "x" },
    ],
    (victim, top) =>
      Number(tell(victim.path, ["--format=%h"])) > 1
        ? "linked"
        : (victim.harm() ?? (tell(`${top}/${folder}/hard`, ["--format=%h"]) === "2" ? "linked" : undefined)),
  ),
  archive(
    "a setuid program",
    () => [{ name: `${folder}/su`, content: "#!/bin/sh\n", mode: 0o4755 }],
    (_, top) => (tell(`${top}/${folder}/su`, ["--format=%a"]) === "4755" ? "setuid" : undefined),
  ),
  archive(
    "a FIFO",
    () => [{ name: `${folder}/fifo`, type: "6" }],
    (_, top) => (tell(`${top}/${folder}/fifo`, ["--format=%F"]) === "fifo" ? "made" : undefined),
  ),
  archive(
    "a device",
    () => [{ name: `${folder}/device`, type: "3" }],
    (_, top) => (tell(`${top}/${folder}/device`, ["--format=%F"]).includes("special") ? "made" : undefined),
  ),
]
