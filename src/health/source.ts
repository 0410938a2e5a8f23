// The plugins' runner as text. The bundled program has the text in it (scripts/build.ts).
import { readFileSync } from "node:fs"

export const pluginsSource = readFileSync(new URL("./plugins.py", import.meta.url), "utf8")
