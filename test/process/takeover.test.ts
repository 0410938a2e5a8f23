import { describe, expect, it } from "vitest"
import { judge, type ReferenceFacts, referenceLines, refusal } from "../../src/process/takeover/findings.ts"
import { groupsIn } from "../../src/process/takeover/reference.ts"

const none: ReferenceFacts = { sockets: [], supervisors: [], passes: [], cron: [] }
const supervisor = { file: "/i/var/run/supervisord.pid", pid: 7, command: "python3 /bin/supervisord -c x" }
const pass = { file: "/opt/slapos/slapgrid-cp.pid", pid: 8, command: "python3 /opt/slapos/bin/slapos node instance" }

describe("referenceLines", () => {
  it.each([
    ["* * * * * root slapos node software --verbose", 1],
    ["* * * * * root /opt/slapos/bin/slapos node instance >> log 2>&1", 1],
    ["0 0 * * * slapos  node report", 1],
    ["*/5 * * * * root slapgrid-cp --all /etc/opt/slapos/slapos.cfg", 1],
    ["# * * * * * root slapos node software", 0],
    ["  #* * * * * root slapos node software", 0],
    ["* * * * * root slapgrid --configuration-file x", 0],
    ["* * * * * root echo slapos", 0],
    ["* * * * * root slapos node register", 0],
    ["", 0],
  ])("%s", (line, count) => {
    expect(referenceLines(`SHELL=/bin/sh\n${line}\n`)).toHaveLength(count)
  })
})

describe("refusal", () => {
  it.each<[string, ReferenceFacts]>([
    ["nothing there", none],
    [
      "a socket that nobody listens on is no supervisord",
      { ...none, supervisors: [{ ...supervisor, command: undefined }] },
    ],
    [
      "somebody else has the pid",
      { ...none, supervisors: [{ ...supervisor, command: "sleep 9" }], passes: [{ ...pass, command: "vi" }] },
    ],
    ["other entries", { ...none, cron: [{ file: "/etc/crontab", text: "@daily root backup" }] }],
  ])("%s: the node starts", (_, facts) => {
    expect(refusal(judge(facts), false)).toBeUndefined()
  })

  const everything: ReferenceFacts = {
    sockets: ["/i/sv.sock"],
    supervisors: [supervisor],
    passes: [pass],
    cron: [{ file: "/etc/cron.d/slapos", text: "# x\n* * * * * root slapos node instance\n" }],
  }

  it("names everything at once, and what to do", () => {
    expect(refusal(judge(everything), false)?.split("\n")).toStrictEqual([
      "the reference node is at work here, and everything would run twice:",
      "  its supervisord answers on /i/sv.sock: stop it, or have slapgrid take its programs over with --take-over",
      "  one of its passes runs as pid 8 (/opt/slapos/slapgrid-cp.pid): wait until it has ended",
      "  /etc/cron.d/slapos starts it again and again (* * * * * root slapos node instance): remove that entry",
    ])
  })

  it("a supervisord without a socket is found by its pid", () => {
    expect(refusal(judge({ ...none, supervisors: [supervisor] }), false)).toContain("its supervisord runs as pid 7")
  })

  it("taking over needs what starts it again to be gone, and nothing else", () => {
    expect(refusal(judge({ ...everything, passes: [], cron: [] }), true)).toBeUndefined()
    expect(refusal(judge(everything), true)?.split("\n")).toHaveLength(3)
  })
})

describe("groupsIn", () => {
  it("finds each group once", () => {
    const member = (name: string, value: string) =>
      `<member><name>${name}</name>\n<value><string>${value}</string></value></member>`
    const text = [
      member("group", "slappart0"),
      member("name", "web"),
      member("group", "slappart0"),
      member("group", "watchdog"),
    ]
    expect([...groupsIn(text.join(""))]).toStrictEqual(["slappart0", "watchdog"])
  })
})
