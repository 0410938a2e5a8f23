// Reading a configuration from real files; the messages here are what an operator sees, whole.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { chooseFile, DEFAULT_FILE, loadNodeConfig } from "../../src/config/load.ts"
import type { ChosenFile, ConfigRequest } from "../../src/config/load.ts"

let root = ""
beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "slapgrid-config-"))
  for (const name of ["instance", "software", "pki"]) mkdirSync(join(root, name))
  for (const name of ["key", "cert", "ca", "buildout"]) writeFileSync(join(root, name), name)
})
afterAll(() => rmSync(root, { recursive: true }))

const place = (name: string): string => join(root, name)

const write = (name: string, text: string): string => {
  writeFileSync(place(name), text)
  return place(name)
}

const usable = () =>
  `[slapos]
computer_id = COMP-1
master_url = http://2001:db8::1
instance_root = ${place("instance")}
software_root = ${place("software")}
buildout = ${place("buildout")}
`

const sufficient = () => ({
  computer_id: "COMP-2",
  master_url: "http://127.0.0.1:5000",
  instance_root: place("instance"),
  software_root: place("software"),
  buildout: place("buildout"),
})

const messageOf = (request: ConfigRequest) =>
  Effect.map(Effect.flip(loadNodeConfig(request)), (error) => {
    expect(error._tag).toBe("ConfigError")
    return error.message.replaceAll(root, "ROOT")
  })

describe("loadNodeConfig", () => {
  it.effect("reads the file it is given, and lets flags win", () =>
    Effect.gen(function* () {
      const file = write("good.cfg", `${usable()}key_file = ${place("key")}\ncert_file = ${place("cert")}\n`)
      const flags = { computer_id: "COMP-9", certificate_repository_path: place("pki"), master_ca_file: place("ca") }
      const config = yield* loadNodeConfig({ file, flags, env: {} })
      expect(config.computerId).toBe("COMP-9")
      expect(Redacted.value(config.masterUrl)).toBe("http://[2001:db8::1]/")
      expect(config.instanceRoot).toBe(place("instance"))
      expect(config.certificates).toStrictEqual({
        keyFile: place("key"),
        certFile: place("cert"),
        repositoryPath: place("pki"),
      })
      expect(config.masterCaFile).toBe(place("ca"))
    }),
  )

  it.effect("reads the file of $SLAPOS_CONFIGURATION when flags do not say everything", () =>
    Effect.gen(function* () {
      const env = { SLAPOS_CONFIGURATION: write("default.cfg", usable()) }
      expect((yield* loadNodeConfig({ file: undefined, flags: {}, env })).computerId).toBe("COMP-1")
      expect((yield* loadNodeConfig({ file: undefined, flags: sufficient(), env })).computerId).toBe("COMP-2")
    }),
  )

  it.effect("tells every problem of every kind at once", () =>
    Effect.gen(function* () {
      const file = write(
        "bad.cfg",
        `[slapos]
master_url = slap.example.com
instance_root = ${place("nowhere")}
software_root = ${place("key")}
key_file = ${place("no.key")}
manager_list = cpuset
buildout = ${place("buildout")}
[networkcache]
shacache-ca-file = ${place("pki")}
`,
      )
      const message = yield* messageOf({ file, flags: { certificate_repository_path: place("cert") }, env: {} })
      expect(message).toBe(`The configuration cannot be used, 9 problems:
  computer_id (not set): is mandatory; pass --computer-id or write it in [slapos] of ROOT/bad.cfg
  master_url (ROOT/bad.cfg:2 [slapos]): "slap.example.com" is not an http or https URL; write one such as https://slap.example.com/
  cert_file (not set): is mandatory with a key_file or cert_file; pass --cert-file or write it in [slapos] of ROOT/bad.cfg
  manager_list (ROOT/bad.cfg:6 [slapos]): names the manager "cpuset", which slapgrid does not have (it has prerm); remove it from the list, or leave this machine to the reference
  instance_root (ROOT/bad.cfg:3 [slapos]): the directory ROOT/nowhere does not exist; create it or correct the path
  software_root (ROOT/bad.cfg:4 [slapos]): ROOT/key is not a directory; correct the path
  key_file (ROOT/bad.cfg:5 [slapos]): the file ROOT/no.key does not exist; create it or correct the path
  certificate_repository_path (--certificate-repository-path): ROOT/cert is not a directory; correct the path
  shacache-ca-file (ROOT/bad.cfg:9 [networkcache]): ROOT/pki is not a file; correct the path`)
    }),
  )

  it.effect("tells the file's mistakes beside those of the flags, and calls nothing missing then", () =>
    Effect.gen(function* () {
      const file = write("broken.cfg", "[slapos]\ncomputer_id COMP-1\nmaster_url = a\nmaster_url = b\n")
      const flags = { instance_root: place("nowhere"), buildout: place("buildout") }
      expect(yield* messageOf({ file, flags, env: {} })).toBe(`The configuration cannot be used, 3 problems:
  configuration file (ROOT/broken.cfg:2): "computer_id COMP-1" has no "=" or ":"; write "name = value", or indent it if it continues the line above
  configuration file (ROOT/broken.cfg:4): option "master_url" stands a second time in [slapos]; remove one of the two
  instance_root (--instance-root): the directory ROOT/nowhere does not exist; create it or correct the path`)
    }),
  )

  it.effect("says which file it could not read, and who named it", () =>
    Effect.gen(function* () {
      const flags = {}
      expect(yield* messageOf({ file: place("none.cfg"), flags, env: {} })).toBe(
        "The configuration cannot be used, one problem:\n" +
          "  configuration file (command line): ROOT/none.cfg does not exist; create it or name another",
      )
      expect(yield* messageOf({ file: undefined, flags, env: { SLAPOS_CONFIGURATION: root } })).toBe(
        "The configuration cannot be used, one problem:\n" +
          "  configuration file ($SLAPOS_CONFIGURATION): ROOT is a directory; name the file in it",
      )
    }),
  )

  it.effect("says that the file has no section for a node", () =>
    Effect.gen(function* () {
      const file = write("other.cfg", "[slapos-node]\ncomputer_id = COMP-1\n")
      const { computer_id: _, ...flags } = sufficient()
      expect(yield* messageOf({ file, flags, env: {} })).toBe(
        "The configuration cannot be used, one problem:\n" +
          "  computer_id (not set): is mandatory; pass --computer-id or write it in [slapos] of ROOT/other.cfg, which has no such section",
      )
    }),
  )
})

