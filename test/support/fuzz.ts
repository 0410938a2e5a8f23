// How much is tried of generated input: few cases with a saved seed in the tests, so that every run sees the same; many
// with a seed of their own under `npm run soak`, which names it when something fails.

const soaks = process.env["SLAPGRID_SOAK"] === "1"

/** How many times more a soak tries. */
const soakFactor = 40

/** Parameters for fast-check. */
export const fuzz = (seed: number, numRuns: number): { readonly seed: number; readonly numRuns: number } => {
  if (!soaks) return { seed, numRuns }
  const own = Math.floor(Math.random() * 2 ** 31)
  process.stderr.write(`soak: seed ${own}\n`)
  return { seed: own, numRuns: numRuns * soakFactor }
}
