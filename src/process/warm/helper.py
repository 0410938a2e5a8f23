"""Runs one release's buildout for many instances: what every run would import is imported once, then forked.

The agent starts it with the release's own interpreter. It executes the release's `bin/buildout` up to its main guard,
and the rest of it in a forked child for each request. Requests come as lines of JSON on standard input, answers go out
the same way. It has the capabilities to become another user, and no way to become root: its user namespace has none.
A child waits until the agent has put it into its cgroup, becomes its user for good, and has nothing left of what it
was forked from but modules. When the pipe closes, this process ends, and its children with it. Python 3.9 or newer,
standard library only.
"""

import ast
import collections.abc
import ctypes
import gc
import json
import os
import re
import resource
import select
import signal
import sys
import types

# As cold runs have it: Node raises the agent's own as far as it can.
OPEN_FILES = 1024
# Of what the imports print, which every run would print anew.
OUTPUT_LIMIT = 1 << 16
# What abstract classes are asked about by os.environ and logging: they remember the answers.
ASKED_ABOUT = (dict, str)
# openssl/crypto.h
OPENSSL_INIT_NO_ATEXIT = 0x00080000


def move(descriptor):
    """The same file under a number that no program finds by accident, and not for programs."""
    moved = os.dup(descriptor)
    os.set_inheritable(moved, False)
    return moved


def limit_open_files():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    soft = OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def restore_collections():
    """Names that Debian's zc.buildout 2.13.2 imports from where they no longer are."""
    for name in collections.abc.__all__:
        if not hasattr(collections, name):
            setattr(collections, name, getattr(collections.abc, name))


def is_main_guard(statement):
    """if __name__ == "__main__":"""
    if not isinstance(statement, ast.If) or not isinstance(statement.test, ast.Compare):
        return False
    left = statement.test.left
    return isinstance(left, ast.Name) and left.id == "__name__"


def split(path):
    """The code of a script before its main guard, and the rest."""
    with open(path, "rb") as file:
        body = ast.parse(file.read(), path).body
    guards = [index for index, statement in enumerate(body) if is_main_guard(statement)]
    if not guards:
        raise SystemExit("%s has no main guard: where to stop is not known" % path)

    def code(statements):
        return compile(ast.Module(statements, []), path, "exec", dont_inherit=True)

    return code(body[: guards[0]]), code(body[guards[0] :])


def skip_cleanup():
    """Has OpenSSL leave its memory to the kernel when a run ends: to take it apart is to get a copy of all of it."""
    import importlib.util

    module = importlib.util.find_spec("_hashlib")
    try:
        # By the module that is linked with it, before that one is imported.
        library = ctypes.CDLL(module.origin if module.has_location else None)
        library.OPENSSL_init_crypto(ctypes.c_uint64(OPENSSL_INIT_NO_ATEXIT), None)
    except (AttributeError, OSError):
        # There is none, or another one.
        pass


def fillers():
    """
    Objects for each place between others that is free. A run's own go there first, scattered over pages that are shared
    until then and copied for them. CPython tells where it has room: places of a size class, and how many are free.
    """
    if not hasattr(sys, "_debugmallocstats"):
        return []
    statistics, stderr = os.memfd_create("statistics"), os.dup(2)
    os.dup2(statistics, 2)
    try:
        sys._debugmallocstats()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
    text = os.pread(statistics, 1 << 20, 0).decode()
    os.close(statistics)
    rows = re.findall(r"^ *\d+ +(\d+) +\d+ +\d+ +(\d+)$", text, re.MULTILINE)
    least = sys.getsizeof(b"")
    return [bytes(int(size) - least) for size, free in rows if int(size) >= least for _ in range(int(free))]


class Warm:
    """What is there after the imports, for each child."""

    def __init__(self, script, folders):
        self.script = script
        # The interpreter's own addition (PEP 538) counts as made by the imports: every run has it.
        before = {name: value for name, value in os.environ.items() if name != "LC_CTYPE"}
        output = os.memfd_create("output")
        put(os.dup(output), 1, 2)
        main = types.ModuleType("__main__")
        main.__file__ = script
        main.__builtins__ = __builtins__
        # What an import leaves beside its module would belong to the release's owner, and change its folders.
        writes = sys.dont_write_bytecode
        sys.dont_write_bytecode = True
        head, self.tail = split(script)
        sys.modules["__main__"] = main
        sys.argv[:] = [script]
        if sys.path[:1] == [""]:
            sys.path[0] = os.path.dirname(os.path.abspath(script))
        self.scans = Scans()
        sys.meta_path.insert(0, self.scans)
        exec(head, main.__dict__)
        import zc.buildout.buildout

        if self.scans in sys.meta_path:
            sys.meta_path.remove(self.scans)
        self.scans.serve()
        sys.stdout.flush()
        sys.stderr.flush()
        self.output = os.pread(output, OUTPUT_LIMIT, 0)
        os.close(output)
        self.scans.keep(sys.path, folders)
        keep_requirements(self.scans.recipes(folders))
        sys.dont_write_bytecode = writes
        self.main = main.__dict__
        self.preloaded = Preloaded(folders)
        self.changed = {name: value for name, value in os.environ.items() if before.get(name) != value}
        self.removed = [name for name in before if name not in os.environ]
        self.acts_at_its_end = False
        self.fillers = []
        self.settle()

    def settle(self):
        """What was imported stays: pages that no collection touches, and no new object, stay shared with the children."""
        self.scans.rest()
        for kind in ASKED_ABOUT:
            issubclass(kind, collections.abc.Mapping)
        # The last garbage of the imports: what is older, cold runs have too. Unless something comes of it at their end.
        gc.collect(1)
        acting = acting_at_their_end()
        if acting:
            del acting
            gc.collect()
            acting = acting_at_their_end()
        self.acts_at_its_end = self.acts_at_its_end or bool(acting)
        self.fillers += fillers()
        gc.freeze()

    def environment(self, environment):
        result = dict(environment, **self.changed)
        for name in self.removed:
            result.pop(name, None)
        return result