describe("chooseFile", () => {
  const flags = { computer_id: "a", master_url: "b", instance_root: "c", software_root: "d" }
  const env = { SLAPOS_CONFIGURATION: "/env.cfg", HOME: "/home/me" }
  it.each<readonly [what: string, request: ConfigRequest, exists: boolean, chosen: ChosenFile | undefined]>([
    ["a named file", { file: "x.cfg", flags, env }, true, { path: resolve("x.cfg"), source: "command line" }],
    ["a file at home", { file: "~/x", flags, env }, false, { path: "/home/me/x", source: "command line" }],
    ["no file when flags suffice", { file: undefined, flags, env }, true, undefined],
    [
      "the variable",
      { file: undefined, flags: { ...flags, computer_id: undefined }, env },
      false,
      { path: "/env.cfg", source: "$SLAPOS_CONFIGURATION" },
    ],
    [
      "the variable, as a key lacks its certificate",
      { file: undefined, flags: { ...flags, key_file: "k" }, env },
      false,
      { path: "/env.cfg", source: "$SLAPOS_CONFIGURATION" },
    ],
    ["the default file", { file: undefined, flags: {}, env: {} }, true, { path: DEFAULT_FILE, source: "default" }],
    [
      "the default file for an empty variable",
      { file: undefined, flags: {}, env: { SLAPOS_CONFIGURATION: "" } },
      true,
      { path: DEFAULT_FILE, source: "default" },
    ],
    ["no default file that does not exist", { file: undefined, flags: {}, env: {} }, false, undefined],
  ])("%s", (_, request, exists, chosen) => {
    expect(chooseFile(request, () => exists)).toStrictEqual(chosen)
  })
})
