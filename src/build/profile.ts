// The texts and arguments that buildout gets: a release's buildout.cfg, an instance's tail, option lists. Pure; their
// form is the reference's, because recipes and monitoring read them (node-behaviour.md).
import type { ComputerId, PartitionId, SoftwareUrl } from "../domain/ids.ts"
import type { PartitionRequestedState } from "../domain/DesiredState.ts"

/** A multi-line value: following lines are indented. */
const lines = (values: ReadonlyArray<string>, indent: string): string => values.join(`\n${indent}`)

/** A release's `buildout.cfg`, as Python's ConfigParser writes it. */
export const releaseProfile = (
  url: SoftwareUrl,
  sharedPartList: ReadonlyArray<string>,
  buildTimePartList: ReadonlyArray<string>,
): string =>
  [
    "[buildout]",
    `extends = ${url}`,
    `shared-part-list = ${lines(sharedPartList, "\t")}`,
    `build-time-part-list = ${lines(buildTimePartList, "\t")}`,
    "",
    "",
  ].join("\n")

/** The comment that tells which revision of a profile in a git checkout was built; undefined when it stands already. */
export const revisionNote = (profile: string, revision: string, now: string): string | undefined => {
  const last = profile.trimEnd().split("\n").at(-1) ?? ""
  return last.includes(revision) ? undefined : `# ${now} git revision: ${revision}\n`
}

/** How an operator wants a release to be built. */
export interface BuildMode {
  /** Built again although it is complete, with newer versions where there are any: no `-N`. */
  readonly isForced: boolean
  /** buildout tells more of where it fails: `-D`. */
  readonly isDebug: boolean
}

/** Options of bootstrap and of `bin/buildout` (after `-U`). */
export const buildoutArguments = (
  directory: string,
  networkCache: ReadonlyArray<readonly [key: string, value: string]>,
  { isDebug, isForced }: BuildMode,
): ReadonlyArray<string> => {
  const signsOrUploads = networkCache.some(([key]) =>
    ["signature-private-key-file", "upload-cache-url", "upload-dir-url"].includes(key),
  )
  return [
    `buildout:extends-cache=${directory}/extends-cache`,
    `buildout:directory=${directory}`,
    ...(signsOrUploads ? ["buildout:networkcache-section=networkcache"] : []),
    ...networkCache.map(([key, value]) => `networkcache:${key}=${value}`),
    ...(isForced ? [] : ["-N"]),
    ...(isDebug ? ["-D"] : []),
    "-c",
    `${directory}/buildout.cfg`,
  ]
}

export interface TailFacts {
  readonly computerId: ComputerId
  readonly partitionId: PartitionId
  readonly serverUrl: string
  readonly softwareReleaseUrl: SoftwareUrl
  /** Empty without certificates. */
  readonly keyFile: string
  readonly certFile: string
  readonly sharedPartList: ReadonlyArray<string>
  readonly buildTimePartList: ReadonlyArray<string>
  readonly requestedState: PartitionRequestedState
  readonly storageHome: string
  readonly globalIpv4Network: string
}

/** An instance's `buildout.cfg`: the release's template and what only the node knows. */
export const instanceProfile = (template: string, facts: TailFacts): string => `${template}

# What follows is added by the node at each processing.
[buildout]
# Executables of the instance lie beside, not among, what its users see.
bin-directory = \${buildout:directory}/sbin
# Nothing is fetched here: the software release has all that an instance needs.
offline = true

[slap-connection]
computer-id = ${facts.computerId}
partition-id = ${facts.partitionId}
server-url = ${facts.serverUrl}
software-release-url = ${facts.softwareReleaseUrl}
key-file = ${facts.keyFile}
cert-file = ${facts.certFile}
shared-part-list =
  ${lines(facts.sharedPartList, "  ")}
build-time-part-list =
  ${lines(facts.buildTimePartList, "  ")}
requested-state = ${facts.requestedState}

[slap_connection]
computer_id = ${facts.computerId}
partition_id = ${facts.partitionId}
server_url = ${facts.serverUrl}
software_release_url = ${facts.softwareReleaseUrl}
key_file = ${facts.keyFile}
cert_file = ${facts.certFile}

[storage-configuration]
storage-home = ${facts.storageHome}

[network-information]
global-ipv4-network = ${facts.globalIpv4Network}
`
