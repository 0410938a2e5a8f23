// The flags that more than one command has: those of the reference, with `-` or `_` between words.
import type * as Option from "effect/Option"
import * as Flag from "effect/cli/Flag"
import type { FlagName } from "../config/sources.ts"

/** `--instance_root=x` is `--instance-root=x`. */
export const normalizeFlags = (args: ReadonlyArray<string>): ReadonlyArray<string> => {
  const end = args.indexOf("--")
  return args.map((arg, index) => {
    if (!arg.startsWith("--") || (end >= 0 && index >= end)) return arg
    const [name = "", ...value] = arg.split("=")
    return [name.replaceAll("_", "-"), ...value].join("=")
  })
}

const text = (name: string, description: string) =>
  Flag.String(name).pipe(Flag.withDescription(description), Flag.optional)

const descriptions: Readonly<Record<FlagName, string>> = {
  instance_root: "Directory of the computer partitions",
  software_root: "Directory of the software releases",
  master_url: "URL of the SLAP master",
  computer_id: "This computer's reference at its master",
  key_file: "This computer's private key (PEM)",
  cert_file: "This computer's certificate (PEM)",
  certificate_repository_path: "Directory of the partitions' certificates and keys",
  master_ca_file: "CAs that may have signed the master's certificate (PEM); default: the system's",
  buildout: "buildout that bootstraps software releases; default: /usr/bin/buildout",
}

const flag = (name: FlagName) => text(name.replaceAll("_", "-"), descriptions[name])

/** The flags of every command that needs a node's configuration. */
export const configFlags = {
  configurationFile: text(
    "configuration-file",
    "slapos.cfg to read; default: $SLAPOS_CONFIGURATION, then /etc/opt/slapos/slapos.cfg",
  ),
  instance_root: flag("instance_root"),
  software_root: flag("software_root"),
  master_url: flag("master_url"),
  computer_id: flag("computer_id"),
  key_file: flag("key_file"),
  cert_file: flag("cert_file"),
  certificate_repository_path: flag("certificate_repository_path"),
  master_ca_file: flag("master_ca_file"),
  buildout: flag("buildout"),
}

export const logFormatFlag = Flag.Literals("log-format", ["text", "json"]).pipe(
  Flag.withDescription("How log lines look"),
  Flag.withDefault("text"),
)

/** What those flags give. */
export type ConfigFlagValues = Readonly<Record<FlagName | "configurationFile", Option.Option<string>>>
