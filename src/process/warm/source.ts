// The helper's program as text. The bundled program has the text in it (scripts/build.ts).
import { readFileSync } from "node:fs"

export const helperSource = readFileSync(new URL("./helper.py", import.meta.url), "utf8")
