// `npm run bench -- [NAME] [options]`: one of the benches, each a program of its own with options of its own.
const benches: Readonly<Record<string, () => Promise<unknown>>> = {
  convergence: () => import("./convergence.ts"),
  decode: () => import("./decode.ts"),
  polling: () => import("./polling.ts"),
  supervision: () => import("./supervision.ts"),
  unpack: () => import("./unpack.ts"),
}

const [node = "", file = "", ...words] = process.argv
const [first = "-"] = words
const name = first.startsWith("-") ? "supervision" : first
const bench = benches[name]
if (bench === undefined) {
  process.stderr.write(`no bench ${name}: there are ${Object.keys(benches).join(", ")}\n`)
  process.exitCode = 1
} else {
  // What it reads are its own options.
  process.argv = [node, file, ...words.slice(first === name ? 1 : 0)]
  await bench()
}
