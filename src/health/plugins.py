"""Runs the promise plugins of one partition: what they share is imported once, then each runs in a fork of its own.

The agent starts it as the partition's user with the interpreter of the partition's release. Requests come as lines of
JSON on standard input, answers go out the same way on what was standard output. The first plugin says where
`slapos.grid.promise` lies: nothing of that is ours. A plugin that takes too long is ended with everything that it
started, and so is what a plugin leaves behind. When the input ends, this process does. Python 2.7 and 3, standard
library only.
"""

import ast
import ctypes
import errno
import json
import os
import select
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MESSAGE_LIMIT = 5000
# Of what a plugin's process tells this one.
ANSWER_LIMIT = 1 << 20

own_pid = os.getpid()
now = getattr(time, "monotonic", time.time)
try:
    libc = ctypes.CDLL(None)
except Exception:
    libc = None


def prctl(option, value):
    if libc is not None:
        libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0)


def text(value):
    """Anything as text, the end of it when that is long."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        value = value if isinstance(value, type(u"")) else type(u"")(value)
    except Exception:
        value = repr(value)
    return value if len(value) <= MESSAGE_LIMIT else u"..." + value[-MESSAGE_LIMIT:]


def describe(error):
    message = text(error)
    return u"%s: %s" % (type(error).__name__, message) if message else text(type(error).__name__)


def send(fd, message):
    # ASCII, whatever it holds.
    data = json.dumps(message).encode("ascii") + b"\n"
    while data:
        data = data[os.write(fd, data) :]


def wait_readable(descriptors, timeout):
    """Which of them can be read from."""
    poll = select.poll()
    for fd in descriptors:
        poll.register(fd, select.POLLIN)
    try:
        return [fd for fd, _ in poll.poll(None if timeout is None else int(max(0, timeout) * 1000) + 1)]
    except (OSError, select.error) as error:
        if error.args[0] == errno.EINTR:
            return []
        raise


def is_alive(pid):
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return file.read().rsplit(b") ", 1)[1][:1] not in (b"Z", b"X")
    except (IOError, OSError, IndexError):
        return False


def parent_of(pid):
    try:
        with open("/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rsplit(b") ", 1)[1].split()[1])
    except (IOError, OSError, IndexError):
        return None


def children(pid):
    """Living children: proc(5), /proc/PID/task/TID/children, which a kernel can lack."""
    try:
        found = []
        for thread in os.listdir("/proc/%d/task" % pid):
            with open("/proc/%d/task/%s/children" % (pid, thread)) as file:
                found += [int(one) for one in file.read().split()]
    except (IOError, OSError):
        found = [int(one) for one in os.listdir("/proc") if one.isdigit() and parent_of(int(one)) == pid]
    return [one for one in found if is_alive(one)]


def descendants(ancestor):
    family = []
    new = children(ancestor)
    while new:
        family += new
        new = [child for parent in new for child in children(parent) if child not in family]
    return family


def signal_quietly(pid, number):
    try:
        os.kill(pid, number)
    except OSError:
        pass


def end_tree(pid):
    """It adopts what its descendants leave behind: while it stands still, nothing of its tree can get away."""
    signal_quietly(pid, signal.SIGSTOP)
    for _ in range(1000):
        family = descendants(pid)
        if not family:
            break
        for one in family:
            signal_quietly(one, signal.SIGSTOP)
        for one in family:
            signal_quietly(one, signal.SIGKILL)
    signal_quietly(pid, signal.SIGKILL)


def import_path(folder, names):
    """What the first assignment of the first plugin that makes one puts at the head of sys.path."""
    problem = "no plugin could be read"
    for name in names:
        try:
            with open(os.path.join(folder, name), "rb") as file:
                body = ast.parse(file.read(), name).body
            assignment = next(node for node in body if isinstance(node, ast.Assign))
            expected = ast.parse("sys.path[0:0] = []").body[0].targets
            if [ast.dump(node) for node in assignment.targets] != [ast.dump(node) for node in expected]:
                raise ValueError("its first assignment is not to sys.path[0:0]")
            return ast.literal_eval(assignment.value)
        except StopIteration:
            problem = "%s does not assign to sys.path[0:0]" % name
        except Exception as error:
            problem = "%s: %s" % (name, describe(error))
    raise ValueError(problem)


def load(path, title):
    """The module of a plugin, from this very file."""
    if sys.version_info >= (3, 5):
        import importlib.util

        spec = importlib.util.spec_from_file_location(title, path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[title] = module
        spec.loader.exec_module(module)
        return module
    import imp

    return imp.load_source(title, path)


class ResultQueue(object):
    """Where a plugin puts its result."""

    def __init__(self, fd):
        self.fd = fd

    def put(self, item, block=True, timeout=None):
        result = item.item
        message = None if result.message is None else text(result.message)
        found = {"type": result.type(), "failed": bool(result.hasFailed()), "message": message}
        send(self.fd, {"result": found})

    put_nowait = put


class Classes(object):
    """What plugins are made of, from where the plugins themselves take it."""

    def __init__(self, folder, names):
        sys.path[0:0] = import_path(folder, names)
        from slapos.grid.promise import interface
        from slapos.grid.promise.generic import GenericPromise

        self.interface = interface.IPromise
        self.generic = GenericPromise

    def find(self, module, name):
        found = getattr(module, "RunPromise", None)
        if found is None:
            raise AttributeError("%s has no class RunPromise" % name)
        if not self.interface.implementedBy(found):
            raise TypeError("RunPromise of %s is not declared to implement IPromise" % name)
        if not issubclass(found, self.generic):
            raise TypeError("RunPromise of %s is no GenericPromise" % name)
        return found


def check_name(name):
    if not (name[:1].isalpha() or name[:1] == "_"):
        raise ValueError("a plugin's name has to begin with a letter")


def run_plugin(classes, config, request, report):
    """In the plugin's own process: makes it and has it work; everything that it finds goes through `report`."""
    name = request["run"]
    title = os.path.splitext(name)[0]
    path = os.path.join(config["folder"], name)
    check_name(name)
    os.chdir(config["arguments"]["partition-folder"])
    sys.dont_write_bytecode = True
    if sys.path[:1] != [config["folder"]]:
        sys.path[0:0] = [config["folder"]]
    arguments = dict(config["arguments"], queue=ResultQueue(report), path=path, name=name)
    module = load(path, title)
    found = classes.find(module, name)
    extra = getattr(module, "extra_config_dict", {})
    if not isinstance(extra, dict):
        raise ValueError("extra_config_dict is no dictionary")
    taken = sorted(set(extra) & set(arguments))
    if taken:
        raise ValueError("extra_config_dict must not have %s" % ", ".join(taken))
    arguments.update(extra)
    promise = found(arguments)
    send(report, {"about": about(promise)})
    # Whether to bang is for the agent, once for all promises of a run.
    promise.run(request["anomaly"], False)


