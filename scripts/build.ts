// Builds dist/: the library (ES modules with types, by tsc) and slapgrid.js, the program as one executable file.
// The program is bundled because a single file starts in a third of the time that the module graph takes.
import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs"
import { type Plugin, rolldown } from "rolldown"

/** Built beside the old one and put in its place at the end: a mistake in the sources leaves a program to run. */
const target = "dist.new"
rmSync(target, { recursive: true, force: true })
execFileSync("tsc", ["-p", "tsconfig.build.json", "--outDir", target], { stdio: "inherit" })
const privileges = "process/privileges.py"
/** By the module that gives it as text. */
const pythonPrograms = new Map([
  ["process/launcher/source.ts", { name: "launcherSource", files: [privileges, "process/launcher/launcher.py"] }],
  [
    "process/warm/source.ts",
    {
      name: "helperSource",
      files: [
        privileges,
        ...["run", "scans", "requirements", "preload", "helper"].map((name) => `process/warm/${name}.py`),
      ],
    },
  ],
  ["health/source.ts", { name: "pluginsSource", files: ["health/plugins.py"] }],
])
for (const file of [...pythonPrograms.values()].flatMap(({ files }) => files)) {
  copyFileSync(`src/${file}`, `${target}/${file}`)
}

// An import of one of Node's own modules is done when the bundle is read, needed or not: node:http alone takes as long
// as all the rest, and an older Node ends at node:sqlite before it can be told that it is too old. As a function call it
// is done when the code that wants it runs, and those that Node has not loaded by itself wait until something of theirs is
// used. (The bundler's own runtime imports node:module.)
const isLazy = (id: string): boolean => id.startsWith("node:") && id !== "node:module"
const late = new Set(["child_process", "crypto", "http", "readline", "tls", "worker_threads"])
const lazyBuiltins: Plugin = {
  name: "lazy-builtins",
  resolveId: (id) => (isLazy(id) ? `\0${id}` : undefined),
  load: (id) => {
    if (!id.startsWith("\0node:")) return undefined
    const name = id.slice(1)
    const load = `process.getBuiltinModule(${JSON.stringify(name)})`
    if (!late.has(name.slice("node:".length))) return `module.exports = ${load}`
    return `let loaded
for (const name of ${JSON.stringify(Object.keys(process.getBuiltinModule(name) ?? {}))})
  Object.defineProperty(exports, name, { enumerable: true, get: () => (loaded ??= ${load})[name] })`
  },
}

// Effect makes at each start, in 20 ms and 3 MB, what measures the columns of a help text.
const lateSegmenter: Plugin = {
  name: "late-segmenter",
  transform: (code, id) => {
    if (!id.endsWith("/effect/dist/cli/CliOutput.js")) return undefined
    const made = /new Intl\.Segmenter\([^)]*\)/
    if (!made.test(code)) throw new Error(`${id} makes no Intl.Segmenter any more: remove this plugin`)
    return `let segmenter\n${code.replace(made, (making) => `{ segment: (text) => (segmenter ??= ${making}).segment(text) }`)}`
  },
}

/** One file is the whole program: those in Python are in it as text. */
const textOfPython: Plugin = {
  name: "text-of-python",
  load: (id) => {
    const [, program] = [...pythonPrograms].find(([module]) => id.endsWith(`/${module}`)) ?? []
    if (program === undefined) return undefined
    const text = program.files.map((file) => readFileSync(`src/${file}`, "utf8")).join("\n")
    return `export const ${program.name} = ${JSON.stringify(text)}`
  },
}

