// A requirement whose text a helper or a run has read before is the one that it would be otherwise.
import { describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { readFileSync } from "node:fs"
import { expect } from "vitest"
import { root } from "../../support/slapgrid.ts"

const texts = [
  "zc.buildout",
  "slapos.cookbook[erp5, tests]",
  "six >= 1.9, < 2",
  "lxml ; python_version < '3'",
  "requests[socks]>=2; extra == 'http' and python_version > '2.7'",
  "pip @ https://example.org/pip.zip",
  // None at all.
  "",
  "no requirement",
  "odd>=>",
]

/** What each text gives: before anything is kept, twice afterwards, and what its holder did to it in between. */
const program = `
import json, sys, warnings
sys.path.insert(0, "/usr/lib/python3/dist-packages")
warnings.simplefilter("ignore")
import pkg_resources
${readFileSync(`${root}/src/process/warm/requirements.py`, "utf8")}

grammar = getattr(pkg_resources.packaging.requirements, "REQUIREMENT", None)
reads = []
if grammar is not None:
    original = grammar.parseString
    grammar.parseString = grammar.parse_string = lambda *arguments: reads.append(arguments[0]) or original(*arguments)

def tell(text):
    try:
        one = pkg_resources.Requirement.parse(text)
    except Exception as error:
        return [type(error).__name__, str(error)]
    told = [str(one), one.key, list(one.extras), sorted(one.specs), str(one.marker), one.url, hash(one) == hash(str(one))]
    for given in (one.specs, vars(one).get("marker", None) and one.marker._markers):
        if given:
            given.clear()
    return told

texts = json.loads(sys.argv[1])
before = [tell(text) for text in texts]
reads.clear()
keep_requirements([texts[1], "no requirement"])
first = [tell(text) for text in texts]
second = [tell(text) for text in texts]
print(json.dumps({"before": before, "first": first, "second": second, "hasGrammar": grammar is not None, "reads": reads}))
`

describe("a requirement that was read before", () => {
  it("is the same, and is not read again", () => {
    const words = ["-I", "-c", program, JSON.stringify(texts)]
    const told = JSON.parse(execFileSync("/usr/bin/python3", words, { encoding: "utf8" }))
    expect(told.before).toHaveLength(texts.length)
    expect(told.first).toStrictEqual(told.before)
    expect(told.second).toStrictEqual(told.before)
    const times = (text: string) => told.reads.filter((one: string) => one === text).length
    expect(texts.slice(0, 3).map(times)).toStrictEqual(told.hasGrammar ? [1, 1, 1] : [0, 0, 0])
  })
})
