"""Starts the processes of one slapgrid agent, and tells how they end.

Forking a process of 8 MB takes a tenth of what forking Node takes, and does not stop the agent's event loop. Requests
come as lines of JSON on standard input, answers and ends go out the same way. A program is run when execve(2) has
succeeded: whatever keeps it from running has a name and an errno. When the agent is gone, so is this process: what asked
for it (`dies`) goes with it, services run on. Python 3.6 or newer, standard library only: `python3 -I -S`.
"""

import ctypes
import errno
import json
import os
import pwd
import resource
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_NAME = 15
PR_SET_CHILD_SUBREAPER = 36
FALLOC_FL_COLLAPSE_RANGE = 8
# What a login gives a user; Node raises the agent's own as far as it can.
OPEN_FILES = 1024
# Enough for ten thousand services.
AGENTS_OPEN_FILES = 524288
# Seconds after which no further user is looked up for one question: the agent waits for twice of it.
LOOK_UP_TIME = 5
# From here on, no system gives them to anybody: half of 32 bits is more than many programs can read.
NOBODYS_UIDS = 0xF0000000

# Somebody who signals everything that he finds means the agent, which ends us. The last two Python itself ignores.
# They are caught, not ignored: for programs execve(2) then takes that back.
harmless_signals = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
encode = json.JSONEncoder(separators=(",", ":")).encode


def start_time(pid):
    """Clock ticks since boot, as text: proc(5). The process has not been waited for, so it is there."""
    fd = os.open("/proc/%d/stat" % pid, os.O_RDONLY)
    try:
        return os.read(fd, 4096).rsplit(b") ", 1)[1].split()[19].decode()
    finally:
        os.close(fd)


def write(path, text):
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, text)
    finally:
        os.close(fd)


def take(descriptor, path, flags):
    """Opens a path as the descriptor of that number."""
    fd = os.open(path, flags)
    os.dup2(fd, descriptor)
    if fd != descriptor:
        os.close(fd)
    os.set_inheritable(descriptor, True)


def wait_for_ever():
    """Standard input without data and without end: a pipe that its reader holds open for writing, too."""
    reader, writer = os.pipe()
    take(0, "/proc/self/fd/%d" % reader, os.O_RDWR)
    os.close(reader)
    os.close(writer)


def limited(kind, soft):
    """A limit that this process may set, and its hard one as it is."""
    hard = resource.getrlimit(kind)[1]
    return (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard)


def allow_open_files(pid):
    """As many as the agent of thousands of services needs, for it and for this process. No limit is ever lowered."""
    # By now the number of an agent that has died could be somebody else's.
    agents = [pid] if os.getppid() == pid else []
    try:
        with open("/proc/sys/fs/nr_open") as file:
            wanted = min(AGENTS_OPEN_FILES, int(file.read()))
        for one in (*agents, own_pid):
            soft, hard = resource.prlimit(one, resource.RLIMIT_NOFILE)
            if soft != resource.RLIM_INFINITY and soft < wanted:
                more = hard if hard == resource.RLIM_INFINITY else max(hard, wanted)
                resource.prlimit(one, resource.RLIMIT_NOFILE, (wanted, more))
    except (AttributeError, OSError, ValueError):
        # Only root can: for anybody else the machine's own words stand.
        pass


def become_program(request, at):
    """Turns this forked process into the program; `at` is called with the step that comes next."""
    at("join its cgroup")
    if request["cgroup"] is not None:
        # 0 is the writer itself. Before anything else: nothing that it starts can be elsewhere.
        write(request["cgroup"] + "/cgroup.procs", b"0")
    at("lead a session")
    os.setsid()
    at("open its input")
    if request["waits"]:
        wait_for_ever()
    else:
        take(0, request["input"] or "/dev/null", os.O_RDONLY)
    at("open its output")
    take(1, request["output"], os.O_WRONLY | os.O_APPEND)
    os.dup2(1, 2)
    at("set its limits")
    resource.setrlimit(resource.RLIMIT_NOFILE, open_files)
    if request["processes"] is not None:
        resource.setrlimit(resource.RLIMIT_NPROC, limited(resource.RLIMIT_NPROC, request["processes"]))
    reset_badness()
    if request["user"] is not None:
        at("leave the agent's keyring")
        leave_keyring()
        at("change its user")
        become(request["user"])
    if request["dies"]:
        # Not before the change of user, which resets it.
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != own_pid:
            os._exit(1)
    os.umask(request["umask"])
    at("enter " + request["cwd"])
    os.chdir(request["cwd"])
    program = request["argv"][0]
    at("execute " + program)
    # The other one looks through the PATH, with much that a fork would get a copy of.
    execute = os.execve if "/" in program else os.execvpe
    execute(program, request["argv"], request["env"])


