import { describe, it } from "@effect/vitest"
import { spawnSync } from "node:child_process"
import * as fs from "node:fs"
import * as Effect from "effect/Effect"
import { expect } from "vitest"
import { interpreterOf, invocation } from "../../src/build/launcher.ts"
import { scratchDirectory } from "../support/scratch.ts"

const long = `/${"opt/".repeat(100)}python3.11`

describe("invocation", () => {
  it.each([
    ["no first line", "import sys\n", ["/r/bin/buildout"]],
    ["an empty file", "", ["/r/bin/buildout"]],
    ["an empty first line", "#!\nx", ["/r/bin/buildout"]],
    ["an interpreter", "#!/usr/bin/python3\nx", ["/usr/bin/python3", "/r/bin/buildout"]],
    ["no newline", "#!/usr/bin/python3", ["/usr/bin/python3", "/r/bin/buildout"]],
    ["words and spaces", "#! /usr/bin/env  python3 -S \r\nx", ["/usr/bin/env", "python3", "-S", "/r/bin/buildout"]],
    ["a line too long for the kernel", `#!${long} -E\n`, [long, "-E", "/r/bin/buildout"]],
    ["a shell wrapper", `#!/bin/sh\n'''exec' ${long} "$0" "$@"\n' '''`, ["/bin/sh", "/r/bin/buildout"]],
    [
      "a shell wrapper of Debian's package gets no Python code",
      "#!/bin/sh\nexec python3 # zc.buildout==2.13.2\n",
      ["/bin/sh", "/r/bin/buildout"],
    ],
  ])("%s", (_, script, words) => {
    expect(invocation("/r/bin/buildout", script)).toStrictEqual(words)
  })

  it.each([
    "#!/usr/bin/python3\n__requires__ = 'zc.buildout==2.13.2'\n",
    "#!/usr/bin/python3.11\nsys.path[0:0] = [\n  '/usr/lib/python3/dist-packages',\n]\n",
    "#!/usr/bin/env python3\n__requires__ = 'zc.buildout==2.13.2'\n",
  ])("Debian's script is started through the launcher: %j", (script) => {
    const words = invocation("/usr/bin/buildout", script)
    expect([words.at(-3), words.at(-1)]).toStrictEqual(["-c", "/usr/bin/buildout"])
    expect(words.at(-2)).toContain("collections")
  })

  it.effect("the launcher restores the names, and is otherwise as if the script had been started", () =>
    Effect.gen(function* () {
      const root = yield* scratchDirectory
      const path = `${root}/bin/buildout`
      fs.mkdirSync(`${root}/bin`)
      fs.mkdirSync(`${root}/cwd`)
      fs.writeFileSync(`${root}/cwd/json.py`, "raise SystemExit('a module of the working directory was imported')")
      const script = `#!/usr/bin/env python3
# zc.buildout==2.13.2
import collections, json, sys
print(json.dumps([__name__, __file__, sys.argv, sys.path[0], collections.MutableMapping is not None]))
sys.exit(7)
`
      fs.writeFileSync(path, script)
      const [file, ...args] = invocation(path, script)
      const { status, stdout } = spawnSync(file, [...args, "-U", "a b"], { cwd: `${root}/cwd`, encoding: "utf8" })
      expect(status).toBe(7)
      expect(JSON.parse(stdout)).toStrictEqual(["__main__", path, [path, "-U", "a b"], `${root}/bin`, true])
    }),
  )
})

describe("interpreterOf", () => {
  it.each([
    ["#!/r/bin/python3.9 -S\n", "/r/bin/python3.9"],
    [`#!${long}\n`, long],
    ['#!/bin/sh\nexec /r/python "$0" "$@"\n', "/r/python"],
    ['#!/bin/sh\n"exec" "/r/python" "$0" "$@"\n', "/r/python"],
    [`#!/bin/sh\n'''exec' ${long} "$0" "$@"\n' '''\n`, long],
    ['#!/bin/sh\nexec "/with space/python" -E "$0"\n', "/with space/python"],
    ["#!/bin/sh\nexec '/with \"quote/python'\n", '/with "quote/python'],
    ["#!/bin/sh\nexec /with\\ space/python\n", "/with space/python"],
    ["#!/bin/sh\necho hello\n", "/bin/sh"],
    ["#!/bin/sh\nexec\n", "/bin/sh"],
    ["#!/bin/sh\n", "/bin/sh"],
    ["#!/bin/bash\nexec /r/python\n", "/bin/bash"],
    ["import sys\n", undefined],
    ["", undefined],
  ])("%j: %s", (script, interpreter) => {
    expect(interpreterOf(script)).toBe(interpreter)
  })
})
