// How a command's flags become the node's configuration.
import * as Option from "effect/Option"
import { loadNodeConfig } from "../config/load.ts"
import { FLAG_NAMES } from "../config/sources.ts"
import type { ConfigFlagValues } from "./options.ts"

/** Reads and checks the configuration that the flags ask for. */
export const configFrom = (values: ConfigFlagValues) =>
  loadNodeConfig({
    file: Option.getOrUndefined(values.configurationFile),
    flags: Object.fromEntries(FLAG_NAMES.map((name) => [name, Option.getOrUndefined(values[name])])),
    env: process.env,
  })