def collapse(request, at):
    """Takes bytes off the head of an open file in place: fallocate(2)."""
    at("collapse")
    fd = os.open(request["collapse"], os.O_RDWR)
    checked(libc.fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, ctypes.c_int64(0), ctypes.c_int64(request["length"])))
    return {}


def look_up(request, at):
    """What the user database says of each uid, null when it has no entry; of the first ones only, if it is slow."""
    end = time.monotonic() + LOOK_UP_TIME
    accounts = []
    for uid in request["accounts"]:
        accounts.append(account_of(uid, at))
        if time.monotonic() > end:
            break
    return {"accounts": accounts}


def account_of(uid, at):
    at("look up uid %d" % uid)
    try:
        entry = pwd.getpwuid(uid)
    except KeyError:
        return None
    groups = os.getgrouplist(entry.pw_name, entry.pw_gid)
    return {"name": entry.pw_name, "home": entry.pw_dir, "groups": groups}


def kill_user(request, at):
    """
    Ends all processes of a user at once: kill(2) for -1 leaves no moment in which one of them could fork. A list of them
    is outdated before it is read. It spares the one that calls it, and reaches nothing that this user may not signal.
    """
    uid = request["kill"]
    at("kill the processes of uid %d" % uid)
    if uid in (0, os.getuid()):
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))
    # A signal goes by the sender's effective user and the receiver's real and saved ones: nobody can stop this process.
    alone = NOBODYS_UIDS + os.getpid()
    try:
        os.setresuid(alone, uid, alone)
    except OSError:
        # A user namespace has fewer.
        os.setresuid(uid, uid, uid)
    # Whatever the kernel was told about the change of users: with these, it would be everybody.
    drop_capabilities()
    try:
        os.kill(-1, signal.SIGKILL)
    except ProcessLookupError:
        pass
    return {"killed": True}


def work(task, request, report):
    """A forked process: gives what the task returned, or the step that failed and its errno, through `report`."""
    steps = [""]
    if task is not become_program:
        # What is caught interrupts what others wrote, the user database's say.
        for number in harmless_signals:
            signal.signal(number, signal.SIG_IGN)
    try:
        answer = task(request, steps.append)
    except OSError as error:
        answer = {"step": steps[-1], "errno": error.errno}
    except BaseException as error:
        answer = {"step": steps[-1], "errno": 0, "why": repr(error)}
    data = json.dumps(answer).encode()
    while data:
        data = data[os.write(report, data) :]
    os._exit(127)


def reset_badness():
    """The agent protects itself from the kernel's out-of-memory killer, not what it runs."""
    try:
        write("/proc/self/oom_score_adj", b"0")
    except OSError:
        pass