def about(promise):
    return {
        "isTested": bool(promise.isTested()) if hasattr(promise, "isTested") else True,
        "isAnomalyDetected": bool(promise.isAnomalyDetected()) if hasattr(promise, "isAnomalyDetected") else True,
        "periodicity": float(promise.getPeriodicity()),
        "bangs": bool(getattr(promise, "_GenericPromise__allow_bang", True)),
    }


def become_plugin(classes, config, request, report, inherited):
    """The rest of this process's life."""
    status = 1
    try:
        for fd in inherited:
            os.close(fd)
        os.setsid()
        prctl(PR_SET_CHILD_SUBREAPER, 1)
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != own_pid:
            os._exit(1)
        run_plugin(classes, config, request, report)
        status = 0
    except BaseException as error:
        try:
            send(report, {"problem": describe(error)})
        except Exception:
            pass
    finally:
        try:
            import logging

            logging.shutdown()
        finally:
            os._exit(status)


def how_it_ended(status):
    if os.WIFSIGNALED(status):
        return "it was killed by signal %d" % os.WTERMSIG(status)
    return "it gave no result (exit status %d)" % os.WEXITSTATUS(status)


class Plugin(object):
    """One that runs, and what its process has told so far."""

    def __init__(self, name, pid, timeout):
        self.name = name
        self.pid = pid
        self.began = now()
        self.deadline = self.began + timeout
        self.answer = {}
        self.rest = b""
        self.size = 0

    def hear(self, data):
        self.size += len(data)
        lines = (self.rest + data).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            try:
                message = json.loads(line.decode("utf-8"))
            except ValueError:
                # Whatever a plugin writes there is its own affair.
                continue
            if isinstance(message, dict):
                self.answer.update(message)

    @property
    def has_told(self):
        return "result" in self.answer or "problem" in self.answer


