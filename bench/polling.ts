// `npm run bench -- polling`: the load that ten thousand nodes are to one master, steady, after a mass restart, in an
// outage and after it, as numbers and a curve.
// Ends with 1 when any second has more than three times the mean.
import { type Load, loadOf, scenarios } from "./fleet.ts"

const bars = " ▁▂▃▄▅▆▇█"
const columns = 90
const limit = 3

/** One character for the busiest second of each part of the time; a full block is the limit. */
const curve = ({ calls, mean }: Load): string => {
  const width = Math.ceil(calls.length / columns)
  return Array.from({ length: Math.ceil(calls.length / width) }, (_, column) => {
    const busiest = Math.max(...calls.slice(column * width, (column + 1) * width))
    return bars[Math.min(bars.length - 1, Math.round((busiest / mean / limit) * (bars.length - 1)))]
  }).join("")
}

let isExceeded = false
for (const scenario of scenarios) {
  const load = loadOf(scenario, 1)
  const busiest = Math.max(...load.calls)
  const ratio = busiest / load.mean
  isExceeded ||= ratio > limit
  const sum = load.calls.reduce((all, one) => all + one, 0)
  const numbers = [
    `mean ${(sum / load.calls.length).toFixed(0)} calls/s`,
    `busiest second ${busiest}, ${ratio.toFixed(2)} times the steady mean of ${load.mean.toFixed(0)}`,
    `first ten seconds ${load.calls.slice(0, 10).join(" ")}`,
  ]
  process.stdout.write(`${scenario.name}, ${scenario.seconds} s: ${numbers.join("; ")}\n|${curve(load)}|\n\n`)
}
process.stdout.write(`a full block is ${limit} times the steady mean: ${isExceeded ? "exceeded" : "never reached"}\n`)
process.exitCode = isExceeded ? 1 : 0
