// Which test shows each rule that a node keeps to be compatible: node-behaviour.md, section by section. A name stands for
// `<file below test>: <part of a test's title>`, and has to be one.
import { readFileSync } from "node:fs"
import { describe, expect, it } from "vitest"

type Rules = ReadonlyArray<readonly [rule: string, ...tests: ReadonlyArray<string>]>

const softwareReleases: Rules = [
  [
    "building is told, then built, then available is told, then `.completed` is written",
    "actors/software/SoftwareActor: is built, told, marked and ready",
    "actors/software/SoftwareActor: is ready for instances while the master is away, but marked only when it knows",
    "e2e/software: a release has the reference's files, modes and owners, and is marked last",
  ],
  [
    "404 for these reports is ignored",
    "master/http/HttpMasterClient: 404 is harmless where nothing has to be done about it",
  ],
  ["free space comes first", "build/builds: is not begun without space", "build/builds: leaves too little space"],
  [
    "the binary cache is asked where the directory is absent, only",
    "build/networkcache/NetworkCache: not looked for is a release",
    "e2e/network-cache: a release from the cache is installed without buildout, and can be instantiated",
  ],
  [
    "complete ones are not built again, unless forced; forced is `--force` alone",
    "actors/software/SoftwareActor: is ready at once when an earlier build was completed",
    "actors/software/SoftwareActor: that forces builds what is built",
    "e2e/software-passes: builds, also by force what is built, and tells what fails",
  ],
  [
    "a failure is told with its log, tried again with backoff and at once for another wish; others go on",
    "actors/software/SoftwareActor: is told and tried again with backoff",
    "actors/software/SoftwareActor: is removed at once when it is no longer wanted",
    "actors/software/SoftwareActor: one is built at a time; a failure lets the next begin",
    "e2e/failures: a broken profile is reported with its log, holds nobody",
  ],
  [
    "the directory is 0755 and the software owner's, who builds; `.netrc` is copied in, 0600",
    "e2e/software: a release has the reference's files, modes and owners",
    "e2e/software: a build runs as the owner in a buildout's environment",
  ],
  [
    "`buildout.cfg` has the reference's bytes, is written once and keeps edits",
    "build/profile: has the reference's bytes",
    "build/builds: keeps what was edited in its buildout.cfg",
    "e2e/software: one that failed goes on where it stopped",
  ],
  [
    "a checkout's revision is noted when it changed",
    "build/profile: revisionNote",
    "e2e/software: a build runs as the owner",
  ],
  [
    "bootstrap is skipped where there is a `bin/buildout`; a marker makes tries alternate, and goes with success",
    "build/builds: skips the bootstrap after an earlier one, and alternates while it fails",
    "e2e/software: one that failed goes on where it stopped, after a bootstrap every other time",
  ],
  [
    "`bin/buildout -U` by the words of its first line, however long; the interpreter behind `/bin/sh`",
    "build/launcher: invocation",
    "build/launcher: interpreterOf",
    "build/builds: is bootstrapped with the configured buildout, then built with its own",
  ],
  ["options: extends-cache, directory, network cache, `-N`, `-c`, `-D`", "build/profile: buildoutArguments %s"],
  [
    "umask, environment and HOME of a buildout",
    "build/profile: is what is inherited, the home, and no user's Python packages",
    "build/builds: runs the script by its interpreter in a clean environment",
    "e2e/software: a build runs as the owner in a buildout's environment, and nothing of it stays",
  ],
  [
    "an entry of the cache is for this machine and distribution, and signed by somebody trusted",
    "build/networkcache/entries: a release is for a machine",
    "build/networkcache/signature: that openssl made is good for that text, that signature and that certificate alone",
    "build/networkcache/signature: that is made here is verified by openssl",
    "build/networkcache/NetworkCache: built from source over %s is a release",
  ],
  [
    "an archive of another hash is not unpacked, and nothing of one leaves its folder",
    "build/networkcache/NetworkCache: built from source over %s is a release",
    "files/archive/unpack: nothing outside is made or changed, and no link leads there",
    "files/archive/places: %j is refused: it %s",
  ],
  [
    "a cache that is down, slow or lying costs seconds",
    "build/networkcache/NetworkCache: whose cache is down",
    "build/networkcache/NetworkCache: for which a cache stalls with %s: it costs seconds",
  ],
  [
    "forced prefixes never fall back to a build; the black lists",
    "e2e/network-cache: a release that may only come from the cache is not built when it cannot",
    "build/networkcache/entries: a list names what begins with one of its lines",
  ],
  [
    "upload: after a build, three tries half an hour apart, not with `.shared`",
    "build/networkcache/upload: is tried three times, half an hour apart, and holds nobody meanwhile",
    "build/networkcache/upload: is not uploaded when it has parts elsewhere",
    "build/networkcache/upload: is taken up by the next one",
    "e2e/network-cache: a release that one node built and uploaded is what a second one takes",
    "e2e/network-cache: an upload holds nobody, and leaves no process and no file",
  ],
  [
    "destroyed: removed, read-only trees too, then told; a mount is refused; its users are named",
    "files/removeTree: read-only and closed directories go",
    "e2e/software: one that is destroyed goes with its read-only trees, and those who use it are named",
    "e2e/software: for root: one in which something is mounted is not removed",
  ],
  [
    "garbage collection removes what is a release and is no longer named",
    "build/builds: by garbage collection is a release that nobody wants, and nothing else",
    "e2e/software-passes: removes garbage: what is a release and is no longer named, and nothing else",
    "e2e/software-passes: refuses what nobody can mean before anything is done",
  ],
  [
    "a file `periodicity` overrides `maximum_periodicity`",
    "build/builds: periodicity '%s' of the release is %s ms",
    "actors/partition/PartitionActor: can want its instances processed more often",
  ],
  [
    "the last of several wishes counts, a build that is no longer wanted ends with all of it",
    "actors/software/flips: a release ends as it was wanted last",
    "e2e/software: one that hangs holds nobody, shows what it is at, and is ended with all that it started",
  ],
  [
    "bad input is told once and harms nobody",
    "e2e/software: one that cannot be built is told in one report with its cause, and harms nobody",
    "e2e/software: for root: a read-only file system is told once",
  ],
]

