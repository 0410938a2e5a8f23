import { readFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { parseDialect } from "../../src/config/dialect.ts"
import { resolveSettings } from "../../src/config/settings.ts"
import * as Result from "effect/Result"
import { secret } from "../support/secret.ts"

const node = `[slapos]
computer_id = COMP-1
master_url = http://127.0.0.1/
instance_root = /srv/slapgrid
software_root = /opt/slapgrid
`

const settle = (text: string) =>
  resolveSettings(
    { flags: {}, file: { path: "/slapos.cfg", document: Result.getOrThrow(parseDialect(text)) } },
    { fileHint: "", complete: true, buildout: "/usr/bin/buildout" },
  )

const cacheOf = (lines: string) => settle(`${node}[networkcache]\n${lines}`).config?.networkCache

const problemsOf = (lines: string) =>
  settle(`${node}[networkcache]\n${lines}`).problems.map(({ option, problem, source }) => [option, source, problem])

describe("the network cache", () => {
  it.each([
    ["one URL alone", "download-binary-cache-url = http://a"],
    ["an empty one", "download-binary-cache-url = http://a\ndownload-binary-dir-url =\n"],
  ])("is none with %s", (_, lines) => {
    expect(cacheOf(lines)?.download).toBeUndefined()
  })

  it("is at URLs without the slash at their end, with what else they have", () => {
    expect(
      cacheOf("download-binary-cache-url = https://u:p@a/x/\ndownload-binary-dir-url = http://[::1]:80")?.download,
    ).toStrictEqual({ cacheUrl: secret("https://u:p@a/x"), dirUrl: secret("http://[::1]:80") })
  })

  it("leaves out what its lists name, one a line; the older name of the first holds until there is the newer", () => {
    const older = "binary-cache-url-blacklist =\n  http://old/\n"
    expect(cacheOf(older)?.neverDownloaded).toStrictEqual(["http://old/"])
    const newer = `${older}download-from-binary-cache-url-blacklist =\n  http://a/\n\n  /b\n`
    expect(cacheOf(newer)?.neverDownloaded).toStrictEqual(["http://a/", "/b"])
  })

  it("trusts nobody when the list is missing or empty", () => {
    expect(cacheOf("")?.trusted).toStrictEqual([])
    expect(cacheOf("signature-certificate-list =\n")?.trusted).toStrictEqual([])
  })

  it("trusts certificates one after the other, with blank lines between them or none", () => {
    const file = readFileSync(join(import.meta.dirname, "fixtures/slapos.cfg"), "utf8")
    const list = file.slice(file.indexOf("signature-certificate-list"), file.indexOf("shacache-ca-file"))
    const spaced = list.replace("  -----END CERTIFICATE-----\n", "  -----END CERTIFICATE-----\n\n")
    expect(cacheOf(spaced)?.trusted).toHaveLength(2)
    expect(cacheOf(spaced)?.trusted).toStrictEqual(cacheOf(list)?.trusted)
  })

  it("tells all that is wrong, each with its place", () => {
    const lines = `download-binary-cache-url = shacache.example.com
download-binary-dir-url = ftp://a
upload-binary-cache-url = http://a/?b
upload-binary-dir-url = http:///a
signature-certificate-list =
  -----BEGIN CERTIFICATE-----
  AAAA
  -----END CERTIFICATE-----
`
    const isNone = "is not an http or https URL; write one such as https://shacache.example.com"
    expect(problemsOf(lines)).toStrictEqual([
      ["download-binary-cache-url", "/slapos.cfg:7 [networkcache]", `"shacache.example.com" ${isNone}`],
      ["download-binary-dir-url", "/slapos.cfg:8 [networkcache]", `"ftp://a" ${isNone}`],
      [
        "upload-binary-cache-url",
        "/slapos.cfg:9 [networkcache]",
        `"http://a/?b" has a query or fragment, to which nothing can be added; remove it`,
      ],
      ["upload-binary-dir-url", "/slapos.cfg:10 [networkcache]", `"http:///a" ${isNone}`],
      [
        "signature-certificate-list",
        "/slapos.cfg:11 [networkcache]",
        "certificate number 1 cannot be read; copy it anew from whoever signs, as PEM",
      ],
    ])
    expect(problemsOf("signature-certificate-list = /etc/signers.pem\n")[0]?.[2]).toContain("does not begin with")
  })
})
