"""Keeps what pkg_resources finds in folders: each run of buildout looks through the same ones, some of them often.

A run gets what was found before only where it would find the same: it looks at each file again that tells of a
distribution, as the user that it is; once, where that user can change none of them, else each time. What is out of the
ordinary is never kept, and each run sees for itself.
"""

import errno
import glob
import importlib.machinery
import os
import pkgutil
import re
import stat
import sys
import time
import warnings
import zipimport

# Versions that every pkg_resources understands without a warning, which would be each run's own.
PLAIN_VERSION = re.compile(r"[0-9]+(\.[0-9]+)*((a|b|rc|\.post|\.dev)[0-9]+)?")
# Nanoseconds, more than a file system's clock takes for a step: what changes again within one looks unchanged.
STEP = 50_000_000


def state_of(status):
    """What changes with a file's content, as far as anybody can tell without reading it."""
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def look_at(path):
    """A file's state, and whether everybody can read it, which is as it is for as long as the state is the same."""
    status = os.stat(path)
    try:
        is_public = status.st_mode & 0o444 == 0o444 and "system.posix_acl_access" not in os.listxattr(path)
    except OSError as error:
        is_public = error.errno == errno.ENOTSUP
    return state_of(status), is_public


def are_same(looks):
    """Whether this process would read there what was read when that is how the files looked."""
    try:
        return all(
            state_of(os.stat(path)) == state and (is_public or os.access(path, os.R_OK))
            for path, (state, is_public) in looks.items()
        )
    except OSError:
        return False


def changers_of(paths):
    """Who can change what is read there, besides root; None: more than their owners."""
    places = set(paths)
    for path in paths:
        while path != os.path.dirname(path):
            path = os.path.dirname(path)
            places.add(path)
    changers = set()
    for path in places:
        status = os.stat(path)
        # A list of users who can write shows in the mode of the group. What lies in /tmp is its owner's.
        is_sticky = status.st_mode & stat.S_ISVTX and path not in paths
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not is_sticky:
            return None
        changers.add(status.st_uid)
    return changers


class Unclear(Exception):
    """More decides what is found than what is looked at again."""


def real_path(folder):
    """As pkg_resources has it."""
    return os.path.realpath(os.path.normpath(folder))


def is_egg(name):
    return name.lower().endswith(".egg")


def sources(folder):
    """The files and folders that tell which distributions are in a folder. Raises where they are not all."""
    told = folder + "/EGG-INFO/PKG-INFO"
    if is_egg(folder) and os.path.isfile(told):
        yield told
        return
    yield folder
    for entry in list(os.scandir(folder)):
        name = entry.name.lower()
        if name.endswith((".egg-info", ".dist-info")):
            yield entry.path
            if name.endswith(".egg-info") and entry.is_dir() and "PKG-INFO" in os.listdir(entry.path):
                yield entry.path + "/PKG-INFO"
        elif is_egg(folder) and name == "egg-info":
            raise Unclear
        elif is_egg(name):
            if entry.is_symlink():
                raise Unclear
            yield from sources(entry.path)
        elif name.endswith(".egg-link"):
            yield entry.path
            with open(entry.path) as link:
                target = os.path.join(folder, next(filter(None, map(str.strip, link)), ""))
            # A folder is looked through as others are; see `find`.
            if is_egg(target) or not os.path.isdir(target):
                raise Unclear


def settle(distribution):
    """Has it think once for all about a version that no file is read for any more."""
    if PLAIN_VERSION.fullmatch(vars(distribution).get("_version") or ""):
        distribution.hashcmp


def copy_of(distribution):
    """Each finds distributions of its own, and changes them."""
    copy = object.__new__(type(distribution))
    vars(copy).update(vars(distribution))
    return copy


