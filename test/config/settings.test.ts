// The merge of flags, file and defaults, and the wording of every problem that needs no disk.
import { readFileSync } from "node:fs"
import { join, resolve } from "node:path"
import * as Result from "effect/Result"
import { describe, expect, it } from "vitest"
import { parseDialect } from "../../src/config/dialect.ts"
import { resolveSettings } from "../../src/config/settings.ts"
import type { Settings, Surroundings } from "../../src/config/settings.ts"
import type { Flags } from "../../src/config/sources.ts"
import { noNetworkCache } from "../support/facts.ts"
import { secret } from "../support/secret.ts"

const surroundings: Surroundings = { fileHint: "[slapos] of /x.cfg", complete: true, buildout: "/usr/bin/buildout" }

const settle = (text: string, flags: Flags = {}, others: Partial<Surroundings> = {}): Settings => {
  const file = { path: "/x.cfg", document: Result.getOrThrow(parseDialect(text)) }
  return resolveSettings({ flags, file }, { ...surroundings, ...others })
}

const mandatory = `
computer_id = COMP-1
master_url = https://slap.example.com/
instance_root = /srv/slapgrid
software_root = /opt/slapgrid
`
const problemsOf = (settings: Settings): ReadonlyArray<string> =>
  settings.problems.map(({ option, source, problem }) => `${option} (${source}): ${problem}`)

const certificate = /^-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n$/

