import { describe, expect, it } from "vitest"
import type { DemoStatus } from "../../src/demo/DemoStatus.ts"
import { events, summary } from "../../src/demo/events.ts"
import { signaled } from "../../src/domain/ExitStatus.ts"
import { answering, demo, instance, node, partition, service, software, start, url } from "./facts.ts"

const withPartition = (changes: Parameters<typeof partition>[1]): DemoStatus =>
  demo({ node: node({ partitions: [partition(0, changes)] }) })
const withSoftware = (changes: Parameters<typeof software>[0]): DemoStatus =>
  demo({ node: node({ software: [software(changes)] }) })
const withInstance = (one: DemoStatus["instances"][number]): DemoStatus => demo({ instances: [one] })

const running = withPartition({})

describe("events", () => {
  it("the first look tells where everything is", () => {
    expect(events(undefined, demo({ node: node({ software: [] }) }))).toStrictEqual([
      "the master listens on http://127.0.0.1:5000/, files are in /tmp/demo",
    ])
  })

  const cases: ReadonlyArray<readonly [string, DemoStatus, DemoStatus, ReadonlyArray<string>]> = [
    ["nothing changed", running, running, []],
    ["a new line of a build", withSoftware({ lastLines: ["a"] }), withSoftware({ lastLines: ["b"] }), []],
    [
      "a build that ended",
      withSoftware({ state: "building" }),
      withSoftware({ state: "available" }),
      [`software release ${url} is available`],
    ],
    [
      "a build that failed",
      withSoftware({ state: "building" }),
      withSoftware({ state: "failed", error: "log\nno such recipe\u0007" }),
      [`software release ${url} has failed: no such recipe\\x07`],
    ],
    [
      "a partition that started",
      withPartition({ state: "installing", services: [] }),
      running,
      ["slappart0 is started", "slappart0:http-on-watch is running with pid 100"],
    ],
    [
      "a service that came back between two looks",
      running,
      withPartition({ services: [service({ pid: 101, restarts: 1, lastExit: signaled("SIGKILL") })] }),
      ["slappart0:http-on-watch is running again (killed by SIGKILL) with pid 101"],
    ],
    [
      "a service that waits for its next try",
      running,
      withPartition({ services: [service({ state: "backoff", pid: undefined, error: "no such file" })] }),
      ["slappart0:http-on-watch is backoff: no such file"],
    ],
    [
      "an address and its first answer",
      withInstance(instance()),
      withInstance(answering()),
      ["instance english has published http://127.0.0.1:20000/", "instance english answers: Hello"],
    ],
    [
      "an instance that fell silent",
      withInstance(answering()),
      withInstance(answering({ problem: "refused" })),
      ["instance english does not answer: refused"],
    ],
    [
      "an instance that answers again",
      withInstance(answering({ problem: "refused" })),
      withInstance(answering()),
      ["instance english answers: Hello"],
    ],
    [
      "a master that is away",
      demo(),
      demo({ node: node({ sync: { lastSuccess: start, standing: "Away", error: "no answer" } }) }),
      ["master: no answer"],
    ],
  ]
  it.each(cases)("%s", (_, before, after, expected) => {
    expect(events(before, after)).toStrictEqual(expected)
  })
})

describe("the summary", () => {
  it("is empty before all have answered", () => {
    expect(summary(demo({ instances: [answering(), instance({ title: "french" })] }))).toStrictEqual([])
  })

  it("tells times and addresses", () => {
    const instances = [
      answering(),
      answering({ title: "french", url: "http://127.0.0.1:2/", answeredAt: start + 4100 }),
    ]
    expect(summary(demo({ instances }))).toStrictEqual([
      "all 2 instances answer: the first after 3.5 s, all after 4.1 s",
      "english: http://127.0.0.1:20000/",
      "french: http://127.0.0.1:2/",
    ])
  })
})
