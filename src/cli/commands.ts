// The command line as a whole: names, flags and which file does the work.
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { master } from "./master.ts"
import { configFlags, logFormatFlag } from "./options.ts"
import { run } from "./run.ts"
import { status } from "./status.ts"

const masterCommand = Command.make(
  "master",
  {
    database: Flag.String("database").pipe(Flag.withDescription("SQLite file that keeps the master's state")),
    host: Flag.String("host").pipe(
      Flag.withDescription("Address to listen on; there is no authentication, so keep it on loopback"),
      Flag.withDefault("127.0.0.1"),
    ),
    port: Flag.Int("port").pipe(Flag.withDescription("Port to listen on; 0 takes a free one"), Flag.withDefault(5000)),
    logFormat: logFormatFlag,
  },
  master,
).pipe(Command.withDescription("Run the embedded master, for one machine and for tests"))

const statusCommand = Command.make(
  "status",
  {
    ...configFlags,
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false)),
  },
  status,
).pipe(Command.withDescription("Show what the running agent does"))

export const slapgrid = Command.make("slapgrid", { ...configFlags, logFormat: logFormatFlag }, run).pipe(
  Command.withDescription(
    "SlapOS node agent: follows a SLAP master, builds software releases, runs and supervises computer partitions. Without a subcommand it runs in the foreground until a signal ends it.",
  ),
  Command.withSubcommands([masterCommand, statusCommand]),
)
