// Flags, file and defaults to NodeConfigShape, with every problem found on the way (node-behaviour.md, Configuration).
// Pure: what has to be looked up on the disk is returned as `paths`, see disk.ts.
import { resolve as absolute } from "node:path"
import * as Redacted from "effect/Redacted"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { ComputerId } from "../domain/ids.ts"
import type { ConfigProblem } from "./ConfigError.ts"
import { quote } from "./DialectError.ts"
import type { PathNeed } from "./disk.ts"
import { readNetworkCaches } from "./networkCache.ts"
import type { NodeConfigShape } from "./NodeConfig.ts"
import { findSetting, flagOf, NODE_SECTIONS } from "./sources.ts"
import type { Setting, Sources } from "./sources.ts"
import {
  parseBoolean,
  parseCount,
  parseLines,
  parseMasterUrl,
  parseNames,
  parseProcessors,
  parseSeconds,
  parseSize,
} from "./values.ts"
import type { Rule } from "./values.ts"

export interface Settings {
  /** Undefined when there are problems. */
  readonly config: NodeConfigShape | undefined
  readonly problems: ReadonlyArray<ConfigProblem>
  readonly paths: ReadonlyArray<PathNeed>
}

export interface Surroundings {
  /** Where a missing option could be written, for messages. */
  readonly fileHint: string
  /** False when a file exists that could not be read: what it says is unknown, so nothing is 'missing'. */
  readonly complete: boolean
  /** The buildout to use when none is named. */
  readonly buildout: string | undefined
}

const DAY = "86400"
const FREE_SPACE = "1000M"
const SYNC_INTERVAL = "60"
const STOP_TIMEOUT = "60"
const SOFTWARE_CONCURRENCY = "1"
const WARM_IDLE = "60"
const PROMISE_TIMEOUT = "20"
const PROMISE_CONCURRENCY = "2"
const SERVICE_LOG_MAX_SIZE = "100K"
/** Logs are trimmed by blocks of the file system, and the last two stay. */
const MIN_LOG_SIZE = 16 * 1024

const parseComputerId: Rule<ComputerId> = (text) =>
  Result.mapError(
    Schema.decodeResult(ComputerId)(text),
    () =>
      `${quote(text)} is not a computer's reference (1 to 200 letters, digits and _ . + -, first a letter, digit or _); copy it from the master, such as COMP-1234`,
  )

const parseLogSize: Rule<number> = (text) =>
  Result.flatMap(parseSize(text), (size) =>
    size < MIN_LOG_SIZE ? Result.fail(`${text} is too small for a log; write 16K or more`) : Result.succeed(size),
  )

/** Less would kill a partition's first program. */
const MIN_MEMORY = 1024 * 1024
/** More never help: each build takes all processors by itself. */
const MAX_BUILDS = 100
/** Of one partition at once. */
const MAX_PROMISES = 100
/** The kernel's own: PID_MAX_LIMIT. */
const MAX_PROCESSES = 4_194_304

const parseMemory: Rule<number> = (text) =>
  Result.flatMap(parseSize(text), (size) =>
    size < MIN_MEMORY
      ? Result.fail(`${text} is too little memory for a partition; write 1M or more`)
      : Result.succeed(size),
  )

/** Reads options one by one and remembers what was wrong with them. */
class SettingsReader {
  readonly problems: Array<ConfigProblem> = []
  readonly paths: Array<PathNeed> = []
  readonly sources: Sources
  readonly surroundings: Surroundings

  constructor(sources: Sources, surroundings: Surroundings) {
    this.sources = sources
    this.surroundings = surroundings
  }

  find(option: string, sections?: ReadonlyArray<string>, spellings?: ReadonlyArray<string>): Setting | undefined {
    return findSetting(this.sources, option, sections, spellings)
  }

  report(option: string, source: string, problem: string): void {
    this.problems.push({ option, source, problem })
  }

  /** The text of a setting; "" when it is not set or is wrong in the file, which is reported. */
  text(setting: Setting | undefined): string {
    if (setting === undefined) return ""
    if (Result.isSuccess(setting.text)) return setting.text.success
    this.report(setting.option, setting.source, setting.text.failure)
    return ""
  }

  /** As `text`, but has to be there and not empty; `because` follows 'is mandatory'. */
  mandatory(option: string, because = ""): string {
    const setting = this.find(option)
    if (setting === undefined) {
      if (this.surroundings.complete) {
        const problem = `is mandatory${because}; pass ${flagOf(option)} or write it in ${this.surroundings.fileHint}`
        this.report(option, "not set", problem)
      }
      return ""
    }
    if (Result.isSuccess(setting.text) && setting.text.success === "") {
      this.report(option, setting.source, `is empty, and it is mandatory${because}; give it a value`)
    }
    return this.text(setting)
  }