const partitions: Rules = [
  [
    "the directory is there, 0750 and the partition's; root's is refused; absent, it is told and the others go on",
    "e2e/failures: told what to do, others are served",
    "e2e/failures: one of root's is refused and told what to do",
    "process/Accounts: root refuses root's directories even without root_check",
    "build/builds: a partition with another mode than 0750 is refused",
  ],
  [
    "work is done as its user with all groups, also for one without an entry",
    "e2e/services: programs run as them with all their groups, and read a 0750 release",
    "e2e/services: run as its user, which has no entry in the user database",
    "process/Accounts: an owner without an entry has its own group and those given",
  ],
  [
    "processed when: timestamp, no mark, age, periodicity, force, no timestamp",
    "actors/partition/decide: a partition is processed when",
    "actors/partition/decide: periodicity %d, processed %d ms ago",
    "actors/partition/decide: without a timestamp from the master: with every sync",
    "actors/partition/decide: an operator's order",
  ],
  [
    "`.timestamp` goes before and comes back after success only",
    "actors/partition/PartitionActor: the mark goes before a processing and does not come back when it fails",
    "actors/partition/PartitionActor: is marked only when the master knows",
    "actors/partition/PartitionActor: without a timestamp it is processed again and again, and never marked",
  ],
  [
    "a failed one is tried again with backoff",
    "actors/partition/PartitionActor: is told everywhere, touches no service and is tried again with backoff",
    "actors/partition/Turnstile: twenty that fail never delay one that changed",
  ],
  [
    "the certificate comes first, in every state, and is written when it changed",
    "actors/partition/PartitionActor: are fetched first, in every state, and written only when they changed",
  ],
  [
    "space, link, mode, release, `instance.cfg` or `template.cfg` with its tail",
    "build/builds: is installed by the release's buildout from its template",
    "build/builds: an older release calls its template template.cfg",
    "build/profile: is the template, and behind it what only the node knows, as the reference spells it",
    "e2e/lifecycle: the partition has the files, owners and modes of the reference",
  ],
  [
    "`bin/bootstrap*`, `sbin/buildout`, the release's, or one that is bootstrapped",
    "build/builds: by a bootstrap script of the release, run as the partition, that leaves sbin/buildout",
    "build/builds: by one that is bootstrapped for it, when that script leaves none",
    "build/builds: by a buildout that is bootstrapped for it, when the release has none",
  ],
  [
    "`partition_timeout` ends the whole tree",
    "e2e/many-partitions: one whose installation hangs is ended with all that it started, told, and runs on",
  ],
  [
    "instance log, rotated; error log, removed by the next processing",
    "files/OwnedDirectory: a log",
    "e2e/partitions: a profile that fails is told once, keeps what runs running, and is good again",
    "e2e/failures: a failing instance is reported, leaves an error log, and its neighbour runs",
  ],
  [
    "started: installed, services, promises, told",
    "actors/partition/PartitionActor: is installed, started, told and marked",
    "actors/partition/health: is started when its promises are kept",
    "actors/partition/health: are checked after a failed processing, too",
    "e2e/partitions: an instance and the one that it requests run as their users",
  ],
  [
    "stopped: installed even so, stopped in any case, told",
    "actors/partition/PartitionActor: is installed even so, then stopped and told",
    "actors/partition/PartitionActor: is stopped whatever becomes of the installation",
    "e2e/partitions: stopped, its child too, and started again with new processes",
  ],
  [
    "other states are errors, and over with a record that can be used",
    "e2e/many-partitions: one that is to be what nobody knows is told to the master, and stays as it is",
    "actors/NodeSupervisor: is told to the master once for each reason",
    "actors/NodeSupervisor: and can be again is told again how it is",
  ],
  [
    "the newest wish wins while work is under way",
    "actors/partition/PartitionActor: interrupts an installation that has become pointless",
    "actors/partition/PartitionActor: a moved timestamp does not: it is worked on next",
    "e2e/partitions: the next instance gets a free partition, and a wish that changes while it is installed is followed",
  ],
  [
    "the transaction file is removed before, and told after success",
    "actors/partition/PartitionActor: is told to the master after the state, all of it",
    "actors/partition/PartitionActor: none is told, too; that nobody notes it is not",
    "e2e/many-partitions: what one has requested is told to the master",
  ],
  [
    "retention: frozen at the first install, dated by the first destroy; an invalid delay is none",
    "actors/partition/retention: freezeDelay",
    "actors/partition/retention: the first destroy sets the date, later ones keep it",
    "actors/partition/retention: a delay of %s retains nothing and leaves no date",
    "e2e/many-partitions: one that its SLA retains is stopped, and not removed before its time",
  ],
  [
    "destroyed: stopped, told, usage, `sbin/destroy`, certificate, storage, content, told",
    "actors/partition/removal: is stopped, its script run, removed and told",
    "actors/partition/removal: nothing is removed before its usage is kept outside",
    "actors/partition/removal: the storage on other volumes that it names is emptied, that of others is not",
    "actors/partition/removal: its certificate goes with it",
    "actors/partition/removal: one that the master does not know is not removed",
    "e2e/partitions: destroyed: its scripts run and are waited for, then everything goes but the directories",
    "e2e/partitions: what was stopped is destroyed",
  ],
  [
    "removal waits for the list and for `etc/prerm`, which is run once",
    "actors/partition/removal: programs that the instance names in its list",
    "actors/partition/removal: scripts of etc/prerm are run once, after everything else has stopped and been told",
    "actors/partition/removal: another wish meanwhile is followed",
  ],
  [
    "a free partition is cleaned, leftovers are warned about",
    "actors/partition/removal: is stopped and cleaned of the node's own",
  ],
  [
    "one never keeps another from being processed",
    "e2e/failures: a failing instance is reported, leaves an error log, and its neighbour runs",
    "actors/partition/Turnstile: one that hangs gives its turn to others after a while",
    "e2e/many-partitions: one whose parameter changes is processed alone, and no other is touched",
  ],
  [
    "parameters arrive as they were written",
    "e2e/partitions: a parameter reaches the instance as it was written, whatever is in it",
    "e2e/many-partitions: one whose parameters are malformed is processed, and they get nowhere on the node",
  ],
  [
    "it waits for its release, and goes on when that is there; a rebuilt one is not used half-built",
    "actors/partition/PartitionActor: waits for its release, in words",
    "actors/partition/PartitionActor: that is built again takes an installation from under it",
  ],
  [
    "`[firewall]` and other managers are errors at start, by name",
    "config/settings: explains %s",
    "config/settings: has the manager prerm",
  ],
]