class Launcher:
    def __init__(self):
        self.poll = select.poll()
        self.handlers = {}
        # The end of a process that has not told yet whether it became its program, or None.
        self.starting = {}
        self.running = set()
        # What those have told so far that did not become their programs, by the pipe.
        self.answers = {}
        # Those of them that do not outlive the agent.
        self.dying = set()
        self.input = b""
        self.output = b""

    def watch(self, fd, handler):
        self.handlers[fd] = handler
        self.poll.register(fd, select.POLLIN)

    def forget(self, fd):
        del self.handlers[fd]
        self.poll.unregister(fd)
        os.close(fd)

    def run(self):
        wake, waker = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self.watch(wake, self.reap)
        self.watch(0, self.receive)
        while True:
            for fd, _ in self.poll.poll():
                if fd in self.handlers:
                    self.handlers[fd](fd)
            self.flush()

    def tell(self, message):
        self.output += encode(message).encode() + b"\n"

    def flush(self):
        while self.output:
            try:
                self.output = self.output[os.write(1, self.output) :]
            except BrokenPipeError:
                self.leave()

    def receive(self, fd):
        data = os.read(fd, 1 << 20)
        if not data:
            self.leave()
        *lines, self.input = (self.input + data).split(b"\n")
        for line in lines:
            request = json.loads(line.decode())
            if "signal" in request:
                self.signal(request)
            elif "close" in request:
                for pipe_end in request["close"]:
                    os.close(pipe_end)
            elif "pipe" in request:
                self.pipe(request["id"])
            else:
                self.start(request)

    def pipe(self, number):
        """Makes a pipe that the agent opens through /proc, and then has closed here. Node itself can make none."""
        try:
            reader, writer = os.pipe()
        except OSError as error:
            self.tell({"id": number, "step": "make a pipe", "errno": error.errno})
            return
        self.tell({"id": number, "reader": reader, "writer": writer})

    def start(self, request):
        number = request["id"]
        try:
            done, report = os.pipe()
            try:
                pid = os.fork()
            except OSError:
                os.close(done)
                os.close(report)
                raise
        except OSError as error:
            self.tell({"id": number, "step": "fork", "errno": error.errno})
            return
        if pid == 0:
            work(self.task(request), request, report)
        os.close(report)
        self.starting[pid] = None
        started = start_time(pid)
        if request.get("dies"):
            self.dying.add(pid)
        self.watch(done, lambda fd: self.started(fd, number, pid, started))

    def task(self, request):
        if "argv" in request:
            return become_program
        if "collapse" in request:
            return collapse
        return kill_user if "kill" in request else look_up

    def started(self, fd, number, pid, started):
        """The child has become its program, or has answered."""
        # Each time what is there: one that its user stops half way must not stop everything.
        answer = os.read(fd, 1 << 16)
        if answer:
            self.answers[fd] = self.answers.get(fd, b"") + answer
            return
        answer = self.answers.pop(fd, None)
        self.forget(fd)
        end = self.starting.pop(pid)
        if answer:
            self.tell(dict(json.loads(answer.decode()), id=number))
            return
        self.tell({"id": number, "pid": pid, "startTime": started})
        if end is None:
            self.running.add(pid)
        else:
            self.tell(end)

    def reap(self, fd):
        try:
            os.read(fd, 4096)
        except BlockingIOError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.dying.discard(pid)
            end = {"end": pid}
            if os.WIFSIGNALED(status):
                end["signal"] = os.WTERMSIG(status)
            else:
                end["code"] = os.WEXITSTATUS(status)
            if pid in self.starting:
                self.starting[pid] = end
            elif pid in self.running:
                self.running.remove(pid)
                self.tell(end)
            # Others are orphans of what runs here: nobody else would reap them.

    def leave(self):
        """The agent is gone: what was to die with it does, with what it has started in its group."""
        for pid in self.dying:
            try:
                os.killpg(pid, signal.SIGKILL)
            except OSError:
                pass
        os._exit(0)

    def signal(self, request):
        """To a process group of ours: until its leader was reaped, its number is nobody else's."""
        if request["pid"] in self.running:
            try:
                os.killpg(request["pid"], request["signal"])
            except OSError:
                pass


def close_inherited():
    """Whatever the agent was given by its own parent is not for programs."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.close(int(name))
            except OSError:
                # The one that listed them.
                pass


close_inherited()
allow_open_files(int(sys.argv[2]))
open_files = limited(resource.RLIMIT_NOFILE, OPEN_FILES)
prctl(PR_SET_CHILD_SUBREAPER, 1)
libc.prctl(PR_SET_NAME, ctypes.create_string_buffer(b"slapgrid-launch"), 0, 0, 0)
for number in harmless_signals:
    signal.signal(number, lambda *_: None)
Launcher().run()
