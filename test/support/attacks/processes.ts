// What a partition's program tries against the agent, other partitions and the machine. The same program runs as a
// service of a real node and, for the control, as a careless agent would start it: as itself, with all that it has.
import { spawnSync } from "node:child_process"

export interface ProcessAttack {
  readonly name: string
  /** The function of the program below that tries it. */
  readonly tries: string
}

/** What the program is told about its targets, through a file that it may read. */
export interface Targets {
  /** A process of the agent's, and its launcher or another one of root's. */
  readonly agent: number
  readonly launcher: number
  /** A service of another partition. */
  readonly neighbour: number
  /** A file that another partition keeps for itself. */
  readonly theirs: string
  /** Files of the agent's own: a state file, and a name for a new one. */
  readonly state: string
  readonly socket: string
  /** A directory in which only the agent makes partitions. */
  readonly roots: string
  /** A program of root's that runs as its owner, whoever starts it; and what makes an ordinary user start it. */
  readonly setuid: ReadonlyArray<string>
  /** Another cgroup than its own. */
  readonly cgroup: string
  /** Where it tells what came of it. */
  readonly results: string
  /** Whether it goes on after that. */
  readonly stays: boolean
}

/** keyctl(2) and add_key(2), which no library has. */
const keyctl = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
ADD_KEY, KEYCTL = {"x86_64": (248, 250)}.get(os.uname().machine, (217, 219))
JOIN, SEARCH, READ, SESSION = 1, 10, 11, ctypes.c_int(-3)
`
const agentKey = "slapgrid-test"

/** Words that run what follows in a session with a secret key, such as a ticket of Kerberos. */
const withKey = [
  "/usr/bin/python3",
  "-IS",
  "-c",
  `${keyctl}
ok = libc.syscall(KEYCTL, JOIN, None) > 0 and libc.syscall(ADD_KEY, b"user", b"${agentKey}", b"secret", 6, SESSION) > 0
os.execvp(sys.argv[1], sys.argv[1:]) if ok else sys.exit(1)`,
] as const

/** Containers often have none. */
const hasKeyrings = spawnSync(withKey[0], [...withKey.slice(1), "true"]).status === 0

/** Words that run what follows as the attacked agents are run. */
export const inAgentSession: ReadonlyArray<string> = hasKeyrings ? withKey : []

export const processAttacks: ReadonlyArray<ProcessAttack> = [
  { name: "signals the agent", tries: "signal_agent" },
  { name: "signals the agent's launcher", tries: "signal_launcher" },
  { name: "signals another partition's service", tries: "signal_neighbour" },
  { name: "traces the agent", tries: "trace_agent" },
  { name: "traces another partition's service", tries: "trace_neighbour" },
  { name: "reads the agent's environment", tries: "read_environment" },
  { name: "reads the agent's memory", tries: "read_memory" },
  { name: "goes through the agent's descriptors", tries: "use_descriptors" },
  { name: "reads another partition's environment", tries: "read_neighbour" },
  { name: "reads another partition's file", tries: "read_theirs" },
  { name: "reads the agent's state", tries: "read_state" },
  { name: "writes the agent's state", tries: "write_state" },
  { name: "connects to the control socket", tries: "connect" },
  { name: "makes a partition of its own", tries: "make_partition" },
  { name: "moves its own directory away", tries: "move_away" },
  { name: "becomes root by a setuid program", tries: "run_setuid" },
  { name: "becomes root by setuid(2)", tries: "become_root" },
  { name: "is in one of root's groups", tries: "use_groups" },
  { name: "has a capability", tries: "use_capabilities" },
  { name: "finds a variable of the agent's in its environment", tries: "find_variable" },
  { name: "finds what the agent preloads in its environment", tries: "find_preloaded" },
  { name: "finds a descriptor that it was not given", tries: "find_descriptors" },
  { name: "finds the agent's terminal", tries: "find_terminal" },
  { name: "leaves its cgroup", tries: "leave_cgroup" },
  { name: "takes the processor from others", tries: "raise_priority" },
  ...(hasKeyrings ? [{ name: "reads a key of the agent's session", tries: "read_keys" }] : []),
  { name: "mounts over others' directories", tries: "mount_over" },
]

/** In the environment of the agent, whoever that is. Nothing can be preloaded by that name. */
export const agentEnvironment = {
  SLAPGRID_TEST_SECRET: "a secret of the agent's",
  LD_PRELOAD: "/nonexistent/library.so",
}
const secretVariable = "SLAPGRID_TEST_SECRET"

/** Each function returns when it has succeeded, and raises when the machine has refused. */
export const probe = (targets: string): string => `#!/usr/bin/python3 -IS
import ctypes, json, os, signal, socket, subprocess, time