const promises: Rules = [
  [
    "executables: exit status and output",
    "health/Promises: of executables and plugins keeps their results and says which fails first",
  ],
  [
    "plugins: the release's own interpreter and classes, one dictionary, `extra_config_dict`",
    "health/Promises: gives a plugin what the reference gives, and its own dictionary",
    "health/Promises: tells that a release has %s",
    "build/launcher: interpreterOf",
  ],
  [
    "as the partition's user",
    "health/Promises: runs them as the partition's user, in its directory, with an environment of its own",
  ],
  [
    "time limit, then the whole tree",
    "health/Promises: ends what takes too long with everything it started",
    "e2e/promises: a partition whose promises hang, fork, flood and vanish delays and harms no other",
  ],
  ["how many at once", "health/Places: are four a processor; one that hangs gives its place up"],
  [
    "all after an install, those that are due between two",
    "actors/partition/health: is started when its promises are kept",
    "health/rules: dueNow",
  ],
  [
    "three failures in a row; time-outs; stored failures; anomalies",
    "health/rules: verdictOf",
    "health/Promises: counts an executable as failing with its third failure in a row, whichever agent saw the others",
    "health/Promises: leaves out what has nothing to say in it",
  ],
  [
    "one bang a run, of a plugin's anomaly",
    "health/Promises: asks for one bang, however many plugins fail between two processings",
    "actors/partition/health: bangs whenever a check says so",
  ],
  [
    "only transitions are told",
    "actors/partition/health: tells a failure and a recovery once each",
    "actors/partition/health: knows what the master knows",
    "health/rules: what the master hears",
  ],
  [
    "results, logs and due times where monitoring software reads them",
    "health/rules: the result, as monitoring software reads it, and back",
    "health/rules: the cache, as the reference reads it, and back",
    "health/rules: a line of the log, in local time",
    "health/rules: titleOf",
  ],
  ["messages keep their last 5,000 characters", "health/rules: printedMessage"],
  [
    "bad input is told once each",
    "health/Promises: takes from executables one clear report each",
    "health/Promises: takes from plugins one clear report each",
    "e2e/promises: a promise that fills the disk stops no service, is told once",
  ],
]