describe("resolveSettings", () => {
  it("has a default for whatever is not mandatory", () => {
    expect(settle(`[slapos]${mandatory}`).config).toStrictEqual({
      computerId: "COMP-1",
      masterUrl: secret("https://slap.example.com/"),
      instanceRoot: "/srv/slapgrid",
      softwareRoot: "/opt/slapgrid",
      certificates: undefined,
      masterCaFile: undefined,
      masterVerify: true,
      buildout: "/usr/bin/buildout",
      sharedPartList: [],
      buildTimePartList: [],
      buildoutNetworkCache: [],
      networkCache: noNetworkCache,
      instanceStorageHome: "",
      ipv4GlobalNetwork: "",
      syncInterval: 60_000,
      warmBuildout: true,
      warmIdle: 60_000,
      maximalDelay: 0,
      reportInterval: 86_400_000,
      stopTimeout: 60_000,
      maximumPeriodicity: 86_400_000,
      instanceConcurrency: undefined,
      runsPrerm: false,
      partitionTimeout: undefined,
      promiseTimeout: 20_000,
      promiseConcurrency: 2,
      softwareConcurrency: 1,
      softwareTimeout: undefined,
      softwareMinFreeSpace: 1000 * 1024 ** 2,
      instanceMinFreeSpace: 1000 * 1024 ** 2,
      serviceLogMaxSize: 100 * 1024,
      partitionLimits: { memory: undefined, pids: undefined, processors: undefined },
      referencePidFiles: ["/opt/slapos/slapgrid-sr.pid", "/opt/slapos/slapgrid-cp.pid", "/opt/slapos/slapgrid-ur.pid"],
      rootCheck: true,
    })
  })

  it("reads a node's whole file", () => {
    const settings = settle(readFileSync(join(import.meta.dirname, "fixtures/slapos.cfg"), "utf8"))
    expect(settings.problems).toStrictEqual([])
    expect(settings.config).toStrictEqual({
      computerId: "COMP-1234",
      masterUrl: secret("https://slap.example.com/"),
      instanceRoot: "/srv/slapgrid",
      softwareRoot: "/opt/slapgrid",
      certificates: {
        keyFile: "/etc/opt/slapos/ssl/computer.key",
        certFile: "/etc/opt/slapos/ssl/computer.crt",
        repositoryPath: "/etc/opt/slapos/ssl/partition_pki",
      },
      masterCaFile: "/etc/opt/slapos/ssl/master-ca.crt",
      masterVerify: false,
      buildout: "/opt/slapos/bin/buildout",
      sharedPartList: ["/opt/slapgrid/read_only_shared", "/opt/slapgrid/shared"],
      buildTimePartList: ["/opt/build-time/parts"],
      buildoutNetworkCache: [
        ["signature-private-key-file", "/etc/opt/slapos/shacache/signature.key"],
        ["upload-cache-url", "https://shacache.example.com/shacache"],
        ["upload-dir-url", "https://shadir.example.com/shadir"],
        ["shacache-ca-file", "/etc/opt/slapos/shacache/ca.cert"],
        ["shacache-cert-file", "/etc/opt/slapos/shacache/shacache.cert"],
        ["shacache-key-file", "/etc/opt/slapos/shacache/shacache.key"],
        ["shadir-ca-file", "/etc/opt/slapos/shacache/ca.cert"],
        ["shadir-cert-file", "/etc/opt/slapos/shacache/shadir.cert"],
        ["shadir-key-file", "/etc/opt/slapos/shacache/shadir.key"],
      ],
      networkCache: {
        download: {
          cacheUrl: secret("http://shacache.example.com"),
          dirUrl: secret("http://shadir.example.com"),
        },
        upload: {
          cacheUrl: secret("https://shacache.example.com/binary"),
          dirUrl: secret("https://shadir.example.com/binary"),
        },
        trusted: [expect.stringMatching(certificate), expect.stringMatching(certificate)],
        signatureKeyFile: "/etc/opt/slapos/shacache/signature.key",
        shacache: {
          caFile: "/etc/opt/slapos/shacache/ca.cert",
          certFile: "/etc/opt/slapos/shacache/shacache.cert",
          keyFile: "/etc/opt/slapos/shacache/shacache.key",
        },
        shadir: {
          caFile: "/etc/opt/slapos/shacache/ca.cert",
          certFile: "/etc/opt/slapos/shacache/shadir.cert",
          keyFile: "/etc/opt/slapos/shacache/shadir.key",
        },
        neverDownloaded: ["https://lab.example.com/slapos/raw/master", "https://lab.example.com/slapos/raw/1.0/"],
        neverUploaded: ["https://lab.example.com/slapos/raw/master", "/"],
        onlyDownloaded: ["https://lab.example.com/slapos/raw/1.0.300/"],
      },
      instanceStorageHome: "/srv/storage",
      ipv4GlobalNetwork: "10.0.0.0/16",
      syncInterval: 45_000,
      warmBuildout: false,
      warmIdle: 300_000,
      maximalDelay: 300_000,
      reportInterval: 43_200_000,
      stopTimeout: 90_000,
      maximumPeriodicity: 172_800_000,
      instanceConcurrency: undefined,
      runsPrerm: false,
      partitionTimeout: 3_600_000,
      promiseTimeout: 30_000,
      promiseConcurrency: 2,
      softwareConcurrency: 2,
      softwareTimeout: 7_200_000,
      softwareMinFreeSpace: 1500 * 1024 ** 2,
      instanceMinFreeSpace: 2 * 1024 ** 3,
      serviceLogMaxSize: 100 * 1024,
      partitionLimits: { memory: 4 * 1024 ** 3, pids: 500, processors: 1.5 },
      referencePidFiles: ["/opt/slapos/slapgrid-sr.pid", "/opt/slapos/slapgrid-cp.pid", "/opt/slapos/slapgrid-ur.pid"],
      rootCheck: false,
    })
  })

  it.each([
    [
      "each by itself",
      "pidfile_software = /a.pid\npidfile_report = /c.pid\n",
      ["/a.pid", "/opt/slapos/slapgrid-cp.pid", "/c.pid"],
    ],
    ["all at once", "pidfile = /all.pid\npidfile_instance = /b.pid\n", ["/all.pid", "/b.pid", "/all.pid"]],
  ])("knows where passes of the reference write their pids: %s", (_, text, expected) => {
    expect(settle(`[slapos]${mandatory}${text}`).config?.referencePidFiles).toStrictEqual(expected)
  })

  it("names every path that has to be there", () => {
    const settings = settle(readFileSync(join(import.meta.dirname, "fixtures/slapos.cfg"), "utf8"))
    expect(settings.paths.map(({ option, kind, access }) => `${option}: ${kind} ${access}`)).toStrictEqual([
      "instance_root: directory write",
      "software_root: directory write",
      "key_file: file read",
      "cert_file: file read",
      "certificate_repository_path: directory none",
      "master_ca_file: file read",
      "buildout: file read",
      "signature-private-key-file: file read",
      "shacache-ca-file: file read",
      "shacache-cert-file: file read",
      "shacache-key-file: file read",
      "shadir-ca-file: file read",
      "shadir-cert-file: file read",
      "shadir-key-file: file read",
    ])
  })

  it.each<readonly [rule: string, text: string, flags: Flags, computer: string]>([
    ["a flag wins", `[slapos]${mandatory}`, { computer_id: "FLAG" }, "FLAG"],
    ["an absent flag does not", `[slapos]${mandatory}`, { computer_id: undefined }, "COMP-1"],
    ["[slapgrid] wins over [slapos]", `[slapos]${mandatory}[slapgrid]\ncomputer_id = OLD`, {}, "OLD"],
    ["[slapgrid] alone is enough", `[slapgrid]${mandatory}`, {}, "COMP-1"],
    ["[DEFAULT] is last", `[DEFAULT]\ncomputer_id = D\n[slapos]${mandatory}[slapgrid]\n`, {}, "COMP-1"],
    [
      "[DEFAULT] counts",
      `[DEFAULT]\ncomputer_id = D\n[slapos]${mandatory.replace("computer_id = COMP-1\n", "")}`,
      {},
      "D",
    ],
    ["a network cache changes nothing else", `[slapos]${mandatory}[networkcache]\ncomputer_id = X`, {}, "COMP-1"],
  ])("%s", (_, text, flags, computer) => {
    expect(settle(text, flags).config?.computerId).toBe(computer)
  })

  it("makes relative paths absolute, and leaves a list of parts as it is", () => {
    const text = `[slapos]${mandatory}instance_storage_home = store/../data\nshared_part_list = parts\n`
    const { config } = settle(text, {
      instance_root: "here",
      key_file: "k",
      cert_file: "c",
      certificate_repository_path: "r",
    })
    expect(config?.instanceRoot).toBe(resolve("here"))
    expect(config?.certificates).toStrictEqual({
      keyFile: resolve("k"),
      certFile: resolve("c"),
      repositoryPath: resolve("r"),
    })
    expect(config?.instanceStorageHome).toBe(resolve("data"))
    expect(config?.sharedPartList).toStrictEqual(["parts"])
  })

  it("takes the network cache from its section, else from [slapos], in both spellings", () => {
    const slapos = `[slapos]${mandatory}signature_private_key_file = /old\nupload-cache-url = http://a/\nupload-dir-url = http://b/\n`
    expect(settle(`${slapos}[networkcache]\nupload-dir-url = http://c/`).config?.buildoutNetworkCache).toStrictEqual([
      ["signature-private-key-file", "/old"],
      ["upload-cache-url", "http://a/"],
      ["upload-dir-url", "http://c/"],
    ])
  })

  it("accepts what belongs to others, and empty optional values", () => {
    const own = "whatever = 50% off\nmaster_ca_file =\nbuildout =\nmanager_list =\n"
    const text = `[slapos]${mandatory}${own}[firewall]\n[slapformat]\nx = %(y)s\n[manager:prerm]\na = 1`
    expect(settle(text).problems).toStrictEqual([])
  })

  it("has the manager prerm, and a number of partitions at once", () => {
    const { config } = settle(`[slapos]${mandatory}manager_list = prerm\ninstance_concurrency = 3`)
    expect(config).toMatchObject({ runsPrerm: true, instanceConcurrency: 3 })
  })

  it.each<readonly [what: string, text: string, flags: Flags, problems: ReadonlyArray<string>]>([
    [
      "nothing at all",
      "[slapos]",
      {},
      [
        "computer_id (not set): is mandatory; pass --computer-id or write it in [slapos] of /x.cfg",
        "master_url (not set): is mandatory; pass --master-url or write it in [slapos] of /x.cfg",
        "instance_root (not set): is mandatory; pass --instance-root or write it in [slapos] of /x.cfg",
        "software_root (not set): is mandatory; pass --software-root or write it in [slapos] of /x.cfg",
      ],
    ],
    [
      "empty values",
      `[slapos]${mandatory}[slapgrid]\ncomputer_id =`,
      { software_root: "" },
      [
        "computer_id (/x.cfg:7 [slapgrid]): is empty, and it is mandatory; give it a value",
        "software_root (--software-root): is empty, and it is mandatory; give it a value",
      ],
    ],
    [
      "a key alone",
      `[slapos]${mandatory}key_file = /k`,
      {},
      [
        "cert_file (not set): is mandatory with a key_file or cert_file; pass --cert-file or write it in [slapos] of /x.cfg",
        "certificate_repository_path (not set): is mandatory with a key_file or cert_file; pass --certificate-repository-path or write it in [slapos] of /x.cfg",
      ],
    ],
    [
      "a certificate and an empty key",
      `[slapos]${mandatory}key_file =\ncertificate_repository_path = /r`,
      { cert_file: "/c" },
      ["key_file (/x.cfg:6 [slapos]): is empty, and it is mandatory with a key_file or cert_file; give it a value"],
    ],
    [
      "values of the wrong type",
      `[slapos]${mandatory}root_check = maybe\nsync_interval = 0\nmaximum_periodicity = daily\npartition_timeout =\nsoftware_min_free_space = lots\ninstance_min_free_space = -1M\nservice_log_max_size = 10K`,
      { master_url: "ftp://example.com/", computer_id: "../x" },
      [
        `computer_id (--computer-id): "../x" is not a computer's reference (1 to 200 letters, digits and _ . + -, first a letter, digit or _); copy it from the master, such as COMP-1234`,
        `master_url (--master-url): "ftp://example.com/" is not an http or https URL; write one such as https://slap.example.com/`,
        "sync_interval (/x.cfg:7 [slapos]): 0 seconds is too short; write 1 or more",
        `maximum_periodicity (/x.cfg:8 [slapos]): "daily" is not a whole number of seconds; write one, such as 3600`,
        `partition_timeout (/x.cfg:9 [slapos]): "" is not a whole number of seconds; write one, such as 3600`,
        `software_min_free_space (/x.cfg:10 [slapos]): "lots" is not a size; write a number with a unit K, M, G or T, such as 1000M`,
        `instance_min_free_space (/x.cfg:11 [slapos]): "-1M" is not a size; write a number with a unit K, M, G or T, such as 1000M`,
        `service_log_max_size (/x.cfg:12 [slapos]): 10K is too small for a log; write 16K or more`,
        `root_check (/x.cfg:6 [slapos]): "maybe" is neither true nor false; write true or false`,
      ],
    ],
    [
      "a bad reference",
      `[DEFAULT]\nmaster_ca_file = %(nope)s/ca\n[slapos]${mandatory.replace("COMP-1", "%(id)s")}root_check = 5%`,
      {},
      [
        `computer_id (/x.cfg:4 [slapos]): the value "%(id)s" refers to "id", which neither its section nor [DEFAULT] has; add that option or write "%%(id)s"`,
        `master_ca_file (/x.cfg:2 [DEFAULT]): the value "%(nope)s/ca" refers to "nope", which neither its section nor [DEFAULT] has; add that option or write "%%(nope)s"`,
        `root_check (/x.cfg:8 [slapos]): the value "5%" has a single "%" at "%"; write "%%" for a percent sign or "%(name)s" for another option's value`,
      ],
    ],
    [
      "managers and a firewall",
      `[slapos]${mandatory}manager_list = prerm, devperm, cpuset\n[firewall]\nfirewall_cmd = x`,
      {},
      [
        `manager_list (/x.cfg:6 [slapos]): names the manager "devperm", which slapgrid does not have (it has prerm); remove it from the list, or leave this machine to the reference`,
        `manager_list (/x.cfg:6 [slapos]): names the manager "cpuset", which slapgrid does not have (it has prerm); remove it from the list, or leave this machine to the reference`,
        "firewall (/x.cfg:8 [firewall]): sets up a firewall, which slapgrid does not manage; remove the section, or leave this machine to the reference",
      ],
    ],
  ])("explains %s", (_, text, flags, problems) => {
    const settings = settle(text, flags)
    expect(problemsOf(settings)).toStrictEqual(problems)
    expect(settings.config).toBeUndefined()
  })

  it("needs a buildout", () => {
    const advice =
      "no buildout was found to bootstrap software releases with; install zc.buildout, or name its script with --buildout or in [slapos] of /x.cfg"
    const without = { buildout: undefined }
    expect(problemsOf(settle(`[slapos]${mandatory}`, {}, without))).toStrictEqual([`buildout (default): ${advice}`])
    const empty = settle(`[slapos]${mandatory}buildout =`, {}, without)
    expect(problemsOf(empty)).toStrictEqual([`buildout (/x.cfg:6 [slapos]): ${advice}`])
    expect(settle(`[slapos]${mandatory}`, { buildout: "/b" }, without).config?.buildout).toBe("/b")
  })

  it("calls nothing missing while the file cannot be read", () => {
    const settings = resolveSettings(
      { flags: { master_url: "x" }, file: undefined },
      { ...surroundings, complete: false },
    )
    expect(settings.problems.map(({ option }) => option)).toStrictEqual(["master_url"])
  })
})
