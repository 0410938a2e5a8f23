"""Imports recipes for the runs to come, where no run can tell.

A fork of the helper tries it first and watches: what an import does to its surroundings or its process, or takes from
them, each run has to do and take for itself. Only what passes is then imported by the helper.
"""

import os
import signal
import sys

# Seconds for an attempt to import recipes, and what it tells when nothing is in the way.
TRIAL_LIMIT = 60
PASSED = "passed"
# By sys.addaudithook, what reaches beyond the process; a dot at the end stands for all that begin so.
ACTS = (
    "fcntl. ftplib. http.client. imaplib. nntplib. os.chdir os.chflags os.chmod os.chown os.exec os.fork os.forkpty"
    " os.kill os.killpg os.link os.lockf os.mkdir os.posix_spawn os.remove os.removexattr os.rename os.rmdir os.setxattr"
    " os.spawn os.symlink os.system os.truncate os.utime poplib. pty.spawn resource. shutil. signal. smtplib. socket.connect"
    " sqlite3. subprocess. syslog. telnetlib. tempfile. urllib."
).split()
# What a run finds out about itself is another thing in each.
QUESTIONS = "getcwd getcwdb getegid geteuid getgid getgroups getlogin getpgrp getpid getppid getresuid getsid getuid".split()
# Compiled extensions put one in this place that knows their generators, too.
HARMLESS = {("inspect", "isgenerator")}


class Environment(dict):
    """Of all variables the home directory alone is another one in each run."""

    def __init__(self, variables, note):
        dict.__init__(self, variables)
        self.note = note

    def __getitem__(self, name):
        if name == b"HOME":
            self.note("asks for HOME")
        return dict.__getitem__(self, name)


def surroundings():
    """What an import must leave as it is, besides modules."""
    import locale
    import logging
    import random
    import socket

    with open("/proc/self/status") as status:
        process = [line for line in status if line.startswith(("Umask", "Threads"))]
    return {
        "environment": dict.copy(os.environ._data),
        "signal handlers": [signal.getsignal(number) for number in range(1, signal.NSIG)],
        "open files": sorted(os.listdir("/proc/self/fd")),
        "umask or starts threads": process,
        "log": (logging.root.level, list(logging.root.handlers), logging.root.manager.disable),
        "random numbers": random.getstate(),
        "locale": locale.setlocale(locale.LC_ALL),
        "time limit of sockets": socket.getdefaulttimeout(),
    }


class Watch:
    """Over what follows in this process, which is good for nothing afterwards."""

    def __init__(self):
        import warnings

        self.noticed = []
        surroundings()
        self.modules = {name: module for name, module in sys.modules.items() if name != "__main__"}
        kinds = {kind for module in self.modules.values() for kind in vars(module).values() if isinstance(kind, type)}
        for name in QUESTIONS:
            setattr(os, name, self.asking(name, getattr(os, name)))
        self.contents = [(place, dict(vars(place))) for place in [*self.modules.values(), *kinds]]
        self.filters = list(warnings.filters)
        os.environ._data = Environment(os.environ._data, self.noticed.append)
        self.before = surroundings()
        sys.addaudithook(self.hear)

    def asking(self, name, ask):
        def asked(*arguments):
            self.noticed.append("asks for " + name)
            return ask(*arguments)

        return asked

    def hear(self, event, arguments):
        acts = any(event == act or act.endswith(".") and event.startswith(act) for act in ACTS)
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        binds = event == "socket.bind" and isinstance(arguments[1], (str, bytes))
        if acts or writes or binds:
            self.noticed.append("does " + event)
            # Before it is done.
            raise PermissionError("%s while recipes are imported for all" % event)

    def trouble(self):
        """The first thing that went on, for people; None for nothing."""
        import warnings

        after = surroundings()
        self.noticed += ["changes the " + what for what in after if after[what] != self.before[what]]
        for place, names in self.contents:
            now = vars(place)
            for name, value in names.items():
                # No value is `names`.
                is_same = now.get(name, names) is value or name.startswith("__")
                if not is_same and (place.__name__, name) not in HARMLESS:
                    self.noticed.append("changes %s.%s" % (place.__name__, name))
        if any(sys.modules.get(name) is not module for name, module in self.modules.items()):
            self.noticed.append("replaces a module")
        # Those for warnings of its own concern nobody else.
        if any(one[2].__module__ in self.modules for one in warnings.filters if one not in self.filters):
            self.noticed.append("changes which warnings are shown")
        return self.noticed[0] if self.noticed else None