const passes: Rules = [
  [
    "0: all done; 1: something failed",
    "e2e/passes: a partition that fails gives status 1",
    "desired/Passes: that ends with %j has status %d",
  ],
  ["2: only promises failed", "e2e/passes: promises are checked now: kept, failing with status 2"],
  ["3: no master, what runs goes on", "e2e/passes: a master that is away, or refuses, gives status 3"],
  [
    "5: not root",
    "e2e/ordinary-user: with root_check it ends with status 5",
    "e2e/passes: somebody who is not root is refused",
  ],
  [
    "10: two passes at once, a second supervisor",
    "e2e/passes: a second pass has status 10; Ctrl-C ends the command and not the work",
    "e2e/passes: without an agent: a release that is not built, a failure, unknown names, a second pass",
    "e2e/ending: a second agent on its instance root ends with status 10",
  ],
  [
    "names that nobody knows are refused before anything is done",
    "e2e/passes: names that the master does not know are refused",
  ],
  [
    "services run on without an agent, and are adopted",
    "e2e/passes: without an agent partitions are processed, their services run on",
  ],
]

const offline: Rules = [
  [
    "what should run is started, nothing is processed",
    "e2e/offline: what should run is started, and a master that is away is told and followed when it is back",
    "e2e/passes: without an agent and without a master what should run is started, and nothing is processed",
  ],
  [
    "the last wish is on the disk; one-shots that are done are not run again",
    "e2e/offline: after a reboot without a network what should run is started, and one-shots that are done are not",
    "desired/DesiredCache: is known to the next agent",
  ],
  [
    "401 and 403 are told apart from a master that is away",
    "e2e/offline: a master that refuses the computer is told apart from one that is away",
  ],
]

/** Titles are what tests and their groups are called with. */
const titlesIn = (file: string): ReadonlyArray<string> => {
  const code = readFileSync(new URL(`${file}.test.ts`, import.meta.url), "utf8").replaceAll(/^\s*\/\/.*$/gm, "")
  return [...code.matchAll(/\(\s*(["'`])((?:\\.|(?!\1).)*)\1\s*,/gs)].map(([, , title = ""]) => title)
}

const isThere = (test: string): boolean => {
  const [file = "", title = ""] = test.split(/: (.*)/s)
  return titlesIn(file).some((one) => one.includes(title))
}

describe.each([
  ["Software releases", softwareReleases],
  ["Computer partitions", partitions],
  ["Promises", promises],
  ["One-shot passes", passes],
  ["Offline", offline],
] as const)("%s", (_, rules) => {
  it.each(rules)("%s", (_, ...tests) => {
    expect(tests).not.toStrictEqual([])
    expect(tests.filter((test) => !isThere(test))).toStrictEqual([])
  })
})