class Scans:
    def __init__(self):
        self.module = None
        self.keeps = True
        # For so short a time nothing is looked at again.
        self.is_starting = True
        # By folder and whether only what is directly in it counts: distributions, and how the files looked that told
        # of them; None for what is not kept.
        self.kept = {}
        # Of those, what a run has looked at again and cannot change itself.
        self.sure = set()
        # Where they really are.
        self.places = {}
        # What decides, besides files, what is found: each with what it was then.
        self.ways = []
        # How files look that the scan reads which goes on.
        self.reading = None

    def find_spec(self, name, path=None, target=None):
        """Finds nothing: as one of sys.meta_path it looks whether pkg_resources has been imported meanwhile."""
        self.serve()
        return None

    def serve(self):
        module, kind = sys.modules.get("pkg_resources"), importlib.machinery.FileFinder
        if self.module is not None or module is None:
            return
        try:
            original, normalize = module.find_on_path, module._normalize_cached
            forget = getattr(normalize, "cache_clear", None) or normalize.__defaults__[0].clear
            if module._distribution_finders[kind] is not original or not ways_of(module):
                # Anybody else's is left alone.
                return
        except (AttributeError, KeyError, TypeError):
            # It is half imported, or one that nobody knows.
            return
        self.module, self.original, self.normalize, self.forget_paths = module, original, normalize, forget
        # As the first warning does.
        vars(module).setdefault("__warningregistry__", {})
        module.register_finder(kind, self.find)

    def keep(self, folders, eggs):
        """For the runs to come: what is in them will be asked for. `eggs`: folders that eggs are in."""
        if self.module is None:
            return
        paths = [*folders, *eggs, *(egg for folder in eggs for egg in glob.glob(glob.escape(folder) + "/*.egg"))]
        paths = [path for path in paths if isinstance(path, str)]
        for path in dict.fromkeys([*paths, *map(real_path, paths)]):
            importer = pkgutil.get_importer(path)
            if type(importer) is importlib.machinery.FileFinder and self.known(path, False) is None:
                self.scan(importer, path, False)

    def recipes(self, folders):
        """Names of what has recipes in these folders."""
        for folder in folders:
            for one in (self.kept.get((folder, False)) or [()])[0]:
                try:
                    if one.has_metadata("entry_points.txt") and "[zc.buildout]" in one.get_metadata("entry_points.txt"):
                        yield one.project_name
                except Exception:
                    # A run will see.
                    pass

    def rest(self):
        """Between what the helper imports: forgets what it saw of links and archives, which change unseen."""
        self.is_starting = False
        if self.module is None:
            return
        self.forget_paths()
        zipimport._zip_directory_cache.clear()
        for path, importer in list(sys.path_importer_cache.items()):
            if type(importer) is not importlib.machinery.FileFinder:
                del sys.path_importer_cache[path]

    def begin(self):
        """In a run: keeps nothing any more."""
        self.keeps = False
        if any(real_path(path) != real for path, real in self.places.items()):
            self.kept.clear()

    def find(self, importer, folder, only=False):
        """A finder of distributions, for pkg_resources."""
        if self.reading is not None:
            # By a link in the folder that is looked through; eggs in there are known already.
            if not is_egg(folder):
                self.read(folder)
            yield from self.original(importer, folder, only)
            return
        found = self.known(folder, only)
        if found is None and self.keeps and self.kept.get((folder, only), ()) is not None:
            found = self.scan(importer, folder, only)
        if found is not None:
            yield from map(copy_of, found)
        elif self.kept.get((folder, only)) is None or not self.is_unchanged():
            yield from self.original(importer, folder, only)
        else:
            # Perhaps it is no folder any longer.
            self.kept.pop((folder, only), None)
            sys.path_importer_cache.pop(folder, None)
            yield from self.module.find_distributions(folder, only)

    def known(self, folder, only):
        found, looks, real, changers = self.kept.get((folder, only)) or (None, {}, folder, None)
        # What a link leads to is found out once in a process.
        is_there = folder == real or self.normalize(folder) == real
        if found is None or not is_there or not self.is_unchanged():
            return None
        if self.is_starting or (folder, only) in self.sure:
            return found
        if not are_same(looks):
            return None
        if not self.keeps and changers is not None and os.geteuid() not in {0, *changers}:
            self.sure.add((folder, only))
        return found

    def is_unchanged(self):
        """False when a recipe has put something of its own in the place of what pkg_resources does."""
        return all(now == then for now, then in self.ways)

    def scan(self, importer, folder, only):
        """What is in a folder; None when it cannot be kept."""
        if not (self.ways and self.is_unchanged()):
            self.kept.clear()
            self.ways = [(now, now.copy()) for now in ways_of(self.module)]
        self.kept[folder, only] = None
        warned = []
        warn, warnings.warn = warnings.warn, lambda *arguments, **options: warned.append(arguments)
        self.reading, begun = {}, time.time_ns()
        try:
            # First: what changes meanwhile is not kept.
            self.read(folder)
            found = list(self.original(importer, folder, only))
            for one in found:
                settle(one)
            changers = changers_of(self.reading)
        except Exception:
            # A run fails in the same way, or finds out.
            return None
        finally:
            looks, self.reading, warnings.warn = self.reading, None, warn
        if warned or max(state[-1] for state, _ in looks.values()) > begun - STEP:
            return None
        self.kept[folder, only] = found, looks, real_path(folder), changers
        return found

    def read(self, folder):
        """Before a folder is looked through."""
        if not os.path.isabs(folder):
            raise Unclear
        real = real_path(folder)
        place = os.path.dirname(folder) if is_egg(folder) else folder
        self.places.setdefault(place, real_path(place))
        paths = sources(real) if folder == real else (folder, *sources(real))
        self.reading.update((path, look_at(path)) for path in paths)


def ways_of(pkg_resources):
    told = (*pkg_resources._distributionImpl.values(), pkg_resources.PathMetadata, pkg_resources.FileMetadata)
    kinds = {kind for one in told for kind in one.__mro__ if kind is not object}
    return [*map(vars, [pkg_resources, *kinds]), pkg_resources._distribution_finders, sys.path_hooks]
