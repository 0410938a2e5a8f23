// By what the reference is recognised, and by what it is not.
import { describe, expect, it } from "vitest"
import {
  canBeTakenOver,
  configOf,
  type Finding,
  isCronName,
  isSupervisord,
  passOf,
  refusalOf,
  scheduledIn,
} from "../../../src/process/takeover/reference.ts"

describe("a pass", () => {
  it.each([
    ["slapos node instance", "slapos node instance"],
    ["/opt/slapos/bin/python3 /opt/slapos/bin/slapos node software --all", "slapos node software"],
    ["slapos --verbose node report", "slapos node report"],
    ["slapos -q node promise --cfg /etc/x.cfg", "slapos node promise"],
    ["python3 -m slapos.cli.entry node instance", "slapos node instance"],
    ["slapos node status", "slapos node status"],
    ["/usr/bin/flock -n /run/x /usr/local/bin/slapos node prune", "slapos node prune"],
    ["/usr/bin/slapgrid-cp /etc/opt/slapos/slapos.cfg", "slapgrid-cp"],
    ["slapgrid-sr", "slapgrid-sr"],
    ["slapgrid-ur --verbose", "slapgrid-ur"],
    ["slapgrid-supervisord", "slapgrid-supervisord"],
    // What may go on beside slapgrid.
    ["slapos node format --now", undefined],
    ["slapos node boot", undefined],
    ["slapos node collect", undefined],
    ["slapos node", undefined],
    ["slapos proxy start", undefined],
    ["slapos service info x", undefined],
    // A recycled pid: services and builds have these names in their paths.
    ["/opt/slapgrid/0123/bin/python /srv/slapgrid/slappart1/etc/service/web", undefined],
    ["/usr/bin/node /usr/local/bin/slapgrid --configuration-file /etc/opt/slapos/slapos.cfg", undefined],
    ["vi /opt/slapos/slapgrid-cp.pid", undefined],
    ["sleep 1000", undefined],
    ["", undefined],
  ])("%s: %s", (line, expected) => {
    expect(passOf(line.split(" "))).toBe(expected)
  })
})

describe("the configuration of a pass", () => {
  it.each([
    ["slapos node instance", undefined],
    ["slapos node instance --cfg /srv/a/slapos.cfg --all", "/srv/a/slapos.cfg"],
    ["slapos node instance --cfg=/srv/a/slapos.cfg", "/srv/a/slapos.cfg"],
    ["env SLAPOS_CONFIGURATION=/srv/b.cfg slapos node instance", "/srv/b.cfg"],
    ["slapgrid-cp --verbose /etc/opt/slapos/slapos.cfg", "/etc/opt/slapos/slapos.cfg"],
    ["slapos node instance --logfile /var/log/x.log", undefined],
  ])("%s: %s", (line, expected) => {
    expect(configOf(line.split(" "))).toBe(expected)
  })
})

describe("supervisord", () => {
  const roots = ["/srv/slapgrid", "/data/slapgrid"]
  it.each([
    ["/usr/bin/python3 /usr/bin/supervisord -c /srv/slapgrid/etc/supervisord.conf", true],
    ["python -c import supervisor.supervisord ; sys.argv[1:1]=['-c', '/data/slapgrid/etc/supervisord.conf']", true],
    ["supervisord", true],
    ["/usr/bin/python3 /usr/bin/supervisord -n -c /etc/supervisor/supervisord.conf", false],
    ["supervisord -c /srv/slapgrid2/etc/supervisord.conf", false],
    ["vi /etc/supervisord.conf", false],
    ["sleep 1000", false],
    ["", false],
  ])("%s: %s", (line, expected) => {
    expect(isSupervisord(line, roots)).toBe(expected)
  })
})

