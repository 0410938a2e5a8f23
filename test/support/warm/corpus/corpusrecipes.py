# Recipes of the corpus: what recipes of real releases do to their process, their directory and their output.
import atexit
import locale
import logging
import os
import random
import resource
import signal
import subprocess
import sys
import sysconfig
import threading
import time

import zc.buildout


def write(path, text, mode="0640"):
    with open(path, "w") as output:
        output.write(text)
    os.chmod(path, int(mode, 8))


class Recipe:
    def __init__(self, buildout, name, options):
        self.buildout, self.name, self.options = buildout, name, options
        self.directory = buildout["buildout"]["directory"]
        self.path = os.path.join(self.directory, name)

    def update(self):
        return None


class File(Recipe):
    """Writes its options, each a line; removed when the part is uninstalled."""

    def __init__(self, buildout, name, options):
        Recipe.__init__(self, buildout, name, options)
        options.setdefault("computed", "of " + name)

    def install(self):
        os.makedirs(self.path)
        own = sorted(key for key in self.options if key != "recipe")
        for key in own:
            write(os.path.join(self.path, key), self.options[key] + "\n", self.options.get("mode", "0640"))
        os.symlink("computed", os.path.join(self.path, "link"))
        write(os.path.join(self.path, "script"), "#!/bin/sh\n", "4755")
        return [self.path]

    def update(self):
        write(os.path.join(self.directory, self.name + ".updates"), "updated\n")


def remove(name, options):
    print("uninstalling %s of %s" % (name, options["recipe"]))
    write(name + ".uninstalled", options["computed"])


class UserError(Recipe):
    def install(self):
        os.mkdir(self.path)
        raise zc.buildout.UserError("the user is wrong:\n  twice")


class Crash(Recipe):
    def install(self):
        write(self.path, "half done")
        return {}["no such key"]


class Environment(Recipe):
    def install(self):
        os.environ["CORPUS"] = self.name
        os.environ.pop("LC_ALL", None)
        os.environ["PATH"] = "/nowhere:" + os.environ["PATH"]
        os.putenv("HIDDEN", "from os.environ")
        os.umask(0o077)
        os.chdir("/")
        open(self.path, "w").close()
        sys.stdout.flush()
        subprocess.check_call(["/usr/bin/env"])
        print(sorted(os.environ.items()))
        return [self.path]


class Forks(Recipe):
    def install(self):
        import concurrent.futures
        import multiprocessing

        context = multiprocessing.get_context("fork")
        with context.Pool(2) as pool:
            print(pool.map(abs, [-1, -2, -3]))
        with concurrent.futures.ThreadPoolExecutor() as pool:
            print(list(pool.map(abs, [-4, -5])))
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            write(self.path, "by a child")
            os._exit(7)
        print("child: %d" % os.waitpid(pid, 0)[1])
        print(subprocess.run(["/bin/sh", "-c", "echo out; echo err >&2; kill -9 $$"], stderr=subprocess.STDOUT).returncode)
        return [self.path]


class Output(Recipe):
    def install(self):
        print("buffered")
        os.write(1, b"at once\n")
        sys.stderr.write("error without end of line")
        logging.getLogger(self.name).warning("a warning, not \xe9crite in ASCII")
        logging.getLogger("zc.buildout").info("information")
        print("to stderr", file=sys.stderr)
        os.write(2, b"\xff\xfe no text\n")
        os.system("echo from a shell; echo its error >&2")
        import warnings

        warnings.warn("a recipe's warning")
        print("the end is not written" * 500, end="")
        return []