class Child:
    def __init__(self, number, pid, go, report):
        self.number = number
        self.pid = pid
        self.go = go
        self.report = report


class Helper:
    def __init__(self, warm, requests, answers):
        self.warm = warm
        self.requests = requests
        self.answers = answers
        self.poll = select.poll()
        self.poll.register(requests, select.POLLIN)
        self.children = {}
        self.trials = {}
        self.input = b""

    def tell(self, message):
        data = json.dumps(message, separators=(",", ":")).encode() + b"\n"
        try:
            while data:
                data = data[os.write(self.answers, data) :]
        except OSError:
            self.leave()

    def serve(self):
        """Returns in children only: a request to go on with."""
        while True:
            for fd, _ in self.poll.poll():
                if fd == self.requests:
                    child = self.receive()
                    if child is not None:
                        return child
                else:
                    self.reap(fd)

    def receive(self):
        data = os.read(self.requests, 1 << 20)
        if not data:
            self.leave()
        *lines, self.input = (self.input + data).split(b"\n")
        for line in lines:
            message = json.loads(line.decode())
            if "go" in message:
                self.let_go(message["go"])
            elif "preload" in message:
                self.preload(message["preload"], message["tried"])
            else:
                child = self.fork(message)
                if child is not None:
                    return child
        return None

    def fork(self, request):
        go_reader, go = os.pipe()
        report, report_writer = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            for fd in (go_reader, go, report, report_writer):
                os.close(fd)
            self.tell({"end": request["id"], "code": 127, "step": "fork", "why": error.strerror})
            return None
        if pid == 0:
            os.close(go)
            return request, go_reader, report_writer
        os.close(go_reader)
        os.close(report_writer)
        watched = os.pidfd_open(pid)
        self.children[watched] = Child(request["id"], pid, go, report)
        self.poll.register(watched, select.POLLIN)
        self.tell({"id": request["id"], "pid": pid})
        return None

    def let_go(self, number):
        for child in self.children.values():
            if child.number == number:
                try:
                    os.write(child.go, b"g")
                except BrokenPipeError:
                    # It has ended.
                    pass

    def preload(self, recipes, are_tried):
        """Those that were tried before are imported at once, others when a fork that tries has ended."""
        if are_tried:
            return self.import_recipes(recipes)
        report, report_writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            try:
                try_out(self.warm.preloaded, recipes, report_writer)
            finally:
                os._exit(1)
        os.close(report_writer)
        watched = os.pidfd_open(pid)
        self.trials[watched] = recipes, report
        self.poll.register(watched, select.POLLIN)

    def end_trial(self, watched):
        recipes, report = self.trials.pop(watched)
        self.poll.unregister(watched)
        os.waitid(os.P_PIDFD, watched, os.WEXITED)
        result = os.read(report, 1 << 16).decode()
        for fd in (watched, report):
            os.close(fd)
        if result == PASSED:
            self.import_recipes(recipes)
        else:
            self.tell({"preloaded": False, "why": result or "the attempt was ended"})

    def import_recipes(self, recipes):
        self.warm.preloaded.load(recipes)
        self.warm.settle()
        self.tell({"preloaded": True, "why": None})

    def reap(self, watched):
        if watched in self.trials:
            return self.end_trial(watched)
        child = self.children.pop(watched)
        self.poll.unregister(watched)
        _, status, usage = os.wait4(child.pid, 0)
        end = {"end": child.number, "seconds": usage.ru_utime + usage.ru_stime}
        if os.WIFEXITED(status):
            end["code"] = os.WEXITSTATUS(status)
        else:
            end["signal"] = os.WTERMSIG(status)
        # Empty when it came to its main, which has nothing to write here.
        failed = os.read(child.report, 1 << 16)
        if failed:
            end.update(json.loads(failed.decode()))
        for fd in (watched, child.go, child.report):
            os.close(fd)
        self.tell(end)

    def leave(self):
        """The agent is gone, or done with this process: what runs ends, with what it has started in its group."""
        for child in self.children.values():
            try:
                # Its number is its own: it was not reaped.
                os.killpg(child.pid, signal.SIGKILL)
            except OSError:
                # It leads no group yet, and ends with this process.
                pass
        os._exit(0)


def start():
    """Takes the pipes to the agent out of the way and imports."""
    requests, answers, complaints = move(0), move(1), move(2)
    put(os.open("/dev/null", os.O_RDONLY), 0)
    limit_open_files()
    script, restores, *folders = sys.argv[1:]
    try:
        os.close(os.pidfd_open(own_pid))
        if restores == "restore":
            restore_collections()
        skip_cleanup()
        warm = Warm(script, folders)
    except BaseException:
        import traceback

        os.write(complaints, traceback.format_exc().encode())
        os._exit(1)
    put(os.open("/dev/null", os.O_WRONLY), 1)
    put(complaints, 2)
    helper = Helper(warm, requests, answers)
    helper.tell({"ready": True})
    return helper


helper = start()
become_run(helper.warm, *helper.serve())
# From here on the interpreter runs a script as it always does.
try:
    exec(helper.warm.tail, helper.warm.main)
    status = 0
except BaseException as ending:
    code = getattr(ending, "code", None)
    if not isinstance(ending, SystemExit) or not (code is None or isinstance(code, int) and 0 <= code < 256):
        # What was imported before goes as if it had been now.
        gc.unfreeze()
        raise
    status = int(code or 0)
end(helper.warm, status)
gc.unfreeze()
sys.exit(status)
