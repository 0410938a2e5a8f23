import { describe, it } from "@effect/vitest"
import { execFileSync } from "node:child_process"
import { expect } from "vitest"
import { type Credentials, refusal, wrap } from "../../src/process/privileges.ts"

const user: Credentials = { uid: 1001, gid: 1002, groups: [1002, 2000, 2000], name: "u", home: "/home/u" }
const shell = (umask: string) => ["/bin/sh", "-c", `umask ${umask} && exec "$@"`, "sh"]

describe("wrap", () => {
  it("for the agent's own user: a shell for the umask alone", () => {
    expect(
      wrap(["/bin/x", "a b"], { credentials: undefined, cgroup: undefined, dieWithAgent: false, umask: 0o022 }),
    ).toStrictEqual([...shell("022"), "/bin/x", "a b"])
  })

  it("work dies with the agent", () => {
    expect(wrap(["x"], { credentials: undefined, cgroup: undefined, dieWithAgent: true, umask: 0o7 })).toStrictEqual([
      ...shell("007"),
      "/usr/bin/setpriv",
      "--pdeathsig=KILL",
      "--",
      "x",
    ])
  })

  it("another user gets its groups once each, no capabilities and no way to more", () => {
    expect(wrap(["x"], { credentials: user, cgroup: undefined, dieWithAgent: false, umask: 0o027 })).toStrictEqual([
      ...shell("027"),
      "/usr/bin/setpriv",
      "--reuid=1001",
      "--regid=1002",
      "--groups=1002,2000",
      "--inh-caps=-all",
      "--no-new-privs",
      "--",
      "x",
    ])
  })

  it("words of the command stay words, whatever they hold", () => {
    const words = ["-c", "a;b", "$HOME", "", "'\"", "line\nline"]
    const [file, ...args] = wrap(["/usr/bin/env", "printf", "<%s>", ...words], {
      credentials: undefined,
      cgroup: undefined,
      dieWithAgent: true,
      umask: 0o022,
    })
    expect(execFileSync(file!, args, { encoding: "utf8" })).toBe(words.map((word) => `<${word}>`).join(""))
  })
})

describe("refusal", () => {
  it.each([
    [0, 0],
    [0, 5],
    [5, 0],
  ])("uid %d, gid %d", (uid, gid) => {
    expect(refusal({ uid, gid }, "/i/slappart0")).toBe(
      `/i/slappart0 belongs to uid ${uid} and gid ${gid}: nothing is run as root; chown it to its own user`,
    )
  })

  it("nobody else is refused", () => {
    expect(refusal({ uid: 1, gid: 1 }, "/i/slappart0")).toBeUndefined()
  })
})
