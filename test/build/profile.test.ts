// The texts that buildout gets: byte for byte, and as Python reads them.
import { describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { expect } from "vitest"
import { buildEnvironment, buildUmask } from "../../src/build/environment.ts"
import {
  buildoutArguments,
  instanceProfile,
  releaseProfile,
  revisionNote,
  type TailFacts,
} from "../../src/build/profile.ts"
import { computerId, release, slappart0 } from "../support/facts.ts"

/** What python3's own configparser makes of a text, sections merged as buildout does. */
const parsed = (text: string): unknown =>
  JSON.parse(
    execFileSync(
      "python3",
      [
        "-c",
        `import configparser, json, sys
parser = configparser.RawConfigParser(strict=False)
parser.optionxform = str
parser.read_string(sys.stdin.read())
print(json.dumps({section: dict(parser.items(section)) for section in parser.sections()}))`,
      ],
      { input: text, encoding: "utf8" },
    ),
  )

describe("releaseProfile", () => {
  it("has the reference's bytes", () => {
    expect(releaseProfile(release, ["/a", "/b"], [])).toBe(
      "[buildout]\nextends = https://example.com/software.cfg\nshared-part-list = /a\n\t/b\nbuild-time-part-list = \n\n",
    )
  })

  it.each([[[]], [["/a"]], [["/a", "/b", "/c"]]])("is what Python's ConfigParser writes: %j", (list) => {
    const written = execFileSync(
      "python3",
      [
        "-c",
        `import configparser, json, sys
shared = json.load(sys.stdin)
parser = configparser.RawConfigParser()
parser.add_section("buildout")
parser.set("buildout", "extends", "${release}")
parser.set("buildout", "shared-part-list", "\\n".join(shared))
parser.set("buildout", "build-time-part-list", "\\n".join(shared))
parser.write(sys.stdout)`,
      ],
      { input: JSON.stringify(list), encoding: "utf8" },
    )
    expect(releaseProfile(release, list, list)).toBe(written)
  })
})

describe("revisionNote", () => {
  it.each([
    ["[buildout]\n\n", "# NOW git revision: heads/master-0-gabc\n"],
    ["[buildout]\n# before git revision: heads/master-0-gabc\n", undefined],
    ["[buildout]\n# before git revision: heads/master-0-gold\n", "# NOW git revision: heads/master-0-gabc\n"],
    ["# git revision: heads/master-0-gabc\n# git revision: other\n", "# NOW git revision: heads/master-0-gabc\n"],
  ])("after %j", (profile, note) => {
    expect(revisionNote(profile, "heads/master-0-gabc", "NOW")).toBe(note)
  })
})

describe("buildoutArguments", () => {
  const common = ["buildout:extends-cache=/r/extends-cache", "buildout:directory=/r"]
  const end = ["-N", "-c", "/r/buildout.cfg"]
  it.each([
    ["no network cache", [], [...common, ...end]],
    ["one that is only read", [["shacache-ca-file", "/ca"]], [...common, "networkcache:shacache-ca-file=/ca", ...end]],
    ...(["signature-private-key-file", "upload-cache-url", "upload-dir-url"] as const).map(
      (key) =>
        [
          key,
          [[key, "x=y"]],
          [...common, "buildout:networkcache-section=networkcache", `networkcache:${key}=x=y`, ...end],
        ] as const,
    ),
  ] as ReadonlyArray<readonly [string, ReadonlyArray<readonly [string, string]>, ReadonlyArray<string>]>)(
    "%s",
    (_, networkCache, words) => {
      expect(buildoutArguments("/r", networkCache, { isForced: false, isDebug: false })).toStrictEqual(words)
    },
  )
})

it.each([
  ["as usual", false, false, ["-N"]],
  ["forced", true, false, []],
  ["to be looked at", false, true, ["-N", "-D"]],
  ["forced and to be looked at", true, true, ["-D"]],
] as const)("buildoutArguments %s", (_, isForced, isDebug, words) => {
  expect(buildoutArguments("/r", [], { isForced, isDebug }).slice(2, -2)).toStrictEqual(words)
})

describe("instanceProfile", () => {
  const facts: TailFacts = {
    computerId,
    partitionId: slappart0,
    serverUrl: "https://master/a%20b",
    softwareReleaseUrl: release,
    keyFile: "/c/slappart0.key",
    certFile: "/c/slappart0.crt",
    sharedPartList: ["/a", "/b"],
    buildTimePartList: [],
    requestedState: "stopped",
    storageHome: "",
    globalIpv4Network: "10.0.0.0",
  }
  const template = "[buildout]\nparts = a\n  b\nbin-directory = elsewhere\n[a]\nrecipe = x"

  it("is the template, and behind it what only the node knows, as the reference spells it", () => {
    const old = {
      computer_id: "COMP-1",
      partition_id: "slappart0",
      server_url: "https://master/a%20b",
      software_release_url: release,
      key_file: "/c/slappart0.key",
      cert_file: "/c/slappart0.crt",
    }
    expect(parsed(instanceProfile(template, facts))).toStrictEqual({
      buildout: { parts: "a\nb", "bin-directory": "${buildout:directory}/sbin", offline: "true" },
      a: { recipe: "x" },
      "slap-connection": {
        ...Object.fromEntries(Object.entries(old).map(([key, value]) => [key.replaceAll("_", "-"), value])),
        "shared-part-list": "\n/a\n/b",
        "build-time-part-list": "",
        "requested-state": "stopped",
      },
      slap_connection: old,
      "storage-configuration": { "storage-home": "" },
      "network-information": { "global-ipv4-network": "10.0.0.0" },
    })
  })

  it("keeps the template's bytes, whatever they end with", () => {
    for (const text of [template, `${template}\n`, "", "[buildout]\nparts =\n    a\n"]) {
      const profile = instanceProfile(text, facts)
      expect(profile.startsWith(`${text}\n`)).toBe(true)
      expect(parsed(profile)).toMatchObject({ buildout: { offline: "true" } })
    }
  })

  it("without certificates their paths are empty", () => {
    expect(parsed(instanceProfile(template, { ...facts, keyFile: "", certFile: "" }))).toMatchObject({
      "slap-connection": { "key-file": "", "cert-file": "" },
    })
  })
})

describe("buildEnvironment", () => {
  it("is what is inherited, the home, and no user's Python packages", () => {
    expect(buildEnvironment({ PATH: "/bin", HOME: "/root" }, "/r")).toStrictEqual({
      PATH: "/bin",
      HOME: "/r",
      PYTHONNOUSERSITE: "true",
    })
    expect(buildEnvironment({}, "/r", "/i")).toMatchObject({ SLAPGRID_INSTANCE_ROOT: "/i" })
    expect(buildUmask).toBe(0o027)
  })
})