with open(${JSON.stringify(targets)}) as file:
    T = json.load(file)
${keyctl}
inherited = sorted(int(name) for name in os.listdir("/proc/self/fd"))

def must(ok):
    if not ok:
        raise PermissionError(ctypes.get_errno())

def trace(pid):
    PTRACE_ATTACH, PTRACE_DETACH = 16, 17
    must(libc.ptrace(PTRACE_ATTACH, pid, 0, 0) == 0)
    os.waitpid(pid, 0)
    must(libc.ptrace(PTRACE_DETACH, pid, 0, 0) == 0)

def text(path):
    with open(path, "rb") as file:
        return file.read()

def status(field):
    for line in open("/proc/self/status"):
        if line.startswith(field + ":"):
            return line.split(":")[1].split()

class Attacks:
    def signal_agent():
        os.kill(T["agent"], signal.SIGCONT)
    def signal_launcher():
        os.kill(T["launcher"], signal.SIGCONT)
    def signal_neighbour():
        os.kill(T["neighbour"], signal.SIGCONT)
    def trace_agent():
        trace(T["agent"])
    def trace_neighbour():
        trace(T["neighbour"])
    def read_environment():
        text("/proc/%d/environ" % T["agent"])
    def read_memory():
        with open("/proc/%d/maps" % T["agent"]) as maps:
            start = int(next(line for line in maps if " rw-p " in line).split("-")[0], 16)
        with open("/proc/%d/mem" % T["agent"], "rb") as memory:
            memory.seek(start)
            must(len(memory.read(16)) == 16)
    def use_descriptors():
        must(len(os.listdir("/proc/%d/fd" % T["agent"])) > 0)
    def read_neighbour():
        text("/proc/%d/environ" % T["neighbour"])
    def read_theirs():
        text(T["theirs"])
    def read_state():
        text(T["state"])
    def write_state():
        with open(T["state"] + ".planted", "x"):
            pass
        os.unlink(T["state"] + ".planted")
    def connect():
        client = socket.socket(socket.AF_UNIX)
        client.connect(T["socket"])
        client.close()
    def make_partition():
        os.mkdir(T["roots"] + "/slappart99")
        os.rmdir(T["roots"] + "/slappart99")
    def move_away():
        here = T["roots"] + "/" + os.path.basename(os.getcwd())
        os.rename(here, here + ".away")
        os.rename(here + ".away", here)
    def run_setuid():
        must(subprocess.run(T["setuid"] + ["-u"], stdout=subprocess.PIPE).stdout.strip() == b"0")
    def become_root():
        os.setresuid(0, 0, 0)
    def use_groups():
        must(0 in os.getgroups() + [os.getgid(), os.getegid()])
    def use_capabilities():
        must(any(int(status(name)[0], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb")))
    def find_variable():
        os.environ["${secretVariable}"]
    def find_preloaded():
        os.environ["LD_PRELOAD"]
    def find_descriptors():
        must(any(fd > 2 and os.path.exists("/proc/self/fd/%d" % fd) for fd in inherited))
    def find_terminal():
        os.close(os.open("/dev/tty", os.O_RDWR))
    def leave_cgroup():
        with open(T["cgroup"] + "/cgroup.procs", "w") as file:
            file.write("0")
    def read_keys():
        key = libc.syscall(KEYCTL, SEARCH, SESSION, b"user", b"${agentKey}", None)
        must(key > 0)
        must(libc.syscall(KEYCTL, READ, key, ctypes.create_string_buffer(100), 100) > 0)
    def raise_priority():
        os.nice(-5)
        os.nice(5)
    def mount_over():
        must(libc.mount(b"none", b"/mnt", b"tmpfs", 0, None) == 0)
        must(libc.umount(b"/mnt") == 0)

results = {}
for name, attack in vars(Attacks).items():
    if name.startswith("_"):
        continue
    try:
        attack()
        results[name] = "succeeded"
    except Exception as error:
        results[name] = "%s: %s" % (type(error).__name__, error)
with open(T["results"] + ".new", "w") as file:
    json.dump(results, file)
os.rename(T["results"] + ".new", T["results"])
if T["stays"]:
    time.sleep(100000)
`

/** Runs the program as a careless agent would: with its user, environment, terminal, descriptors and keys. */
export const runCarelessly = (path: string, cwd: string): void => {
  // script(1) gives it a terminal, the shell a descriptor.
  const script = ["script", "--quiet", "--return", "--command", `exec 9</etc/hostname; exec ${path}`, "/dev/null"]
  const [program = "", ...words] = [...inAgentSession, ...script]
  const env = { ...process.env, ...agentEnvironment }
  spawnSync(program, words, { cwd, env, stdio: "ignore", timeout: 20_000 })
}
