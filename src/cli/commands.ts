// The command line as a whole: names, flags and which file does the work. That file is only loaded when its command
// is the one asked for, because a node's machinery takes longer to load than `--help` to print.
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Argument from "effect/cli/Argument"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import { configFlags, logFormatFlag } from "./options.ts"

const masterCommand = Command.make(
  "master",
  {
    database: Flag.String("database").pipe(Flag.withDescription("SQLite file that keeps the master's state")),
    host: Flag.String("host").pipe(
      Flag.withDescription("Address to listen on; there is no authentication, so keep it on loopback"),
      Flag.withDefault("127.0.0.1"),
    ),
    port: Flag.Int("port").pipe(
      Flag.withSchema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 65_535 }))),
      Flag.withDescription("Port to listen on; 0 takes a free one"),
      Flag.withDefault(5000),
    ),
    logFormat: logFormatFlag,
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./master.ts")),
      ({ master }) => master(values),
    ),
).pipe(Command.withDescription("Run the embedded master, for one machine and for tests"))

const demoCommand = Command.make(
  "demo",
  {
    once: Flag.Boolean("once").pipe(
      Flag.withDescription("End when all instances have answered"),
      Flag.withDefault(false),
    ),
    keep: Flag.Boolean("keep").pipe(
      Flag.withDescription("Keep the scratch directory and print its path"),
      Flag.withDefault(false),
    ),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./demo.ts")),
      ({ demo }) => demo(values),
    ),
).pipe(
  Command.withDescription(
    "Show it all on this machine: master, node, a software release built by buildout and three instances of it, in a scratch directory",
  ),
)

const detachCommand = Command.make("detach", configFlags, (values) =>
  Effect.flatMap(
    Effect.promise(() => import("./detach.ts")),
    ({ detach }) => detach(values),
  ),
).pipe(Command.withDescription("End the running agent and leave its services to the next one"))

const statusCommand = Command.make(
  "status",
  {
    ...configFlags,
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false)),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./status.ts")),
      ({ status }) => status(values),
    ),
).pipe(Command.withDescription("Show what the running agent does"))

const tailCommand = Command.make(
  "tail",
  {
    ...configFlags,
    follow: Flag.Boolean("follow").pipe(
      Flag.withAlias("f"),
      Flag.withDescription("Show what comes later, too"),
      Flag.withDefault(false),
    ),
    lines: Flag.Int("lines").pipe(
      Flag.withAlias("n"),
      Flag.withDescription("How many lines; default: 20"),
      Flag.withDefault(20),
    ),
    program: Argument.String("PARTITION:PROGRAM").pipe(Argument.withDescription("Whose log, such as slappart0:web")),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./tail.ts")),
      ({ tail }) => tail(values),
    ),
).pipe(Command.withDescription("Show the end of a program's log"))

const planCommand = Command.make(
  "plan",
  {
    ...configFlags,
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false)),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./plan.ts")),
      ({ plan }) => plan(values),
    ),
).pipe(Command.withDescription("Show what the next sync would do and why, without doing it"))

const explainCommand = Command.make(
  "explain",
  {
    ...configFlags,
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print JSON"), Flag.withDefault(false)),
    partition: Argument.String("PARTITION").pipe(Argument.withDescription("Which one, such as slappart0")),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./explain.ts")),
      ({ explain }) => explain(values),
    ),
).pipe(Command.withDescription("Tell how a partition is, what it waits for and where its logs are"))

const programsArgument = Argument.String("PARTITION[:PROGRAM]").pipe(
  Argument.withDescription("Which programs, such as slappart0 or slappart0:web"),
  Argument.variadic({ min: 1 }),
)

/** The parser has seen to it that there is one. */
const atLeastOne = (names: ReadonlyArray<string>) => names as readonly [string, ...ReadonlyArray<string>]

const programCommand = (action: "start" | "stop" | "restart", description: string) =>
  Command.make(action, { ...configFlags, programs: programsArgument }, (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./services.ts")),
      ({ commandPrograms }) => commandPrograms(action, { ...values, programs: atLeastOne(values.programs) }),
    ),
  ).pipe(Command.withDescription(description))

const startCommand = programCommand("start", "Start programs now, whatever they wait for")
const stopCommand = programCommand("stop", "Stop programs until the next processing of their partition, or a start")
const restartCommand = programCommand("restart", "Stop programs and start them again")

const signalCommand = Command.make(
  "signal",
  {
    ...configFlags,
    signal: Argument.String("SIGNAL").pipe(Argument.withDescription("Its name or number, such as HUP")),
    programs: programsArgument,
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./services.ts")),
      ({ commandPrograms }) =>
        commandPrograms("signal", { ...values, programs: atLeastOne(values.programs) }, values.signal),
    ),
).pipe(Command.withDescription("Send a signal to the process groups of programs"))

