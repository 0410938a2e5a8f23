// Programs that a partition's user could write to get away from the supervisor, or to disturb it. Each works in the
// partition's directory, tells that it has done its worst by the file `ready`, and gives up when `stay` is gone: what
// nobody can find and end must not outlive a test.

const prelude = `#!/usr/bin/python3 -IS
import ctypes, os, signal, sys, time

libc = ctypes.CDLL(None, use_errno=True)

def ready(*words):
    with open(".ready", "w") as file:
        file.write(" ".join(map(str, words)))
    os.rename(".ready", "ready")

def stays():
    if not os.path.exists("stay"):
        os._exit(0)

def wait():
    while True:
        stays()
        time.sleep(1)

def ignore_term():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)

def hop():
    """Another process from now on."""
    stays()
    if os.fork():
        os._exit(0)
`

export interface Hostile {
  readonly name: string
  readonly program: string
  /** Whether what the agent started stays, so that the next agent has to adopt it. */
  readonly stays: boolean
  /** Whether it stands still long enough to be found by session, parent or environment: an ordinary user has no more. */
  readonly isKin: boolean
}

const hostile = (
  name: string,
  source: string,
  { isKin = true, stays = true }: Partial<Pick<Hostile, "isKin" | "stays">> = {},
): Hostile => ({ name, program: `${prelude}${source}`, stays, isKin })

export const hostiles: ReadonlyArray<Hostile> = [
  hostile(
    "forks two hundred times",
    `
for _ in range(200):
    if os.fork() == 0:
        wait()
ready()
wait()
`,
  ),
  hostile(
    "leaves a daemon behind that led a session of its own",
    `
if os.fork() == 0:
    os.setsid()
    hop()
    ignore_term()
    ready()
    wait()
wait()
`,
  ),
  hostile(
    "is another process in another session and group every few milliseconds",
    `
generation = 0
while True:
    hop()
    os.setsid()
    time.sleep(0.005)
    generation += 1
    if generation == 20:
        ready()
`,
    { isKin: false, stays: false },
  ),
  hostile(
    "ignores SIGTERM",
    `
ignore_term()
ready()
wait()
`,
  ),
  hostile(
    "ignores SIGTERM with its whole tree, in groups of their own",
    `
ignore_term()
for depth in range(30):
    if os.fork():
        wait()
    os.setpgid(0, 0)
ready()
wait()
`,
  ),
  hostile(
    "stops itself and its group",
    `
if os.fork():
    ready()
    os.killpg(0, signal.SIGSTOP)
wait()
`,
  ),
  hostile(
    "closes all that it was given",
    `
ready()
os.closerange(0, 1000)
wait()
`,
  ),
  hostile(
    "writes 50 MB at once",
    `
line = b"x" * 99 + b"\\n"
os.write(1, line * 500000)
ready()
wait()
`,
  ),
  hostile(
    "stops and traces its sibling",
    `
PTRACE_ATTACH = 16
while not os.path.exists("sibling"):
    time.sleep(0.01)
pid = int(open("sibling").read())
traced = libc.ptrace(PTRACE_ATTACH, pid, 0, 0)
os.kill(pid, signal.SIGSTOP)
ignore_term()
ready(traced)
wait()
`,
  ),
  hostile(
    "has a name that looks like more fields",
    `
PR_SET_NAME = 15
names = [b") Z 1 1 (", b"a) R 1\\n2) S (", b"(((", b")))", b" ) ) 0 0 0 0", b"\\n\\n"]
ready()
while True:
    for name in names:
        libc.prctl(PR_SET_NAME, name, 0, 0, 0)
        time.sleep(0.001)
`,
  ),
  hostile(
    "forks for ever once it is asked to end",
    `
def fork_on(*_):
    ignore_term()
    for _ in range(3):
        if os.fork() == 0:
            break
    while True:
        hop()
signal.signal(signal.SIGTERM, fork_on)
ready()
wait()
`,
  ),
  hostile(
    "reaps none of its children",
    `
for _ in range(50):
    os.posix_spawn("/bin/true", ["true"], {})
if os.fork() == 0:
    hop()
    ignore_term()
    ready()
    wait()
wait()
`,
    // Its grandchild has lost its parent, but not its session.
  ),
  hostile(
    "wants to be in another cgroup",
    `
import glob
moved = []
for place in glob.glob("/sys/fs/cgroup/**/cgroup.procs", recursive=True):
    try:
        with open(place, "w") as file:
            file.write("0")
        moved.append(place)
    except OSError:
        pass
ready("moved", *moved)
wait()
`,
  ),
]

/** What runs beside each of them. */
export const sibling = `#!/bin/sh
echo $$ >.sibling && mv .sibling sibling
while :; do read _; done
`
