# What a hostile recipe tries, and a hostile release while it is imported. Each attack gives what it gained, in words, or
# raises; the same functions are run against targets that nothing protects, where each has to gain something.
import ctypes
import json
import os
import signal
import struct
import subprocess
import sys

PTRACE_ATTACH = 16
PTRACE_DETACH = 17
libc = ctypes.CDLL(None, use_errno=True)
# Of add_key(2) and keyctl(2), which no library has.
ADD_KEY, KEYCTL = {"x86_64": (248, 250)}.get(os.uname().machine, (217, 219))
KEYCTL_GET_KEYRING_ID = 0
KEYCTL_JOIN_SESSION_KEYRING = 1
KEYCTL_SEARCH = 10
SESSION_KEYRING = -3
# Containers often have none.
has_keyrings = libc.syscall(KEYCTL, KEYCTL_GET_KEYRING_ID, SESSION_KEYRING, 0) >= 0


def checked(result):
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def regain_capabilities():
    everything = struct.pack("=6I", *[0xFFFFFFFF, 0xFFFFFFFF, 0] * 2)
    for capabilities in (everything, struct.pack("=6I", 0xE0, 0xE0, 0xE0, 0, 0, 0)):
        libc.capset(struct.pack("=Ii", 0x20080522, 0), capabilities)


def become(uid):
    regain_capabilities()
    os.setresuid(uid, uid, uid)
    return "uid %d" % os.getuid()


def join(gid):
    regain_capabilities()
    try:
        os.setgroups([gid])
    except OSError:
        os.setresgid(gid, gid, gid)
    return "groups %s" % (os.getgroups() + [os.getgid()])


def read_memory(pid):
    with open("/proc/%d/maps" % pid) as maps:
        start = next(int(line.split("-")[0], 16) for line in maps if " r" in line)
    with open("/proc/%d/mem" % pid, "rb", 0) as memory:
        memory.seek(start)
        return "%d bytes" % len(memory.read(64))


def read_descriptors(pid):
    names = os.listdir("/proc/%d/fd" % pid)
    os.close(os.open("/proc/%d/fd/%s" % (pid, names[0]), os.O_RDONLY | os.O_NONBLOCK))
    return "%d descriptors" % len(names)


def kill(pid):
    os.kill(pid, signal.SIGKILL)
    return "killed"


def trace(pid):
    checked(libc.ptrace(PTRACE_ATTACH, pid, None, None))
    os.waitpid(pid, 0)
    checked(libc.ptrace(PTRACE_DETACH, pid, None, None))
    return "traced"


def leave_key():
    """In the session keyring, for whoever has the same one."""
    if not has_keyrings:
        return
    checked(libc.syscall(ADD_KEY, b"user", b"slapgrid-canary", b"canary", 6, SESSION_KEYRING))


def find_key():
    checked(libc.syscall(KEYCTL, KEYCTL_SEARCH, SESSION_KEYRING, b"user", b"slapgrid-canary", 0))
    return "the key"


def run_setuid_program(path):
    uid = int(subprocess.check_output([path, "-u"]))
    if uid != 0:
        raise PermissionError("it ran as %d" % uid)
    return "uid 0"


def find_pipes():
    links = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink("/proc/self/fd/" + fd))
        except OSError:
            # The one that listed them.
            pass
    pipes = [link for link in links if link.startswith(("pipe:", "socket:", "/memfd:"))]
    if not pipes:
        raise FileNotFoundError("only " + " ".join(links))
    return " ".join(pipes)


def stay_behind():
    """The daemon gives up by itself in the end: a test that fails must not leave it for ever."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, b"%d" % os.getpid())
            os.close(writer)
            os.closerange(0, 3)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
            signal.alarm(120)
            while True:
                signal.pause()
        os._exit(0)
    os.wait()
    return os.read(reader, 100).decode()


def attacks(target):
    """By name. `target`: agent, helper, sibling (pids), other, owner (uids), program (a path)."""
    keys = {"find a key in the helper's session": find_key} if has_keyrings else {}
    return {
        **keys,
        "become root": lambda: become(0),
        "become another release's partition": lambda: become(target["other"]),
        "become the software owner": lambda: become(target["owner"]),
        "become a sibling": lambda: become(target["siblingUser"]),
        "join root's group": lambda: join(0),
        "read the agent's memory": lambda: read_memory(target["agent"]),
        "read the agent's descriptors": lambda: read_descriptors(target["agent"]),
        "read the helper's memory": lambda: read_memory(target["helper"]),
        "read the helper's descriptors": lambda: read_descriptors(target["helper"]),
        "find the helper's pipes": find_pipes,
        "trace a sibling": lambda: trace(target["sibling"]),
        "read a sibling's memory": lambda: read_memory(target["sibling"]),
        "run a program of root's with the set-user-ID bit": lambda: run_setuid_program(target["program"]),
        "kill the agent": lambda: kill(target["agent"]),
        "kill the helper": lambda: kill(target["helper"]),
        "kill a sibling": lambda: kill(target["sibling"]),
        "stay behind": stay_behind,
    }


def attempt(attack, path):
    """Gives what it gained, or why nothing; in a child, so that the next one starts as this one did."""
    pid = os.fork()
    if pid == 0:
        # Open before it is somebody else.
        with open(path, "w") as file:
            try:
                result = {"gained": attack()}
            except BaseException as error:
                result = {"refused": repr(error)}
            json.dump(result, file)
        os._exit(0)
    os.waitpid(pid, 0)
    with open(path) as file:
        return json.load(file)


def attempt_all(target, folder, names=None):
    made = attacks(target)
    results = {}
    for name in made if names is None else names:
        path = os.path.join(folder, "attack-" + name.replace(" ", "-").replace("'", ""))
        results[name] = attempt(made[name], path)
    with open(os.path.join(folder, "results.json"), "w") as file:
        json.dump(results, file)


if __name__ == "__main__":
    # Not in the session of whoever runs this.
    libc.syscall(KEYCTL, KEYCTL_JOIN_SESSION_KEYRING, None)
    leave_key()
    attempt_all(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:] or None)