describe("a crontab", () => {
  const passes = (text: string, hasUser = true) =>
    scheduledIn("/etc/cron.d/slapos", text, hasUser).map(({ command, config, line }) => [line, command, config])

  it.each([
    ["nothing", "", []],
    ["a comment", "#* * * * * root slapos node instance\n  # slapos node instance\n", []],
    ["another command", "0 * * * * root slapos node format --now\n0 0 * * * root backup\n", []],
    ["an entry", "SHELL=/bin/sh\n\n* * * * * root slapos node instance >>/x.log 2>&1\n", [3, "slapos node instance"]],
    ["a tab and steps", "*/5\t*\t*\t*\t*\troot\t/usr/local/bin/slapos node software", [1, "slapos node software"]],
    ["a nickname", "@reboot root slapos node instance", [1, "slapos node instance"]],
    ["the second of two commands", "0 0 * * * root sleep 9 && slapos node report", [1, "slapos node report"]],
    ["a shell", '0 0 * * * root sh -c "cd / ; slapgrid-ur"', [1, "slapgrid-ur"]],
    // The user has that name, the command has not.
    ["a user called slapos", "0 0 * * * slapos node instance", []],
  ] as const)("with %s", (_, text, expected) => {
    expect(passes(text).flat()).toStrictEqual(expected.length === 0 ? [] : [...expected, undefined])
  })

  it("of a user names no users", () => {
    expect(passes("* * * * * slapos node instance", false)).toStrictEqual([[1, "slapos node instance", undefined]])
  })

  it("says which configuration it is about, in the line or above it", () => {
    const text = `0 0 * * * root slapos node instance
SLAPOS_CONFIGURATION = "/srv/b/slapos.cfg"
0 0 * * * root slapos node software
0 0 * * * root slapos node report --cfg /srv/c/slapos.cfg`
    expect(passes(text).map(([, , config]) => config)).toStrictEqual([
      undefined,
      "/srv/b/slapos.cfg",
      "/srv/c/slapos.cfg",
    ])
  })

  it.each([
    ["slapos", true],
    ["slapos-node_2", true],
    ["slapos.disabled", false],
    ["slapos.dpkg-old", false],
    ["slapos~", false],
    [".placeholder", false],
  ])("called %s: %s", (name, expected) => {
    expect(isCronName(name)).toBe(expected)
  })
})

describe("a refusal", () => {
  const supervisord: Finding = {
    _tag: "Supervisord",
    file: "/srv/slapgrid/sv.sock",
    pid: 12,
    groups: ["slappart0", "slappart1", "slappart2", "slappart3", "slappart4", "slappart5", "slappart6"],
    problem: undefined,
  }
  const deaf: Finding = { ...supervisord, problem: "supervisord (pid 12) listens on no socket", groups: [] }
  const stranger: Finding = { ...deaf, problem: "what listens on /x does not answer: no XML", pid: undefined }
  const pass: Finding = { _tag: "Pass", file: "/opt/slapos/slapgrid-cp.pid", pid: 34, command: "slapos node instance" }
  const scheduled: Finding = {
    _tag: "Scheduled",
    file: "/etc/cron.d/slapos",
    line: 3,
    command: "slapos node software",
    config: undefined,
  }

  it("names everything that was found, and what to do about each", () => {
    expect(refusalOf("/srv/slapgrid", [supervisord, deaf, stranger, pass, scheduled]).split("\n")).toStrictEqual([
      "the reference still runs this node, and everything in /srv/slapgrid would run twice:",
      "  supervisord (pid 12) listens on /srv/slapgrid/sv.sock and has the programs of slappart0, slappart1, slappart2, slappart3, slappart4 and 2 others: start slapgrid with --take-over, or end it (supervisorctl -s unix:///srv/slapgrid/sv.sock shutdown)",
      "  supervisord (pid 12) listens on no socket: end it (kill 12)",
      "  what listens on /x does not answer: no XML: end it",
      "  slapos node instance (pid 34) holds /opt/slapos/slapgrid-cp.pid: wait until it has ended, or end it",
      "  /etc/cron.d/slapos:3 starts slapos node software: remove the line or make it a comment",
    ])
  })

  it("is for everything but a supervisord that answers when it is taken over", () => {
    expect([supervisord, deaf, stranger, pass, scheduled].map(canBeTakenOver)).toStrictEqual([
      true,
      false,
      false,
      false,
      false,
    ])
  })
})
