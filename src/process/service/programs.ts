// Which programs a partition has: the entries of `etc/run` and `etc/service`. node-behaviour.md (Services).
import type { PartitionId } from "../../domain/ids.ts"
import type { ServiceKind, ServiceSpec } from "../../domain/ServiceSpec.ts"
import type { ProgramEntry } from "../../files/listing.ts"

/** Where the programs of each kind lie, relative to the partition. */
export const programFolders: Readonly<Record<ServiceKind, string>> = { run: "etc/run", service: "etc/service" }

/** The partition's programs, each with a name of its own: of two that would share a file name or a name, the service wins. */
export const programs = (
  partition: PartitionId,
  directory: { readonly path: string; readonly owner: { readonly uid: number; readonly gid: number } },
  entries: Readonly<Record<ServiceKind, ReadonlyArray<ProgramEntry>>>,
): ReadonlyArray<ServiceSpec> => {
  const spec =
    (kind: ServiceKind) =>
    (entry: ProgramEntry): ServiceSpec => ({
      partition,
      kind,
      name: kind === "service" ? `${entry.name}-on-watch` : entry.name,
      path: `${directory.path}/${programFolders[kind]}/${entry.name}`,
      hash: entry.hash,
      user: `${directory.owner.uid}:${directory.owner.gid}`,
    })
  const services = entries.service.map(spec("service"))
  const taken = new Set([...entries.service.map((entry) => entry.name), ...services.map(({ name }) => name)])
  return [...entries.run.filter((entry) => !taken.has(entry.name)).map(spec("run")), ...services]
}

export const prermFolder = "etc/prerm"

/** The name within the group of a script that runs before the removal. */
export const prermName = (file: string): string => `${file}-prerm`

/** The scripts of `etc/prerm`, as programs that are run once. */
export const prermPrograms = (
  partition: PartitionId,
  directory: { readonly path: string; readonly owner: { readonly uid: number; readonly gid: number } },
  entries: ReadonlyArray<ProgramEntry>,
): ReadonlyArray<ServiceSpec> =>
  entries.map(({ hash, name }) => ({
    partition,
    kind: "run",
    name: prermName(name),
    path: `${directory.path}/${prermFolder}/${name}`,
    hash,
    user: `${directory.owner.uid}:${directory.owner.gid}`,
  }))

const serverUrl = (instanceRoot: string): string => `unix://${instanceRoot}/sv.sock`

/** The environment of a partition's program: the reference's, and nothing of the agent's own. */
export const programEnvironment = (
  spec: ServiceSpec,
  user: { readonly name: string; readonly home: string | undefined },
  directory: string,
  instanceRoot: string,
): Readonly<Record<string, string>> => ({
  USER: user.name,
  LOGNAME: user.name,
  HOME: user.home ?? directory,
  LC_CTYPE: "C.UTF-8",
  SUPERVISOR_ENABLED: "1",
  SUPERVISOR_GROUP_NAME: spec.partition,
  SUPERVISOR_PROCESS_NAME: spec.name,
  SUPERVISOR_SERVER_URL: serverUrl(instanceRoot),
})

/** Whether a process with this environment was started as a program of the partition, and not one of those named. */
export const isProgramOf =
  (partition: PartitionId, instanceRoot: string, except: ReadonlyArray<string>) =>
  (environment: ReadonlySet<string>): boolean =>
    environment.has(`SUPERVISOR_GROUP_NAME=${partition}`) &&
    environment.has(`SUPERVISOR_SERVER_URL=${serverUrl(instanceRoot)}`) &&
    !except.some((name) => environment.has(`SUPERVISOR_PROCESS_NAME=${name}`))

/** The log of a program, relative to the partition. */
export const programLog = ({ partition, path }: ServiceSpec): string => {
  const group = path.includes(`/${prermFolder}/`) ? `${partition}-prerm` : partition
  return `.${group}_${path.slice(path.lastIndexOf("/") + 1)}.log`
}
