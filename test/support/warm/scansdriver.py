# Compares what is found in folders by a fork of a process that keeps scans with what a fresh process finds there:
# `scansdriver.py SCANS DIRECTORY [UID-OF-THE-HELPER UID-OF-THE-RUN]`. Prints JSON: for each case what both came to, how
# many folders the fork looked through itself, and how many it had to by the table below.
import importlib.machinery
import json
import os
import pathlib
import shutil
import struct
import sys
import time
import traceback
import zipfile

program, base, *ids = sys.argv[1:]
helper_uid, run_uid = map(int, ids or (os.getuid(), os.getuid()))
sys.path.insert(0, os.environ.get("PKG_RESOURCES", "/usr/lib/python3/dist-packages"))
sys.dont_write_bytecode = True

import pkg_resources  # noqa: E402

FINDERS = pkg_resources._distribution_finders
FOLDER = importlib.machinery.FileFinder


def put(path, text):
    """In place where there is one already, which keeps its time of modification: as archives' files have theirs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    times = path.stat() if path.exists() else None
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if times is not None:
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def info(version="1.0", name="thing"):
    return "Metadata-Version: 2.1\nName: %s\nVersion: %s\n" % (name, version)


def archive(path, version="1.0"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as egg:
        egg.writestr("filler", "x" * (1000 if version == "1.0" else 1))
        egg.writestr("EGG-INFO/PKG-INFO", info(version))


def egg(p):
    put(p / "eggs/thing-1.0-py3.11.egg/EGG-INFO/PKG-INFO", info())


def new_egg(p):
    """As buildout lays them since 3.0."""
    put(p / "eggs/thing-1.0-py3.11.egg/thing-1.0.dist-info/METADATA", info())


def installed(p):
    put(p / "eggs/thing-1.0.egg-info/PKG-INFO", info())
    put(p / "eggs/old-1.0.egg-info", info(name="old"))
    put(p / "eggs/new-1.0.dist-info/METADATA", info(name="new"))
    put(p / "eggs/.egg-info/PKG-INFO", info(name="hidden"))
    put(p / "eggs/Upper-1.0.EGG-INFO/PKG-INFO", info(name="Upper"))
    put(p / "eggs/legacy-1.0.egg-info/PKG-INFO", info("3.5dev-r7"))
    (p / "eggs/empty-1.0.egg-info").mkdir()


def linked(p, target="../source"):
    put(p / "eggs/thing.egg-link", target + "\n.\n")
    put(p / "source/thing.egg-info/PKG-INFO", info())
    put(p / "SOURCE/thing.egg-info/PKG-INFO", info("2.0"))


def move(p, link="eggs"):
    (p / link).rename(p / "moved")
    (p / link).symlink_to("moved")


def point(p, link, target):
    (p / link).unlink(missing_ok=True)
    (p / link).symlink_to(target)


def egg_by_links(p):
    put(p / "a/b.egg" / told, info())
    point(p, "d", "a")
    (p / "path").mkdir()
    point(p, "path/c.egg", "../d/b.egg")


def by_way(p):
    linked(p, "../way/../source")
    put(p / "deep/source/thing.egg-info/PKG-INFO", info("3.0"))
    (p / "deep/er").mkdir()
    point(p, "way", "deep/er")


def others(p):
    put(p / "other/thing.egg-info/PKG-INFO", info("2.0"))


def relink(p):
    point(p, "eggs", "other")


def open_to_all(lay):
    return lambda p: (lay(p), p.chmod(0o777))


def both(*functions):
    return lambda p: [function(p) for function in functions]


def changing(path, text):
    return lambda p: put(p / path, text)


def version_of(one):
    try:
        return one.has_version() and one.hashcmp
    except ValueError as error:
        return repr(error)


def look(p, path="eggs", only=False):
    """All that is found, in each that is found."""
    for one in pkg_resources.find_distributions(str(p / path), only):
        print(type(one).__name__, one.location, one.project_name, one.py_version, one.precedence, type(one._provider))
        print(getattr(one._provider, "egg_info", None), one, version_of(one))


def look_twice(change, path="eggs"):
    return both(look, change, lambda p: look(p, path))


def look_inside(p):
    look(p, "eggs/thing-1.0-py3.11.egg")


def look_first(p):
    print(next(pkg_resources.find_distributions(str(p / "eggs"))))


def look_relative(p):
    os.chdir(p / "away")
    print(list(pkg_resources.find_distributions("eggs")), list(pkg_resources.find_distributions(p / "eggs")))


def mark(p):
    for one in pkg_resources.find_distributions(str(p / "eggs")):
        one.precedence, one.project_name, one.marked = 7, "marked", True
        one._dep_map[None] = ["marked"]


def patch(place, name, value):
    return lambda p: (setattr(place, name, value), look(p))


def wrap(p):
    before = FINDERS[FOLDER]
    pkg_resources.register_finder(FOLDER, lambda *given: list(before(*given)) * 2)
    look(p)


def hook(p):
    def find(path):
        if not path.endswith(".egg"):
            raise ImportError
        return p

    sys.path_hooks.insert(0, find)
    sys.path_importer_cache.clear()
    look(p)


def nothing(p):
    pass


def mode(path, number, more=nothing):
    return lambda p: (more(p), (p / path).chmod(number))


def given_away(path, lay):
    return lambda p: (lay(p), os.chown(p / path, run_uid, run_uid), (p / path).chmod(0o400))


def own_in_place(path, lay):
    """Which the run changes itself, once it has looked."""
    change = lambda p: (p / path).write_text(info("2.0"))
    return lambda p: (lay(p), os.chown(p / path, run_uid, run_uid)), nothing, look_twice(change)


def denied(path, lay):
    """By an access control list (linux/posix_acl_xattr.h): its mode says that everybody can read it."""
    entries = (1, 6, -1), (2, 0, run_uid), (4, 4, -1), (16, 4, -1), (32, 4, -1)
    value = struct.pack("=I", 2) + b"".join(struct.pack("=HHi", *entry) for entry in entries)
    return lambda p: (lay(p), os.setxattr(p / path, "system.posix_acl_access", value))


# By name of the case: what changes then changes not after the helper has kept things, but before or meanwhile.
BEFORE, MEANWHILE = "metadata that has just changed", "metadata that changes meanwhile"
thing, told = "eggs/thing-1.0-py3.11.egg", "EGG-INFO/PKG-INFO"
# What it is, how many folders a run looks through itself, what lies there, what changes before the run, what the run does.
CASES = [
    ("an egg", 0, egg, nothing, both(look, look_inside)),
    ("an egg as newer buildouts lay it", 0, new_egg, nothing, look_inside),
    ("installed distributions", 0, installed, nothing, both(look, look)),
    ("a linked source", 0, linked, nothing, look),
    ("what lies directly there", 1, both(egg, linked), nothing, lambda p: look(p, "eggs", True)),
    ("a relative path and one that is an object", 2, both(egg, lambda p: egg(p / "away")), nothing, look_relative),
    ("the first of several", 0, installed, nothing, look_first),
    ("no folder", 2, nothing, egg, look),
    ("a folder that is removed", 0, egg, lambda p: shutil.rmtree(p / "eggs"), look),
    ("a folder that becomes an archive", 0, egg, lambda p: (shutil.rmtree(p / thing), archive(p / thing)), look_inside),
    ("an egg that is added", 2, egg, changing("eggs/more-2.0.egg/" + told, info()), look),
    ("an egg that loses what tells of it", 1, egg, lambda p: (p / thing / told).unlink(), look),
    ("a newer egg's version", 1, new_egg, lambda p: (p / thing / "thing-1.0.dist-info").rename(p / thing / "thing-2.0.dist-info"), look_inside),
    ("an older egg's version in a newer egg", 1, new_egg, changing(thing + "/" + told, info()), look_inside),
    ("what tells of an egg, in a folder that was there", 1, both(new_egg, lambda p: (p / thing / "EGG-INFO").mkdir()), changing(thing + "/" + told, info()), look_inside),
    ("metadata in place", 1, installed, changing("eggs/thing-1.0.egg-info/PKG-INFO", info("2.0")), look),
    (BEFORE, 1, installed, changing("eggs/thing-1.0.egg-info/PKG-INFO", info("2.0")), look),
    (MEANWHILE, 1, installed, changing("eggs/thing-1.0.egg-info/PKG-INFO", info("2.0")), look),
    ("metadata that is one file, in place", 1, installed, changing("eggs/old-1.0.egg-info", info("2.0")), look),
    ("metadata without a name, in place", 1, installed, changing("eggs/.egg-info/PKG-INFO", info("2.0")), look),
    ("metadata that is no longer empty", 1, installed, changing("eggs/empty-1.0.egg-info/PKG-INFO", info("2.0")), look),
    ("a link in place", 2, linked, changing("eggs/thing.egg-link", "../SOURCE\n.\n"), look),
    ("a link in place, within the run", 2, mode("eggs/thing.egg-link", 0o666, linked), nothing, look_twice(lambda p: (p / "eggs/thing.egg-link").write_text("../SOURCE\n.\n"))),
    ("what is linked, in place", 2, linked, changing("source/thing.egg-info/PKG-INFO", info("2.0")), look),
    ("a link to nothing yet", 2, changing("eggs/thing.egg-link", "../source"), changing("source/thing.egg-info/PKG-INFO", info()), look),
    ("a link to an egg", 2, both(egg_by_links, changing("eggs/x.egg-link", "../a/b.egg")), lambda p: (p / "a/b.egg" / told).unlink(), look),
    ("a link to an archive", 1, lambda p: (changing("eggs/x.egg-link", "../a.egg")(p), archive(p / "a.egg")), lambda p: archive(p / "a.egg", "2.0"), look),
    ("an archive", 1, lambda p: archive(p / thing), lambda p: archive(p / thing, "2.0"), look),
    ("an egg that is a link", 2, egg_by_links, both(lambda p: move(p, "a"), lambda p: point(p, "d", "moved")), lambda p: look(p, "path")),
    ("a folder that is a link", 1, both(egg, move), both(others, relink), look),
    ("a folder that is a link, as it was", 0, both(egg, move), nothing, look),
    ("a folder that is a link, and then another", 2, open_to_all(both(egg, move, others)), nothing, both(relink, look, look)),
    ("a folder that is a link, and then another, within the run", 1, open_to_all(both(egg, move, others)), nothing, both(look, relink, look)),
    ("a link by way of another", 2, by_way, changing("source/thing.egg-info/PKG-INFO", info("2.0")), look),
    ("a folder that is moved", 2, egg, move, look),
    ("a folder above that is moved", 2, lambda p: egg(p / "above"), lambda p: move(p, "above"), lambda p: look(p, "above/eggs")),
    ("no text", 1, changing("eggs/thing.egg-info/PKG-INFO", info().encode() + b"Author: \xff\n"), nothing, look),
    ("one file that is no text", 2, changing("eggs/thing-1.0.egg-info", info().encode() + b"Author: \xff\n"), nothing, both(look, look)),
    ("no version", 0, changing("eggs/thing.egg-info/PKG-INFO", "Name: thing\n"), nothing, look),
    ("no version of an installed one", 0, changing("eggs/thing.dist-info/METADATA", info()), changing("eggs/thing.dist-info/METADATA", info("2.0")), look),
    ("distributions that a run changes", 0, egg, nothing, both(mark, look)),
    ("a finder of the run's", 2, egg, nothing, wrap),
    ("another function in the place of one", 1, egg, nothing, patch(pkg_resources, "dist_factory", lambda *given: lambda path: iter(()))),
    ("another method in the place of one", 1, installed, nothing, patch(pkg_resources.EggInfoDistribution, "_reload_version", lambda self: self)),
    ("another method of a file's", 1, installed, nothing, patch(pkg_resources.FileMetadata, "has_metadata", lambda self, name: False)),
    ("a place that somebody else finds in", 1, egg, nothing, hook),
    ("a warning of another folder", 1, both(egg, changing("bad/eggs/thing-1.0.egg-info", info().encode() + b"Author: \xff\n")), nothing, both(lambda p: look(p, "bad/eggs"), look)),
    ("another method of a provider's", 1, installed, nothing, patch(pkg_resources.PathMetadata, "has_metadata", lambda self, name: False)),
]
OF_TWO_USERS = [
    ("a folder that only the helper can list", 1, mode("eggs", 0o711, egg), nothing, look),
    ("a folder that only the helper can enter", 1, mode("eggs", 0o744, egg), nothing, look),
    ("a folder above that only the helper can enter", 0, lambda p: (egg(p / "above"), (p / "above").chmod(0o700)), nothing, lambda p: look(p, "above/eggs")),
    ("metadata that only the helper can list", 1, mode("eggs/thing-1.0.egg-info", 0o711, installed), nothing, look),
    ("metadata that only the helper can read", 1, mode("eggs/thing-1.0.egg-info/PKG-INFO", 0o600, installed), nothing, look),
    ("one file that only the helper can read", 1, mode("eggs/old-1.0.egg-info", 0o600, installed), nothing, look),
    ("a link that only the helper can read", 1, mode("eggs/thing.egg-link", 0o600, linked), nothing, look),
    ("metadata that a list keeps from the run", 1, denied("eggs/thing-1.0.egg-info/PKG-INFO", installed), nothing, look),
    ("metadata of the run's own, in place within the run", 1, *own_in_place("eggs/thing-1.0.egg-info/PKG-INFO", installed)),
    ("metadata that the run may change, in place within the run", 1, mode("eggs/old-1.0.egg-info", 0o666, installed), nothing, look_twice(lambda p: (p / "eggs/old-1.0.egg-info").write_text(info("2.0")))),
    ("a folder of the run's own, changed within the run", 1, lambda p: (installed(p), os.chown(p / "eggs", run_uid, run_uid)), nothing, look_twice(lambda p: (p / "eggs/more-1.0.egg-info").write_text(info("2.0")))),
    ("a folder that all may add to, within the run", 1, mode("eggs", 0o1777, installed), nothing, look_twice(lambda p: (p / "eggs/more-1.0.egg-info").write_text(info("2.0")))),
    ("metadata that only the run can read", 1, given_away("eggs/thing-1.0.egg-info/PKG-INFO", installed), nothing, look),
    ("metadata that only the run can enter", 1, mode("eggs/thing-1.0.egg-info", 0o647, installed), nothing, look),
    ("a folder that only the run can list", 2, mode("eggs", 0o317, egg), nothing, look),
]


def become(uid, saved):
    if uid != os.getuid():
        os.setresgid(uid, uid, saved)
        os.setresuid(uid, uid, saved)


def in_fork(work, *given):
    """What this prints and complains of in a fork, with what it raises at the end."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(writer, 1)
            os.dup2(writer, 2)
            sys.stdout, sys.stderr = (open(fd, "w", buffering=1, closefd=False) for fd in (1, 2))
            work(*given)
        except BaseException:
            print(traceback.format_exc().splitlines()[-1])
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, errors="replace") as output:
        text = output.read()
    os.waitpid(pid, 0)
    return text


