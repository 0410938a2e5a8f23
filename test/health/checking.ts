// A partition with promises and a release that names a Python, on the disk; checks run real processes.
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as fs from "node:fs"
import { createHash } from "node:crypto"
import { fileURLToPath } from "node:url"
import { InstanceBuild } from "../../src/build/InstanceBuild.ts"
import { NodeConfig, type NodeConfigShape } from "../../src/config/NodeConfig.ts"
import { Promises } from "../../src/health/Promises.ts"
import { Accounts } from "../../src/process/Accounts.ts"
import { AdoptedProcesses } from "../../src/process/AdoptedProcesses.ts"
import { Containment } from "../../src/process/containment/Containment.ts"
import { Launcher } from "../../src/process/launcher/Launcher.ts"
import { Spawner } from "../../src/process/Spawner.ts"
import { loggingTo } from "../../src/cli/logging.ts"
import { nodeConfig, release, slappart0 } from "../support/facts.ts"
import { isRoot, scratchDirectory, stranger } from "../support/scratch.ts"

/** The stand-in for the reference's promise classes: in a plugin, for where it lies. */
export const standIn = "@promises@"
const standInSource = fileURLToPath(new URL("../support/promises", import.meta.url))

export interface CheckingOptions {
  readonly config?: Partial<NodeConfigShape>
  readonly interpreter?: string
  readonly containment?: typeof Containment.layer
}

/** The text of a plugin; `body` is what its class has. */
export const plugin = (body: string, path = standIn, before = ""): string => `import sys

sys.path[0:0] = [${JSON.stringify(path)}]

from zope.interface import implementer
from slapos.grid.promise import interface
from slapos.grid.promise.generic import GenericPromise
import os, signal, subprocess, time

${before}

@implementer(interface.IPromise)
class RunPromise(GenericPromise):
${body.replaceAll(/^/gm, "    ")}
`

/** What a plugin does, as the only thing it has. */
export const sensing = (code: string, before = ""): string =>
  plugin(`def sense(self):\n${code.replaceAll(/^/gm, "    ")}`, standIn, before)

export const checking = Effect.fnUntraced(function* ({
  config: changes = {},
  containment = Containment.layerSession,
  interpreter = "/usr/bin/python3",
}: CheckingOptions = {}) {
  const root = yield* scratchDirectory
  const config = nodeConfig({
    instanceRoot: `${root}/instance`,
    softwareRoot: `${root}/software`,
    promiseTimeout: 20_000,
    ...changes,
  })
  const path = `${config.instanceRoot}/${slappart0}`
  const software = `${config.softwareRoot}/${createHash("md5").update(release).digest("hex")}`
  for (const folder of [`${path}/etc/promise`, `${path}/etc/plugin`, `${software}/bin`]) {
    fs.mkdirSync(folder, { recursive: true })
  }
  fs.writeFileSync(`${software}/bin/buildout`, `#!${interpreter}\n`)
  // The user may be unable to look into the repository.
  fs.cpSync(standInSource, `${root}/promises`, { recursive: true })
  const own = (name: string) => {
    if (isRoot) fs.chownSync(name, stranger.uid, stranger.gid)
  }
  for (const folder of ["", "/etc", "/etc/promise", "/etc/plugin"]) own(`${path}${folder}`)
  fs.chmodSync(path, 0o750)
  const messages: Array<string> = []
  const listening = loggingTo(({ message }) => void messages.push(message))
  const context = yield* Layer.build(
    Promises.layer.pipe(
      Layer.provide(
        Layer.mock(InstanceBuild)({
          credentials: () =>
            Effect.succeed(isRoot ? { ...stranger, groups: [stranger.gid], name: "part", home: path } : undefined),
        }),
      ),
      Layer.provide(Spawner.layer),
      Layer.provide(Accounts.layer({ rootCheck: isRoot })),
      Layer.provide([AdoptedProcesses.layer, Launcher.layer]),
      Layer.provideMerge(containment),
      Layer.provide(Layer.succeed(NodeConfig, config)),
      Layer.provide(listening),
    ),
  )
  // Its cgroups, where there are any.
  yield* Effect.addFinalizer(() => Context.get(context, Containment).endOwner(slappart0, { except: new Set() }))
  const promises = Context.get(context, Promises).of(slappart0)
  const write = (name: string, text: string, mode = 0o755): void => {
    fs.writeFileSync(`${path}/${name}`, text)
    fs.chmodSync(`${path}/${name}`, mode)
    own(`${path}/${name}`)
  }
  const read = (name: string): string => fs.readFileSync(`${path}/${name}`, "utf8")
  return {
    path,
    messages,
    wereFailing: promises.wereFailing,
    executable: (name: string, code: string) => write(`etc/promise/${name}`, `#!/bin/sh\n${code}\n`),
    plugin: (name: string, text: string) =>
      write(`etc/plugin/${name}`, text.replaceAll(standIn, `${root}/promises`), 0o644),
    write,
    read,
    result: (title: string) => JSON.parse(read(`.slapgrid/promise/result/${title}.status.json`)),
    log: (title: string) => read(`.slapgrid/promise/log/${title}.log`),
    cache: (title: string) => JSON.parse(read(`.slapgrid/promise/cache/${title}`)),
    /** All, as after a processing. */
    testAll: Effect.provide(promises.check(release, { mode: "Test", isForced: true }), listening),
    /** What is due, as between two. */
    watch: Effect.provide(promises.check(release, { mode: "Anomaly", isForced: false }), listening),
    watchAll: Effect.provide(promises.check(release, { mode: "Anomaly", isForced: true }), listening),
  }
})
