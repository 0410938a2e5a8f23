// `npm run bench -- decode`: the Computer document of 1,000 partitions is decoded by the agent's own reader, and by
// python3 with lxml, which build the same values. Numbers are told, never asserted; values that differ fail the run.
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ComputerId } from "../src/domain/ids.ts"
import { decodeComputer } from "../src/master/wire/computer.ts"
import { decodeAnswer, encodeMarshal, SlapObject, SlapTuple, type SlapValue } from "../src/master/wire/marshal.ts"
import { type Comparison, formatTable, quantile, type Row } from "./table.ts"

const usage = `npm run bench -- decode [options]
  --partitions N  partitions of the document (1000)
  --rounds N      decodings by each, after as many to warm up (20)
`

const { values: flags } = parseArgs({
  options: {
    partitions: { type: "string", default: "1000" },
    rounds: { type: "string", default: "20" },
    help: { type: "boolean", default: false },
  },
})

const count = (name: "partitions" | "rounds", maximum: number): number => {
  const value = Number(flags[name])
  if (Number.isInteger(value) && value >= 1 && value <= maximum) return value
  throw new Error(`--${name} takes a whole number from 1 to ${maximum}\n${usage}`)
}

const computer = Schema.decodeSync(ComputerId)("COMP-1")

const dictionary = (fields: Readonly<Record<string, SlapValue>>): ReadonlyMap<string, SlapValue> =>
  new Map(Object.entries(fields))

const release = (index: number): SlapObject => {
  const url = `https://lab.example.com/nexedi/slapos/raw/1.0.${index % 40}/software/theia/software.cfg`
  const fields = { _software_release: url, _computer_guid: computer, _requested_state: "available" }
  return new SlapObject("SoftwareRelease", [url, computer], dictionary(fields))
}

/** What a requester says in JSON, as most profiles have it. */
const ownParameters = (index: number): string =>
  JSON.stringify({ "frontend-name": `Frontend ${index} <main>`, url: "https://[2001:db8::1]:8443/?a=1&b=2" }).repeat(3)

const shared = (index: number): SlapValue =>
  dictionary({
    slave_title: `frontend ${index}`,
    slave_reference: `SOFTINST-${index}`,
    slap_software_type: "default",
    url: "https://example.com/?a=1&b=2",
  })

const partition = (index: number): SlapObject => {
  const id = `slappart${index}`
  const parameters = dictionary({
    timestamp: "1700000000",
    ip_list: [new SlapTuple([id, "10.0.0.1"]), new SlapTuple([id, "2001:db8::1"])],
    full_ip_list: [new SlapTuple([id, "10.0.0.1", "10.0.0.254", "255.255.0.0", "10.0.0.0"])],
    slap_computer_id: computer,
    slap_computer_partition_id: id,
    slap_software_release_url: `https://lab.example.com/nexedi/slapos/raw/1.0.${index % 40}/software/theia/software.cfg`,
    slap_software_type: "default",
    instance_title: `instance ${index} & more, café`,
    root_instance_title: "the root instance",
    slave_instance_list: [shared(2 * index), shared(2 * index + 1)],
    _: ownParameters(index),
  })
  return new SlapObject(
    "ComputerPartition",
    [computer, id, null],
    dictionary({
      _computer_id: computer,
      _partition_id: id,
      _requested_state: "started",
      _need_modification: 1n,
      _instance_guid: `SOFTINST-${index}`,
      _access_status: "#access Instance correctly started",
      _request_dict: null,
      _software_release_document: release(index),
      _parameter_dict: parameters,
      _connection_dict: dictionary({ _: ownParameters(index) }),
      _filter_dict: dictionary({ retention_delay: "7" }),
    }),
  )
}

const documentOf = (partitions: number): Uint8Array => {
  const fields = {
    _computer_id: computer,
    _software_release_list: Array.from({ length: 40 }, (_, index) => release(index)),
    _computer_partition_list: Array.from({ length: partitions }, (_, index) => partition(index)),
  }
  return new TextEncoder().encode(encodeMarshal(new SlapObject("Computer", [computer], dictionary(fields))))
}

interface Measured {
  /** Milliseconds of the processor for each decoding. */
  readonly milliseconds: ReadonlyArray<number>
  /** Values of the document, and characters of all texts together: whoever decodes it right finds as many. */
  readonly values: number
  readonly characters: number
}

/** What Python counts. */
const codePoints = (text: string): number => {
  let count = 0
  for (const _ of text) count++
  return count
}

/** As the other program counts them. */
const tally = (root: SlapValue): Pick<Measured, "values" | "characters"> => {
  let values = 0
  let characters = 0
  const waiting: Array<SlapValue> = [root]
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    values++
    if (typeof value === "string") characters += codePoints(value)
    else if (value instanceof SlapObject) waiting.push(...value.args, ...[...value.attributes].flat())
    else if (value instanceof SlapTuple) waiting.push(...value.items)
    else if (value instanceof Map) waiting.push(...[...value].flat())
    else if (Array.isArray(value)) waiting.push(...(value as ReadonlyArray<SlapValue>))
  }
  return { values, characters }
}

