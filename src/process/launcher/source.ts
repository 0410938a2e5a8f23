// The launcher's program as text. The bundled program has the text in it (scripts/build.ts).
import { readFileSync } from "node:fs"

const files = ["../privileges.py", "./launcher.py"]

export const launcherSource = files.map((file) => readFileSync(new URL(file, import.meta.url), "utf8")).join("\n")