class Preloaded:
    """
    Modules of recipes that are imported already. A child that would not have imported the same ones imports its own:
    when it has another version of an egg, or when a file has changed since.
    """

    def __init__(self, folders):
        """`folders`: of the release's own eggs."""
        self.folders = folders
        self.locations = {}
        self.names = []
        self.files = {}

    def load(self, recipes):
        """`recipes`: [requirement, entry point] each."""
        import pkg_resources

        writes = sys.dont_write_bytecode
        # What an import leaves beside its module would belong to the release's owner, and change its folders.
        sys.dont_write_bytecode = True
        before = set(sys.modules)
        eggs = pkg_resources.Environment([folder for folder in self.folders if os.path.isdir(folder)])
        working_set = pkg_resources.working_set
        kept = [(place, type(place)(place)) for place in (sys.path, working_set.entries)]
        kept += [(place, dict(place)) for place in (working_set.by_key, working_set.entry_keys)]
        entry_keys = {entry: list(keys) for entry, keys in working_set.entry_keys.items()}
        for requirement, entry in recipes:
            self.load_one(pkg_resources, eggs, requirement, entry)
        # A child finds its eggs itself, as if nothing had been found before.
        for place, content in kept:
            place.clear()
            (place.extend if isinstance(place, list) else place.update)(content)
        working_set.entry_keys.update(entry_keys)
        sys.dont_write_bytecode = writes
        added = [name for name in sys.modules if name not in before]
        files = [getattr(sys.modules[name], "__file__", None) for name in added]
        self.files.update({path: look_at(path) for path in files if path is not None})
        if added and not self.names:
            working_set.subscribe(self.check_egg, existing=False)
        self.names += added

    def load_one(self, pkg_resources, eggs, requirement, entry):
        """Leaves out what is no recipe of the release's own eggs, and where it is not clear which egg it is."""
        try:
            wanted = pkg_resources.Requirement.parse(requirement)
            found = pkg_resources.working_set.resolve([wanted], eggs)
        except (pkg_resources.ResolutionError, ValueError):
            return
        own = eggs[wanted.key]
        if not own or any(len(eggs[egg.key]) > 1 for egg in found):
            return
        point = own[0].get_entry_info("zc.buildout", entry)
        if point is None:
            return
        for egg in found:
            pkg_resources.working_set.add(egg)
            self.locations[egg.key] = egg.location
        point.resolve()

    def check_egg(self, egg):
        if self.locations.get(egg.key, egg.location) != egg.location:
            self.forget()

    def check_files(self):
        if not are_same(self.files):
            self.forget()

    def forget(self):
        for name in self.names:
            sys.modules.pop(name, None)
        self.names = []


def try_out(preloaded, recipes, report):
    """Tells what is in the way of importing these recipes for all, and ends."""
    signal.alarm(TRIAL_LIMIT)
    prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != own_pid:
        os._exit(0)
    close_inherited(report)
    output = os.memfd_create("output")
    put(os.dup(output), 1, 2)
    watch = Watch()
    try:
        preloaded.load(recipes)
        sys.stdout.flush()
        sys.stderr.flush()
        trouble = watch.trouble()
    except BaseException as error:
        trouble = watch.noticed[0] if watch.noticed else "fails: %s" % repr(error)[:1000]
    if trouble is None and os.fstat(output).st_size > 0:
        trouble = "prints something"
    os.write(report, (PASSED if trouble is None else "an import " + trouble).encode())
    os._exit(0)
