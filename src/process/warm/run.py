"""One run of buildout in a fork of the helper: from the fork to the end of the interpreter."""

import ctypes
import errno
import gc
import itertools
import json
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4

# The C library's, with the exit handlers of extension modules.
exit_process = ctypes.PyDLL(None).exit


def put(fd, *descriptors):
    for descriptor in descriptors:
        os.dup2(fd, descriptor)
    if fd > 2:
        os.close(fd)


def close_inherited(kept):
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) != kept:
            try:
                os.close(int(name))
            except OSError:
                # The one that listed them.
                pass


def open_log(log):
    """The very file that the agent has open: its name is the user's, who could have put another one there."""
    fd = os.open(log["path"], os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK)
    status = os.fstat(fd)
    if (str(status.st_dev), str(status.st_ino)) != (log["device"], log["inode"]):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    os.set_blocking(fd, True)
    put(fd, 1, 2)


def prepare(warm, request, go, report, at):
    """Turns this forked process into a run of buildout but for its main; `at` is called with the step that comes next."""
    at("wait for the agent")
    if os.read(go, 1) != b"g":
        os._exit(0)
    at("lead a session")
    os.setsid()
    if request["user"] is not None:
        at("leave the helper's keyring")
        leave_keyring()
        at("change its user")
        become(request["user"])
        # Its own again, to be looked at by itself: nothing of a helper is left in it that it may not have.
        prctl(PR_SET_DUMPABLE, 1)
    # Not before the change of user, which resets it.
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != own_pid:
        os._exit(0)
    at("close what the helper has open")
    close_inherited(report)
    at("open its log")
    open_log(request["log"])
    os.umask(request["umask"])
    at("enter " + request["directory"])
    environment = warm.environment(request["environment"])
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(request["directory"])
    sys.argv[:] = [warm.script] + request["arguments"]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = [sys.executable] + sys.argv
    warm.scans.begin()
    warm.preloaded.check_files()
    rest = warm.output
    while rest:
        rest = rest[os.write(1, rest) :]


def acting_at_their_end():
    """Objects whose deletion does something, of those that the collector looks at: open files, say."""
    known = set()
    for part in (sys.__stdin__, sys.__stdout__, sys.__stderr__):
        while part is not None:
            known.add(id(part))
            part = getattr(part, "buffer", None) or getattr(part, "raw", None)
    objects = gc.get_objects()
    kinds = list(map(type, objects))
    # Not those that every buildout has: they check how they were used, and warn.
    acting = {kind for kind in set(kinds) if hasattr(kind, "__del__") and "pyparsing" not in kind.__module__}
    found = itertools.compress(objects, map(acting.__contains__, kinds))
    return [one for one in found if id(one) not in known and not getattr(one, "closed", False)]


def end(warm, status):
    """
    The interpreter's end without its last step, which takes as long as all the rest: to delete every module, one after
    the other, and so to get a copy of all that is shared with the helper. Returns when that step, or a failure, counts.
    """
    import atexit

    threads = sys.modules.get("threading")
    if threads is not None:
        threads._shutdown()
    try:
        atexit._run_exitfuncs()
    except BaseException:
        # Older interpreters raise the last one when they have told all.
        pass
    if threads is not None and threads.active_count() > 1:
        return
    gc.collect()
    if warm.acts_at_its_end or acting_at_their_end():
        return
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None and not stream.closed:
                stream.flush()
        except BaseException:
            return
    exit_process(status)


def become_run(warm, request, go, report):
    steps = [""]
    try:
        prepare(warm, request, go, report, steps.append)
    except BaseException as error:
        why = error.strerror if isinstance(error, OSError) else repr(error)
        os.write(report, json.dumps({"step": steps[-1], "why": why}).encode())
        os._exit(127)
    os.close(report)
