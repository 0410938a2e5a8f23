// Where the built program is, and how tests start it: by the node that runs them.
import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

/** The repository. */
export const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "")

export const bundle = `${root}/dist/slapgrid.js`

if (!existsSync(bundle)) throw new Error(`${bundle} is missing: run npm run build first`)

/** The words that start it. */
export const slapgrid = [process.execPath, bundle] as const