// All of undici (fetch, web sockets, mocks, caches) takes 12 MB of memory; what is used of it, a third. Nobody here speaks
// HTTP/2 (allowH2: false), for which undici has Node load its own at each start.
const leanUndici: Plugin = {
  name: "lean-undici",
  resolveId: (id) => (id === "undici" ? "\0undici" : id.endsWith("/client-h2.js") ? "\0no-http2" : undefined),
  load: (id) => {
    if (id === "\0no-http2") return `module.exports = () => { throw new Error("HTTP/2 is not a part of this program") }`
    return id === "\0undici"
      ? `import Dispatcher from "undici/lib/dispatcher/dispatcher.js"
import request from "undici/lib/api/api-request.js"
Object.assign(Dispatcher.prototype, { request })
export { default as Agent } from "undici/lib/dispatcher/agent.js"
export { default as EnvHttpProxyAgent } from "undici/lib/dispatcher/env-http-proxy-agent.js"`
      : undefined
  },
}

const transform = { target: "node22" }

/** As text, too: what a worker thread runs, which is little and starts at once. */
const textOfWorker: Plugin = {
  name: "text-of-worker",
  load: async (id) => {
    if (!id.endsWith("/files/archive/source.ts")) return undefined
    const worker = await rolldown({ input: "src/files/archive/worker.ts", platform: "node", transform })
    const { output } = await worker.generate({ format: "cjs", comments: false })
    await worker.close()
    return `export const workerProgram = { text: ${JSON.stringify(output[0].code)} }`
  },
}

const bundle = await rolldown({
  input: "src/main.ts",
  platform: "node",
  plugins: [lazyBuiltins, lateSegmenter, leanUndici, textOfPython, textOfWorker],
  transform,
  // Or V8 compiles every module of the program at once, needed or not: 5 MB for as long as the agent runs.
  optimization: { pifeForModuleWrappers: false },
})
// Half of the source text is comments, and reading it is much of the time to start.
const { output } = await bundle.generate({ format: "cjs", codeSplitting: false, comments: false })
await bundle.close()

/** Functions that are not compiled yet are never compiled here: src/starter.ts says why the program is in a comment. */
const starter = await rolldown({ input: "src/starter.ts", platform: "node", transform })
const { output: head } = await starter.generate({ format: "esm", comments: false })
await starter.close()
const program = `(function (keepCompiled) {"use strict"\n${output[0].code}})`
  // A single character beyond Latin-1 makes V8 keep two bytes for each of the program's two million.
  .replaceAll(/[^\0-\x7f]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
  // In a string or a template. Where that is no way to write it, the program does not start, and the build fails.
  .replaceAll("*/", "*\\/")
const build = createHash("sha256").update(program).digest("hex").slice(0, 16)
const before = `#!/usr/bin/env node\n${head[0].code}`
const line = before.split("\n").length - 1
writeFileSync(`${target}/slapgrid.js`, `${before}start(function () {/*${program}*/}, ${line}, "${build}")\n`)
chmodSync(`${target}/slapgrid.js`, 0o755)
execFileSync(process.execPath, [`${target}/slapgrid.js`, "--version"])
mkdirSync(`${target}/compiled`)
writeFileSync(
  `${target}/compiled/README`,
  "What Node compiled of ../slapgrid.js, kept by the agents of its owner for the next start. May be removed at any time.\n",
)

/** What is bundled comes with licences that want to be shown. */
const packageOf = (file: string): string | undefined => /^.*\/node_modules\/(?:@[^/]+\/)?[^/]+/.exec(file)?.[0]
const packages = new Set(Object.keys(output[0].modules).flatMap((file) => packageOf(file) ?? []))
const notices = [...packages].sort().map((directory) => {
  const { name, version } = JSON.parse(readFileSync(`${directory}/package.json`, "utf8"))
  const file = readdirSync(directory).find((entry) => /^licen[cs]e/i.test(entry))
  if (file === undefined) throw new Error(`${name} has no licence file`)
  return `${name} ${version}\n\n${readFileSync(`${directory}/${file}`, "utf8").trim()}\n`
})
writeFileSync(`${target}/THIRD-PARTY-LICENSES.txt`, notices.join(`\n${"-".repeat(80)}\n\n`))

rmSync("dist", { recursive: true, force: true })
renameSync(target, "dist")