class Process(Recipe):
    """What a process can know of itself, but for what is another thing at each run."""

    def install(self):
        status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        # Of the bounding set a helper's child has less: with no_new_privs it is worth nothing.
        for key in ("Uid", "Gid", "Groups", "NoNewPrivs", "CapInh", "CapPrm", "CapEff", "CapAmb", "Threads", "Umask"):
            print(key, status[key].strip())
        for key in ("SigBlk", "SigIgn", "SigCgt"):
            print(key, status[key].strip())
        for number in range(1, 32):
            print(number, signal.getsignal(number))
        for name in sorted(name for name in dir(resource) if name.startswith("RLIMIT")):
            print(name, resource.getrlimit(getattr(resource, name)))
        print("oom", open("/proc/self/oom_score_adj").read())
        print("leads its session and group:", os.getsid(0) == os.getpid() == os.getpgrp())
        print("fds", sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd/" + fd)))
        print("log", os.readlink("/proc/self/fd/1"), os.readlink("/proc/self/fd/2"), os.readlink("/proc/self/fd/0"))
        print("stdin", repr(sys.stdin.read()), sys.stdin.encoding)
        for stream in (sys.stdout, sys.stderr):
            print(stream.encoding, stream.errors, stream.line_buffering, stream.write_through, stream.fileno())
        print("argv", sys.argv, os.getcwd(), sys.executable, sys.prefix)
        print("path", sys.path)
        print("flags", sys.flags, sys.dont_write_bytecode)
        main = sys.modules["__main__"]
        print("main", main.__name__, main.__file__, getattr(main, "sys", None) is sys)
        print("hooks", sys.excepthook is sys.__excepthook__, sys.exc_info())
        print("locale", locale.getpreferredencoding(), sys.getfilesystemencoding(), time.tzname, locale.setlocale(0))
        print("home", os.path.expanduser("~"), sysconfig.get_config_var("userbase"), sysconfig.get_path("purelib"))
        print("thread", threading.current_thread().name, threading.main_thread() is threading.current_thread())
        print("random", 0 <= random.random() < 1, os.nice(0), sys.getrecursionlimit())
        print("handlers", logging.getLogger().handlers and logging.getLogger().level, signal.getitimer(0))
        return []


class Ends(Recipe):
    """Leaves work to the interpreter's end."""

    def install(self):
        atexit.register(lambda: write(os.path.join(self.directory, "at-exit"), "last"))
        atexit.register(print, "exit handler")
        done = os.path.join(self.directory, "thread")

        def work():
            threading.main_thread().join()
            write(done, "after main")
            print("thread")

        threading.Thread(target=work).start()
        return []


class Finds(Recipe):
    """Looks through folders, as buildout does for each recipe, before and after it has changed something."""

    def install(self):
        import pkg_resources

        folders = self.options["folders"].split()
        self.look(pkg_resources, folders)
        how = self.options["how"]
        if how == "link":
            path = os.path.join(folders[0], "other.egg-link")
            self.rewrite(path, "other-a", "other-b")
        if how == "finder":
            kind = type(pkg_resources.get_importer(folders[0]))
            finder = pkg_resources._distribution_finders[kind]
            pkg_resources.register_finder(kind, lambda *given: list(finder(*given)) * 2)
        if how == "function":
            pkg_resources.resolve_egg_link = lambda path: print("asked for " + os.path.basename(path)) or ()
        self.look(pkg_resources, folders)
        if how == "link":
            self.rewrite(path, "other-b", "other-a")
        return []

    def rewrite(self, path, old, new):
        with open(path, "r+") as file:
            text = file.read().replace(old, new)
            file.seek(0)
            file.write(text)

    def look(self, pkg_resources, folders):
        for one in pkg_resources.Environment(folders)._distmap.items():
            print(one)
        for folder in folders:
            for one in pkg_resources.find_distributions(folder):
                print(type(one).__name__, repr(one), one.key, one.precedence, one.py_version, one.get_entry_map())
                one.precedence, one.project_name = 7, "changed"
            print(next(pkg_resources.find_distributions(folder, only=True), None))


class Last:
    def __init__(self, path):
        self.path = path

    def __del__(self):
        os.close(os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o600))


class Leaves(Recipe):
    """Leaves work to the deletion of what is left at the interpreter's end."""

    def install(self):
        global left
        left = [Last(os.path.join(self.directory, "deleted")), open(os.path.join(self.directory, "unclosed"), "w")]
        left[1].write("not flushed by anybody")
        return []


class Exit(Recipe):
    def install(self):
        how = self.options["how"]
        print("before " + how)
        if how == "status":
            sys.exit(3)
        if how == "text":
            sys.exit("words on stderr")
        if how == "at once":
            sys.stdout.flush()
            os._exit(5)
        if how == "signal":
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGTERM)
        if how == "abort":
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            sys.stdout.flush()
            os.abort()
        if how == "base":
            raise KeyboardInterrupt
        if how == "closed":
            # What is still to be written then cannot be.
            os.close(1)


def extension(buildout):
    print("extended %s" % buildout["buildout"]["directory"])
    buildout["buildout"]["extended"] = "yes"
    buildout.parse("[added]\nrecipe = corpusrecipes:file\nvalue = by an extension\n")
    buildout["buildout"]["parts"] += " added"


def unload(buildout):
    print("unloaded")
