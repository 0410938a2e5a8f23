// A node as one layer: the composition of everything below actors/, for the program and for other Effect programs.
// Closing it stops every service in order; nothing is left behind.
import * as Layer from "effect/Layer"
import { NodeSupervisor } from "./actors/NodeSupervisor.ts"
import { Persistence } from "./actors/retry.ts"
import { SinglePass } from "./actors/SinglePass.ts"
import { PartitionActors } from "./actors/partition/PartitionActor.ts"
import { SoftwareActors } from "./actors/software/SoftwareActor.ts"
import { UsageActors } from "./actors/usage/UsageActor.ts"
import { Buildout } from "./build/Buildout.ts"
import { InstanceBuild } from "./build/InstanceBuild.ts"
import { NetworkCache } from "./build/networkcache/NetworkCache.ts"
import { SoftwareBuild } from "./build/SoftwareBuild.ts"
import { layerWarm } from "./build/warm/WarmBuildout.ts"
import { NodeConfig, type NodeConfigShape } from "./config/NodeConfig.ts"
import { ControlServer } from "./control/ControlServer.ts"
import { DesiredCache } from "./desired/DesiredCache.ts"
import { CertificateWatch } from "./desired/CertificateWatch.ts"
import { MasterSync } from "./desired/MasterSync.ts"
import { Plans } from "./desired/Plans.ts"
import { Passes } from "./desired/Passes.ts"
import { Promises } from "./health/Promises.ts"
import { agentDirectory } from "./files/machine.ts"
import { HttpMasterClient } from "./master/http/HttpMasterClient.ts"
import { Accounts } from "./process/Accounts.ts"
import { AdoptedProcesses } from "./process/AdoptedProcesses.ts"
import { AgentLock } from "./process/AgentLock.ts"
import { Containment } from "./process/containment/Containment.ts"
import { Departure } from "./process/Departure.ts"
import { Inheritances } from "./process/Inheritances.ts"
import { Launcher } from "./process/launcher/Launcher.ts"
import { LogKeepers } from "./process/logs/LogKeeper.ts"
import { PartitionServices } from "./process/PartitionServices.ts"
import { ServiceCommands } from "./process/ServiceCommands.ts"
import { Spawner } from "./process/Spawner.ts"
import { Takeover } from "./process/takeover/Takeover.ts"
import { NodeMeter } from "./process/usage/NodeMeter.ts"
import { WarmHelpers } from "./process/warm/WarmHelper.ts"
import { Bangs } from "./report/Bangs.ts"
import { Outbox } from "./report/Outbox.ts"
import { StatusBoard } from "./report/StatusBoard.ts"
import { UsageLedger } from "./report/usage/UsageLedger.ts"
import { version } from "./version.ts"

export interface NodeOptions {
  /** Whether the reference's supervisord, if it runs, is replaced; else the node does not start beside it. */
  readonly takeOver?: boolean
}

/** Puts what asks the master on top of what acts on this machine. */
const onMachine = <A, E, R>(
  top: Layer.Layer<A, E, R>,
  { cache, usage }: { readonly cache: typeof NetworkCache.layer; readonly usage: typeof UsageActors.layer },
  config: NodeConfigShape,
  { takeOver = false }: NodeOptions,
) => {
  const machine = Layer.mergeAll(
    Spawner.layer,
    Accounts.layer({ rootCheck: config.rootCheck }),
    Inheritances.layer,
    LogKeepers.layer,
    WarmHelpers.layer,
  ).pipe(Layer.provideMerge([AdoptedProcesses.layer, Launcher.layer]), Layer.provideMerge(Containment.layer))
  const buildout = config.warmBuildout ? layerWarm : Buildout.layerCold
  const builds = Layer.mergeAll(SoftwareBuild.layer, InstanceBuild.layer).pipe(Layer.provide([buildout, cache]))
  const actors = Layer.mergeAll(SoftwareActors.layer, PartitionActors.layer)
  return top.pipe(
    Layer.provide(CertificateWatch.layer),
    Layer.provide([actors, ServiceCommands.layer, NodeMeter.layer]),
    Layer.provide([PartitionServices.layer, Promises.layer]),
    Layer.provideMerge(usage),
    Layer.provide(UsageLedger.layer),
    Layer.provide(builds),
    Layer.provide(Bangs.layer),
    Layer.provideMerge(Outbox.layer),
    Layer.provideMerge(StatusBoard.layer),
    Layer.provide(machine),
    // Before anything is run or asked for.
    Layer.provideMerge(Takeover.layer({ takeOver })),
    Layer.provideMerge(AgentLock.layer),
    Layer.provideMerge(Departure.layer),
    Layer.provideMerge(Layer.succeed(NodeConfig, config)),
  )
}

/** A node that follows whatever `MasterClient` it is given. */
const layerWithMaster = (config: NodeConfigShape, options: NodeOptions = {}) =>
  onMachine(
    NodeSupervisor.layer.pipe(
      Layer.provideMerge(ControlServer.layer(agentDirectory(config.instanceRoot))),
      Layer.provide([Passes.layer, Plans.layer]),
      Layer.provideMerge(Layer.provide(MasterSync.layer, DesiredCache.layer)),
    ),
    { cache: NetworkCache.layer, usage: UsageActors.layer },
    config,
    options,
  )

/** One pass, and no agent: it follows nothing, and its end leaves services as they are. */
const layerSinglePass = (config: NodeConfigShape) =>
  onMachine(
    SinglePass.layer.pipe(
      Layer.provide(NodeSupervisor.layerForPasses),
      Layer.provide(Passes.layer),
      Layer.provide(Layer.provide(MasterSync.layerOnDemand, DesiredCache.layer)),
    ),
    { cache: NetworkCache.layerWaiting, usage: UsageActors.layerOnDemand },
    config,
    {},
  ).pipe(Layer.provide([httpMaster(config), Layer.succeed(Persistence, false)]))

const httpMaster = (config: NodeConfigShape) =>
  HttpMasterClient.layer({
    masterUrl: config.masterUrl,
    computerId: config.computerId,
    certificates: config.certificates,
    masterCaFile: config.masterCaFile,
    masterVerify: config.masterVerify,
    version,
  })

/** A node that follows the SLAP master of its configuration. */
const layer = (config: NodeConfigShape, options?: NodeOptions) =>
  layerWithMaster(config, options).pipe(Layer.provide(httpMaster(config)))

export const Slapgrid = { layer, layerWithMaster, layerSinglePass }