  /** Undefined when the text is empty (somebody else reported that) or breaks the rule. */
  private apply<A>(setting: Setting, text: string, rule: Rule<A>): A | undefined {
    const value = rule(text)
    if (Result.isSuccess(value)) return value.success
    this.report(setting.option, setting.source, value.failure)
    return undefined
  }

  /** A mandatory option with a rule. */
  mandatoryValue<A>(option: string, rule: Rule<A>): A | undefined {
    const text = this.mandatory(option)
    const setting = this.find(option)
    return setting === undefined || text === "" ? undefined : this.apply(setting, text, rule)
  }

  /** An option with a rule; undefined only when not set or wrong. */
  value<A>(option: string, rule: Rule<A>, spellings?: ReadonlyArray<string>): A | undefined {
    const setting = this.find(option, NODE_SECTIONS, spellings)
    if (setting === undefined) return undefined
    if (Result.isFailure(setting.text)) {
      this.report(option, setting.source, setting.text.failure)
      return undefined
    }
    return this.apply(setting, setting.text.success, rule)
  }

  /** An option with a rule and a default, which obeys the rule too. */
  valueOr<A>(option: string, rule: Rule<A>, fallback: string): A {
    return this.value(option, rule) ?? Result.getOrThrow(rule(fallback))
  }

  /** The absolute path in a text, to be checked on the disk; "" stays "". */
  path(setting: Setting | undefined, text: string, need: Pick<PathNeed, "kind" | "access">): string {
    if (setting === undefined || text === "") return ""
    const path = absolute(text)
    this.paths.push({ option: setting.option, source: setting.source, path, ...need })
    return path
  }
}

const READABLE_FILE = { kind: "file", access: "read" } as const
const DIRECTORY = { kind: "directory", access: "none" } as const
const OWN_DIRECTORY = { kind: "directory", access: "write" } as const

const readRoot = (reader: SettingsReader, option: string): string =>
  reader.path(reader.find(option), reader.mandatory(option), OWN_DIRECTORY)

const readFile = (reader: SettingsReader, option: string): string => {
  const setting = reader.find(option)
  return reader.path(setting, reader.text(setting), READABLE_FILE)
}

const readCertificates = (reader: SettingsReader): NodeConfigShape["certificates"] => {
  const repository = reader.find("certificate_repository_path")
  if (reader.find("key_file") === undefined && reader.find("cert_file") === undefined) {
    reader.path(repository, reader.text(repository), DIRECTORY)
    return undefined
  }
  const because = " with a key_file or cert_file"
  const file = (option: string) => reader.path(reader.find(option), reader.mandatory(option, because), READABLE_FILE)
  return {
    keyFile: file("key_file"),
    certFile: file("cert_file"),
    repositoryPath: reader.path(repository, reader.mandatory("certificate_repository_path", because), DIRECTORY),
  }
}

const readBuildout = (reader: SettingsReader): string => {
  const setting = reader.find("buildout")
  const named = readFile(reader, "buildout")
  if (named !== "") return named
  const { buildout, complete, fileHint } = reader.surroundings
  const isWrong = setting !== undefined && Result.isFailure(setting.text)
  if (buildout === undefined && complete && !isWrong) {
    const problem = `no buildout was found to bootstrap software releases with; install zc.buildout, or name its script with --buildout or in ${fileHint}`
    reader.report("buildout", setting?.source ?? "default", problem)
  }
  return buildout ?? ""
}

// Of the reference's passes: one for software releases, one for instances and promises, one for reports.
const PID_FILES = {
  pidfile_software: "/opt/slapos/slapgrid-sr.pid",
  pidfile_instance: "/opt/slapos/slapgrid-cp.pid",
  pidfile_report: "/opt/slapos/slapgrid-ur.pid",
} as const

const readPidFiles = (reader: SettingsReader): ReadonlyArray<string> => {
  // Named together, by nodes that run one pass at a time.
  const common = reader.text(reader.find("pidfile"))
  return Object.entries(PID_FILES).map(([option, fallback]) =>
    absolute(reader.text(reader.find(option)) || common || fallback),
  )
}

/** The one manager there is: scripts of `etc/prerm` run before a partition is removed. */
const PRERM = "prerm"

const managerNames = (reader: SettingsReader): ReadonlyArray<string> => {
  const managers = reader.find("manager_list")
  return managers === undefined ? [] : parseNames(reader.text(managers))
}

