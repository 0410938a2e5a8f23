import { afterEach, describe, expect, it, vi } from "vitest"
import { hasTlsProxy } from "../../src/files/network.ts"

const names = ["http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY"] as const

describe("a proxy that speaks TLS", () => {
  afterEach(() => {
    vi.unstubAllEnvs()
  })

  it.each([
    ["is none", {}, false],
    ["is none that is plain", { http_proxy: "http://proxy:3128", HTTPS_PROXY: "http://https:3128" }, false],
    ["is one for https", { https_proxy: "https://proxy:3128" }, true],
    ["is one for http, in any case", { http_proxy: "http://proxy:3128", HTTP_PROXY: "HTTPS://proxy:3128" }, true],
  ])("%s", (_, environment: Readonly<Record<string, string>>, isThere) => {
    for (const name of names) vi.stubEnv(name, environment[name] ?? "")
    expect(hasTlsProxy()).toBe(isThere)
  })
})