def run_cold(place, run):
    become(run_uid, run_uid)
    os.chdir("/")
    try:
        run(place)
    except Exception as error:
        print(error)


def run_warm(place, run, scans, looked):
    def count(*given):
        looked.append(given)
        return original(*given)

    original, scans.original = scans.original, count
    become(run_uid, run_uid)
    os.chdir("/")
    scans.begin()
    try:
        run(place)
    except Exception as error:
        print(error)
    print("looked", len(looked))


def keep(place, scans, meanwhile):
    """As the helper does, and as it goes through folders when it imports recipes."""
    scans.serve()
    original = scans.original
    scans.original = lambda *given: (list(original(*given)), meanwhile(place))[0]
    folders = [str(folder) for folder in place.glob("**/eggs")] or [str(place / "eggs")]
    os.chdir(place)
    scans.keep(["eggs", *map(str, place.glob("**/path"))], folders)
    scans.rest()
    if any(path.is_file() for path in place.glob("**/*.egg")):
        pkg_resources.Environment(folders)
        scans.rest()
    scans.original = original


def help(name, place, change, run):
    """In the place of the helper, as its user only while it keeps things: the run gets another one."""
    names = {}
    exec(open(program).read(), names)
    scans = names["Scans"]()
    if name == BEFORE:
        change(place)
    become(helper_uid, os.getuid())
    keep(place, scans, change if name == MEANWHILE else nothing)
    os.setresuid(*[os.getresuid()[2]] * 3)
    os.setresgid(*[os.getresgid()[2]] * 3)
    if name not in (BEFORE, MEANWHILE):
        change(place)
    print(in_fork(run_warm, place, run, scans, []), end="")


def compare(name, looks, lay, change, run):
    warm, cold = (pathlib.Path(base, way, name.replace(" ", "-")) for way in ("warm", "cold"))
    change(cold)
    told = in_fork(help, name, warm, change, run).replace(base + "/warm/", base + "/cold/")
    return {"name": name, "warm": told, "cold": in_fork(run_cold, cold, run) + "looked %d\n" % looks}


def main():
    cases = CASES + (OF_TWO_USERS if ids else [])
    for name, _, lay, _, _ in cases:
        for way in ("warm", "cold"):
            place = pathlib.Path(base, way, name.replace(" ", "-"))
            place.mkdir(parents=True)
            lay(place)
    if ids:
        os.setgroups([])
        for path in pathlib.Path(base).rglob("*"):
            if path.lstat().st_uid == 0:
                os.lchown(path, helper_uid, helper_uid)
    # What has just changed is not kept.
    began = time.time_ns()
    while os.stat(base).st_ctime_ns < began + 200_000_000:
        os.chmod(base, 0o755)
    print(json.dumps([compare(*case) for case in cases]))


main()
