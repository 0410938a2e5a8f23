import { describe, expect, it } from "vitest"
import { answerTimes, failureOf } from "../../src/demo/DemoStatus.ts"
import { answering, demo, instance, node, partition, service, software, start } from "./facts.ts"

describe("answerTimes", () => {
  it.each([
    ["nobody answered", [instance(), instance()], { first: undefined, all: undefined }],
    ["one of two answered", [answering(), instance()], { first: 3500, all: undefined }],
    ["both answered", [answering(), answering({ answeredAt: start + 100 })], { first: 100, all: 3500 }],
  ])("%s", (_, instances, times) => {
    expect(answerTimes(demo({ instances }))).toStrictEqual(times)
  })
})

describe("failureOf", () => {
  it.each([
    ["all is well", node({ partitions: [partition(0)] }), /^undefined$/],
    [
      "a build failed",
      node({ software: [software({ state: "failed", error: "no disk" })] }),
      /cannot be built: no disk/,
    ],
    ["a build is tried again", node({ software: [software({ state: "building", error: undefined })] }), /^undefined$/],
    [
      "an installation failed",
      node({ partitions: [partition(1, { state: "failed", error: "no port" })] }),
      /slappart1.*no port/,
    ],
    [
      "a service came back",
      node({ partitions: [partition(0, { services: [service({ restarts: 2 })] })] }),
      /^undefined$/,
    ],
    [
      "a service keeps ending",
      node({ partitions: [partition(0, { services: [service({ restarts: 5 })] })] }),
      /http-on-watch of slappart0/,
    ],
  ])("%s", (_, status, expected) => {
    expect(String(failureOf(demo({ node: status })))).toMatch(expected)
  })
})
