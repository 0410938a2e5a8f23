import { describe, it } from "@effect/vitest"
import { expect } from "vitest"
import { isProgramOf, programEnvironment, programLog, programs } from "../../../src/process/service/programs.ts"
import { slappart0 } from "../../support/facts.ts"

const entry = (name: string) => ({ name, hash: `hash of ${name}` })
const named = (run: ReadonlyArray<string>, service: ReadonlyArray<string>) =>
  programs(
    slappart0,
    { path: "/i/slappart0", owner: { uid: 7, gid: 8 } },
    { run: run.map(entry), service: service.map(entry) },
  )

describe("programs", () => {
  it("are the files of etc/run and of etc/service, these with a mark", () => {
    expect(named(["once"], ["web"])).toStrictEqual([
      {
        partition: slappart0,
        kind: "run",
        name: "once",
        path: "/i/slappart0/etc/run/once",
        hash: "hash of once",
        user: "7:8",
      },
      {
        partition: slappart0,
        kind: "service",
        name: "web-on-watch",
        path: "/i/slappart0/etc/service/web",
        hash: "hash of web",
        user: "7:8",
      },
    ])
  })

  it.each([
    ["none", [], [], []],
    ["a file name in both folders", ["a", "b"], ["b"], ["a", "b-on-watch"]],
    ["a run program called like a watched one", ["web-on-watch", "x"], ["web"], ["x", "web-on-watch"]],
    ["the mark alone is nothing special", ["web-on-watch"], ["x"], ["web-on-watch", "x-on-watch"]],
  ] as const)("%s", (_, run, service, names) => {
    expect(named(run, service).map(({ name }) => name)).toStrictEqual(names)
  })
})

describe("programEnvironment", () => {
  const [spec] = named([], ["web"])

  it("is the reference's and nothing else", () => {
    expect(programEnvironment(spec!, { name: "slapuser0", home: "/home/u0" }, "/i/slappart0", "/i")).toStrictEqual({
      USER: "slapuser0",
      LOGNAME: "slapuser0",
      HOME: "/home/u0",
      LC_CTYPE: "C.UTF-8",
      SUPERVISOR_ENABLED: "1",
      SUPERVISOR_GROUP_NAME: "slappart0",
      SUPERVISOR_PROCESS_NAME: "web-on-watch",
      SUPERVISOR_SERVER_URL: "unix:///i/sv.sock",
    })
  })

  it("an owner without passwd entry is at home in the partition", () => {
    expect(programEnvironment(spec!, { name: "4711", home: undefined }, "/i/slappart0", "/i")).toMatchObject({
      USER: "4711",
      HOME: "/i/slappart0",
    })
  })
})

describe("isProgramOf", () => {
  const [spec] = named([], ["web"])
  const variables = programEnvironment(spec!, { name: "4711", home: undefined }, "/i/slappart0", "/i")
  const changes = [
    ["what was started as one", {}, [], true],
    ["one of those named", {}, ["once", "web-on-watch"], false],
    ["one beside those named", {}, ["once", "web"], true],
    ["another partition's", { SUPERVISOR_GROUP_NAME: "slappart01" }, [], false],
    ["another node's", { SUPERVISOR_SERVER_URL: "unix:///j/sv.sock" }, [], false],
  ] as const
  it.each(changes)("%s", (_, changed, except, expected) => {
    const environment = new Set(Object.entries({ ...variables, ...changed }).map(([name, value]) => `${name}=${value}`))
    expect(isProgramOf(slappart0, "/i", except)(environment)).toBe(expected)
  })
  it("nothing that is known of it", () => expect(isProgramOf(slappart0, "/i", [])(new Set())).toBe(false))
})

it.each([
  ["run", "once", ".slappart0_once.log"],
  ["service", "web", ".slappart0_web.log"],
] as const)("the log of etc/%s/%s is %s, without the mark", (kind, name, log) => {
  const [spec] = kind === "run" ? named([name], []) : named([], [name])
  expect(programLog(spec!)).toBe(log)
})