const topCommand = Command.make(
  "top",
  {
    ...configFlags,
    once: Flag.Boolean("once").pipe(Flag.withDescription("Show it once"), Flag.withDefault(false)),
    interval: Flag.Finite("interval").pipe(
      Flag.withDescription("Seconds that are looked at; default: 2"),
      Flag.withDefault(2),
    ),
    json: Flag.Boolean("json").pipe(Flag.withDescription("Print both looks as JSON"), Flag.withDefault(false)),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./top.ts")),
      ({ top }) => top(values),
    ),
).pipe(Command.withDescription("Show what partitions and their programs take of the machine"))

const jsonEvents = Flag.Boolean("json").pipe(
  Flag.withDescription("Print events as lines of JSON"),
  Flag.withDefault(false),
)

const switchFlag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

/** What every pass over releases or partitions has. */
const passFlags = {
  ...configFlags,
  json: jsonEvents,
  force: switchFlag("force", "Work also on what is up to date").pipe(Flag.withAlias("all")),
  buildoutDebug: switchFlag("buildout-debug", "Run buildout with -D"),
}

const softwareCommand = Command.make(
  "software",
  {
    ...passFlags,
    onlySr: Flag.String("only-sr").pipe(
      Flag.withAlias("only"),
      Flag.withDescription("Software releases, by URL or MD5 (the name of their directory), with commas; default: all"),
      Flag.optional,
    ),
    garbageCollect: switchFlag("garbage-collect", "Remove what is built and that the master no longer names"),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./pass.ts")),
      ({ software }) => software(values),
    ),
).pipe(
  Command.withDescription(
    "Build or remove software releases now, as the master wants them, and tell what became of each",
  ),
)

const onlyCpFlag = Flag.String("only-cp").pipe(
  Flag.withAlias("only"),
  Flag.withDescription("Partitions, such as slappart0,slappart1; default: all"),
  Flag.optional,
)

const instanceCommand = Command.make(
  "instance",
  {
    ...passFlags,
    onlyCp: onlyCpFlag,
    forceStop: switchFlag("force-stop", "Process what should be started and then stop it, until its next processing"),
  },
  (values) =>
    Effect.flatMap(
      Effect.promise(() => import("./pass.ts")),
      ({ instance }) => instance(values),
    ),
).pipe(Command.withDescription("Process partitions now, as the master wants them, and tell what became of each"))

const promiseCommand = Command.make("promise", { ...configFlags, json: jsonEvents, onlyCp: onlyCpFlag }, (values) =>
  Effect.flatMap(
    Effect.promise(() => import("./pass.ts")),
    ({ promise }) => promise(values),
  ),
).pipe(Command.withDescription("Check the promises of partitions that are to run now, and tell which fail"))

const reportCommand = Command.make("report", { ...configFlags, json: jsonEvents }, (values) =>
  Effect.flatMap(
    Effect.promise(() => import("./pass.ts")),
    ({ report }) => report(values),
  ),
).pipe(Command.withDescription("Have partitions report their usage now, and send it to the master"))

const syncCommand = Command.make("sync", { ...configFlags, json: jsonEvents }, (values) =>
  Effect.flatMap(
    Effect.promise(() => import("./pass.ts")),
    ({ sync }) => sync(values),
  ),
).pipe(Command.withDescription("Have the running agent ask the master now, and try again what has failed"))

const takeOverFlag = Flag.Boolean("take-over").pipe(
  Flag.withDescription("Replace the reference's supervisord, should it run: its programs stop as ours start"),
  Flag.withDefault(false),
)

const runFlags = { ...configFlags, logFormat: logFormatFlag, takeOver: takeOverFlag }

export const slapgrid = Command.make("slapgrid", runFlags, (values) =>
  Effect.flatMap(
    Effect.promise(() => import("./run.ts")),
    ({ run }) => run(values),
  ),
).pipe(
  Command.withDescription(
    "SlapOS node agent: follows a SLAP master, builds software releases, runs and supervises computer partitions. Without a subcommand it runs in the foreground until a signal ends it.",
  ),
  Command.withSubcommands([
    demoCommand,
    detachCommand,
    explainCommand,
    instanceCommand,
    masterCommand,
    planCommand,
    promiseCommand,
    reportCommand,
    restartCommand,
    signalCommand,
    softwareCommand,
    startCommand,
    statusCommand,
    stopCommand,
    syncCommand,
    tailCommand,
    topCommand,
  ]),
)
