// The helper's program as text. The bundled program has the text in it (scripts/build.ts).
import { readFileSync } from "node:fs"

/** One program: each is for itself but for what it calls. */
const files = ["../privileges.py", "./run.py", "./scans.py", "./requirements.py", "./preload.py", "./helper.py"]

export const helperSource = files.map((file) => readFileSync(new URL(file, import.meta.url), "utf8")).join("\n")