/** Parts of the reference that a node may be set up for and that would silently not happen here. */
const refuseUnsupported = (reader: SettingsReader): void => {
  const managers = reader.find("manager_list")
  for (const name of managerNames(reader).filter((one) => one !== PRERM)) {
    const problem = `names the manager ${quote(name)}, which slapgrid does not have (it has prerm); remove it from the list, or leave this machine to the reference`
    reader.report("manager_list", managers?.source ?? "not set", problem)
  }
  const { file } = reader.sources
  const [first] = file?.document.sections.get("firewall") ?? []
  if (file !== undefined && first !== undefined) {
    const problem =
      "sets up a firewall, which slapgrid does not manage; remove the section, or leave this machine to the reference"
    reader.report("firewall", `${file.path}:${first[1].line} [firewall]`, problem)
  }
}

/** Merges and checks everything that can be known without the disk. */
export const resolveSettings = (sources: Sources, surroundings: Surroundings): Settings => {
  const reader = new SettingsReader(sources, surroundings)
  const storage = reader.text(reader.find("instance_storage_home"))
  const computerId = reader.mandatoryValue("computer_id", parseComputerId)
  const draft = {
    masterUrl: Redacted.make(reader.mandatoryValue("master_url", parseMasterUrl) ?? ""),
    instanceRoot: readRoot(reader, "instance_root"),
    softwareRoot: readRoot(reader, "software_root"),
    certificates: readCertificates(reader),
    masterCaFile: readFile(reader, "master_ca_file") || undefined,
    masterVerify: reader.valueOr("master_verify", parseBoolean, "on"),
    buildout: readBuildout(reader),
    sharedPartList: parseLines(reader.text(reader.find("shared_part_list"))),
    buildTimePartList: parseLines(reader.text(reader.find("build_time_part_list"))),
    ...readNetworkCaches(reader),
    instanceStorageHome: storage === "" ? "" : absolute(storage),
    ipv4GlobalNetwork: reader.text(reader.find("ipv4_global_network")),
    syncInterval: reader.valueOr("sync_interval", parseSeconds(1), SYNC_INTERVAL),
    maximalDelay: reader.valueOr("maximal_delay", parseSeconds(0), "0"),
    reportInterval: reader.valueOr("report_interval", parseSeconds(1), DAY),
    stopTimeout: reader.valueOr("stop_timeout", parseSeconds(1), STOP_TIMEOUT),
    maximumPeriodicity: reader.valueOr("maximum_periodicity", parseSeconds(Number.NEGATIVE_INFINITY), DAY),
    promiseTimeout: reader.valueOr("promise_timeout", parseSeconds(1), PROMISE_TIMEOUT),
    promiseConcurrency: reader.valueOr("promise_concurrency", parseCount(1, MAX_PROMISES), PROMISE_CONCURRENCY),
    partitionTimeout: reader.value("partition_timeout", parseSeconds(1), ["partition_timeout", "partition-timeout"]),
    softwareConcurrency: reader.valueOr("software_concurrency", parseCount(1, MAX_BUILDS), SOFTWARE_CONCURRENCY),
    softwareTimeout: reader.value("software_timeout", parseSeconds(1)),
    softwareMinFreeSpace: reader.valueOr("software_min_free_space", parseSize, FREE_SPACE),
    instanceMinFreeSpace: reader.valueOr("instance_min_free_space", parseSize, FREE_SPACE),
    serviceLogMaxSize: reader.valueOr("service_log_max_size", parseLogSize, SERVICE_LOG_MAX_SIZE),
    partitionLimits: {
      memory: reader.value("partition_memory_max", parseMemory),
      pids: reader.value("partition_pids_max", parseCount(1, MAX_PROCESSES)),
      processors: reader.value("partition_cpu_max", parseProcessors),
    },
    runsPrerm: managerNames(reader).includes(PRERM),
    instanceConcurrency: reader.value("instance_concurrency", parseCount(1, 1000)),
    warmBuildout: reader.valueOr("warm_buildout", parseBoolean, "on"),
    warmIdle: reader.valueOr("warm_idle", parseSeconds(1), WARM_IDLE),
    rootCheck: reader.valueOr("root_check", parseBoolean, "true"),
    referencePidFiles: readPidFiles(reader),
  }
  refuseUnsupported(reader)
  const { problems, paths } = reader
  const usable = problems.length === 0 && computerId !== undefined
  return { config: usable ? { computerId, ...draft } : undefined, problems, paths }
}
