// The launcher's program as text. The bundled program has the text in it (scripts/build.ts).
import { readFileSync } from "node:fs"

export const launcherSource = readFileSync(new URL("./launcher.py", import.meta.url), "utf8")