const decode = (document: Uint8Array) =>
  Result.getOrThrow(Result.flatMap(decodeAnswer(document), (value) => decodeComputer(value, computer)))

const bySlapgrid = (document: Uint8Array, rounds: number): Measured => {
  const milliseconds: Array<number> = []
  for (let round = 0; round < 2 * rounds; round++) {
    const start = process.cpuUsage()
    decode(document)
    const { system, user } = process.cpuUsage(start)
    if (round >= rounds) milliseconds.push((system + user) / 1000)
  }
  return { milliseconds, ...tally(Result.getOrThrow(decodeAnswer(document))) }
}

const program = String.raw`
import json, sys, time
from lxml import etree

class Thing:
    def __init__(self, name, args, state):
        self.name, self.args, self.state = name, args, state

def text(element):
    return (element.text or "").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")

def value(element, known):
    tag = element.tag
    if tag == "string" or tag == "unicode":
        return text(element)
    if tag == "int" or tag == "long":
        return int(element.text)
    if tag == "none":
        return None
    if tag == "bool":
        return int(element.text) != 0
    if tag == "float":
        return float(element.text)
    if tag == "reference":
        return known[element.get("id")]
    children = [value(child, known) for child in element]
    if tag == "tuple":
        return tuple(children)
    if tag == "list":
        made = children
    elif tag == "dictionary":
        made = dict(zip(children[::2], children[1::2]))
    elif tag == "object" and element.get("module") == "slapos.slap.slap":
        made = Thing(element.get("class"), *children)
    else:
        raise ValueError(tag)
    known[element.get("id")] = made
    return made

def decode(document):
    root = etree.fromstring(document, etree.XMLParser(huge_tree=True, resolve_entities=False))
    return value(root[0], {})

def tally(one):
    if isinstance(one, str):
        return 1, len(one)
    if isinstance(one, Thing):
        parts = [*one.args, *[part for pair in one.state.items() for part in pair]]
    elif isinstance(one, dict):
        parts = [part for pair in one.items() for part in pair]
    elif isinstance(one, (list, tuple)):
        parts = one
    else:
        parts = []
    counts = [tally(part) for part in parts]
    return 1 + sum(values for values, _ in counts), sum(characters for _, characters in counts)

with open(sys.argv[1], "rb") as file:
    document = file.read()
rounds = int(sys.argv[2])
milliseconds = []
for turn in range(2 * rounds):
    start = time.process_time()
    decode(document)
    if turn >= rounds:
        milliseconds.append((time.process_time() - start) * 1000)
values, characters = tally(decode(document))
print(json.dumps({"milliseconds": milliseconds, "values": values, "characters": characters}))
`

const byLxml = (file: string, rounds: number): Measured =>
  JSON.parse(execFileSync("/usr/bin/python3", ["-c", program, file, String(rounds)], { encoding: "utf8" })) as Measured

const hasLxml = spawnSync("/usr/bin/python3", ["-c", "import lxml"]).status === 0

/** Megabytes in use, garbage collected; needs `--expose-gc`. */
const heap = (): number => {
  globalThis.gc?.()
  return process.memoryUsage().heapUsed / 1024 / 1024
}

const main = (): void => {
  if (flags.help) {
    process.stdout.write(usage)
    return
  }
  const rounds = count("rounds", 1000)
  const document = documentOf(count("partitions", 100_000))
  decode(document)
  const before = heap()
  const own = bySlapgrid(document, rounds)
  const growth = heap() - before
  const scratch = mkdtempSync(join(tmpdir(), "slapgrid-decode-"))
  try {
    const file = join(scratch, "computer.xml")
    writeFileSync(file, document)
    const lxml = hasLxml ? byLxml(file, rounds) : undefined
    const rows: ReadonlyArray<Row> = [
      {
        measure: `decode ${(document.length / 1e6).toFixed(1)} MB, processor`,
        unit: "ms",
        aim: "≤ 100 ms",
        slapgrid: { values: own.milliseconds },
        peer: { values: lxml?.milliseconds ?? [], instead: "not installed (python3-lxml)" },
      },
      {
        measure: "memory kept afterwards",
        unit: "MB",
        aim: "≈ 0",
        slapgrid:
          globalThis.gc === undefined ? { values: [], instead: "needs node --expose-gc" } : { values: [growth] },
        peer: { values: [] },
      },
    ]
    const comparison: Comparison = { peer: "python3 lxml", ratio: "peer / slapgrid" }
    process.stdout.write(`${formatTable(rows, comparison)}\n`)
    if (lxml !== undefined && (lxml.values !== own.values || lxml.characters !== own.characters)) {
      throw new Error(
        `the values differ: ${own.values} of ${own.characters} characters here, ${lxml.values} of ${lxml.characters} there`,
      )
    }
    process.stdout.write(`${own.values} values, median ${quantile(own.milliseconds, 0.5).toFixed(1)} ms\n`)
  } finally {
    rmSync(scratch, { recursive: true })
  }
}

main()
