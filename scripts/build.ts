// Builds dist/: the library (ES modules with types, by tsc) and slapgrid.js, the program as one executable file.
// The program is bundled because a single file starts in a third of the time that the module graph takes.
import { execFileSync } from "node:child_process"
import { chmodSync, rmSync } from "node:fs"
import { rolldown } from "rolldown"

rmSync("dist", { recursive: true, force: true })
execFileSync("tsc", ["-p", "tsconfig.build.json"], { stdio: "inherit" })

const bundle = await rolldown({
  input: "src/main.ts",
  platform: "node",
  // The banner is the only first line: the source's own would stand in the middle of the bundle.
  transform: { target: "node22" },
})
await bundle.write({
  file: "dist/slapgrid.js",
  format: "esm",
  banner: "#!/usr/bin/env node",
  codeSplitting: false,
  // Half of the source text is comments, and reading it is most of the time to start; names stay, for stack traces.
  minify: { compress: true, mangle: false, codegen: true },
})
await bundle.close()
chmodSync("dist/slapgrid.js", 0o755)