class Runner(object):
    def __init__(self, classes, config, requests, answers):
        self.classes = classes
        self.config = config
        self.requests = requests
        self.answers = answers
        self.plugins = {}

    def serve(self):
        rest = b""
        while True:
            deadlines = [plugin.deadline for plugin in self.plugins.values()]
            timeout = min(deadlines) - now() if deadlines else None
            for fd in wait_readable([self.requests] + list(self.plugins), timeout):
                if fd != self.requests:
                    self.listen(fd)
                    continue
                data = os.read(fd, 1 << 16)
                if not data:
                    self.leave()
                lines = (rest + data).split(b"\n")
                rest = lines.pop()
                for line in lines:
                    self.start(json.loads(line.decode("utf-8")))
            for fd, plugin in list(self.plugins.items()):
                if now() >= plugin.deadline:
                    end_tree(plugin.pid)
                    self.finish(fd, {"timedOut": True})

    def start(self, request):
        reader, writer = os.pipe()
        try:
            pid = os.fork()
        except OSError as error:
            os.close(reader)
            os.close(writer)
            send(self.answers, {"end": request["run"], "seconds": 0, "problem": describe(error)})
            return
        if pid == 0:
            inherited = [self.requests, self.answers, reader] + list(self.plugins)
            become_plugin(self.classes, self.config, request, writer, inherited)
        os.close(writer)
        self.plugins[reader] = Plugin(request["run"], pid, self.config["timeout"])

    def listen(self, fd):
        plugin = self.plugins[fd]
        data = os.read(fd, 1 << 16)
        plugin.hear(data)
        if plugin.size > ANSWER_LIMIT:
            end_tree(plugin.pid)
            self.finish(fd, {"problem": "it said more than %d bytes" % ANSWER_LIMIT})
        elif not data or plugin.has_told:
            self.finish(fd, {})

    def finish(self, fd, answer):
        plugin = self.plugins.pop(fd)
        os.close(fd)
        status = self.reap(plugin.pid)
        self.end_strays()
        answer = dict(plugin.answer, **answer)
        if not plugin.has_told and "timedOut" not in answer and "problem" not in answer:
            answer["problem"] = how_it_ended(status)
        answer.update(end=plugin.name, seconds=round(now() - plugin.began, 3))
        send(self.answers, answer)

    def reap(self, pid):
        """One that has told everything is about to end, and gets a second for that."""
        until = now() + 1
        while True:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return status
            if now() >= until:
                end_tree(pid)
                return os.waitpid(pid, 0)[1]
            time.sleep(0.005)

    def end_strays(self):
        """What plugins left behind has this process as its parent."""
        known = [plugin.pid for plugin in self.plugins.values()]
        for pid in children(own_pid):
            if pid not in known:
                end_tree(pid)
        try:
            # Others can be waited for by their number only while nobody takes that away.
            while not known and os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except OSError:
            pass

    def leave(self):
        for plugin in self.plugins.values():
            end_tree(plugin.pid)
        self.end_strays()
        os._exit(0)


def main():
    requests, answers = os.dup(0), os.dup(1)
    for descriptor in (0, 1, 2):
        fd = os.open("/dev/null", os.O_RDWR)
        os.dup2(fd, descriptor)
        if fd > 2:
            os.close(fd)
    if sys.version_info >= (3, 4):
        os.set_inheritable(requests, False)
        os.set_inheritable(answers, False)
    # A partition's directory is not where modules are looked for.
    sys.path[:] = [entry for entry in sys.path if entry]
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    data = b""
    while not data.endswith(b"\n"):
        # Nothing else comes before this is answered.
        piece = os.read(requests, 1 << 16)
        if not piece:
            os._exit(0)
        data += piece
    config = json.loads(data.decode("utf-8"))
    try:
        classes = Classes(config["folder"], config["plugins"])
    except BaseException as error:
        send(answers, {"fatal": describe(error)})
        os._exit(1)
    send(answers, {"ready": True})
    Runner(classes, config, requests, answers).serve()


main()
