// How much is tried of generated input: few cases with a saved seed in the tests, so that every run sees the same; many
// with a seed of their own under `npm run soak`. SLAPGRID_SEED repeats what a run with that seed did.

export const soaks = process.env["SLAPGRID_SOAK"] === "1"

/** How many times more a soak tries. */
const soakFactor = 40

/** The seed to use, told when it is not the saved one: whatever fails can be repeated. */
export const seedFor = (saved: number): number => {
  const given = process.env["SLAPGRID_SEED"]
  if (given === undefined && !soaks) return saved
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given)
  process.stderr.write(`seed ${seed}: SLAPGRID_SEED=${seed} repeats it\n`)
  return seed
}

/** Parameters for fast-check. */
export const fuzz = (seed: number, numRuns: number): { readonly seed: number; readonly numRuns: number } => ({
  seed: seedFor(seed),
  numRuns: soaks ? numRuns * soakFactor : numRuns,
})
