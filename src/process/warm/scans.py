"""Keeps what pkg_resources finds in folders: each run of buildout looks through the same ones, some of them often.

A run gets what was found before only where it would find the same: it looks at each file again that tells of a
distribution, as the user that it is. Folders that only it knows are its own affair.
"""

import copy
import importlib.machinery
import importlib.util
import os
import re
import sys

# Versions that every pkg_resources understands without a warning, which would be each run's own.
PLAIN_VERSION = re.compile(r"\d+(\.\d+)*((a|b|rc|\.post|\.dev)\d+)?")


def state_of(path):
    """What changes with a file's content, as far as anybody can tell without reading it."""
    status = os.stat(path)
    return status.st_ino, status.st_size, status.st_mtime_ns


def sources(folder):
    """The files and folders that tell which distributions are in a folder."""
    yield folder
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        kind = os.path.splitext(name.lower())[1]
        if kind in (".egg-info", ".dist-info"):
            yield path
            yield from filter(os.path.exists, [path + "/PKG-INFO", path + "/METADATA"])
        elif kind == ".egg":
            told = path + "/EGG-INFO/PKG-INFO"
            yield told if os.path.exists(told) else path
        elif kind == ".egg-link":
            yield path
            with open(path) as link:
                yield from (os.path.join(folder, line.strip()) for line in link if line.strip())


def are_same(states):
    """Whether this process would read there what was read when those were the states."""
    try:
        return all(state_of(path) == state and os.access(path, os.R_OK) for path, state in states.items())
    except OSError:
        return False


class Scans:
    def __init__(self):
        self.keeps = True
        self.kept = {}
        # States for the scans that go on, each within the one before it.
        self.open = []

    def find_spec(self, name, path=None, target=None):
        """The first of sys.meta_path, in order to be there as soon as pkg_resources is."""
        if name != "pkg_resources":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None:
            loader = spec.loader

            def load(module):
                del loader.exec_module
                loader.exec_module(module)
                self.serve(module)

            loader.exec_module = load
        return spec

    def serve(self, pkg_resources):
        kind = importlib.machinery.FileFinder
        original = getattr(pkg_resources, "find_on_path", None)
        # Anybody else's is left alone.
        if original is not None and getattr(pkg_resources, "_distribution_finders", {}).get(kind) is original:
            self.original = original
            pkg_resources.register_finder(kind, self.find)

    def keep(self, folders):
        """For the runs to come: what is in them will be asked for."""
        pkg_resources = sys.modules.get("pkg_resources")
        for folder in folders if pkg_resources is not None else ():
            try:
                list(pkg_resources.find_distributions(folder))
            except Exception:
                # The run that asks for it will fail in the same way.
                pass

    def find(self, importer, folder, only=False):
        """A finder of distributions, for pkg_resources."""
        found, states = self.kept.get((folder, only), (None, {}))
        if found is None or not are_same(states):
            # An egg tells all by its name.
            if not self.keeps or not os.path.isabs(folder) or folder.lower().endswith(".egg"):
                return self.original(importer, folder, only)
            found, states = self.scan(importer, folder, only)
        for outer in self.open:
            outer.update(states)
        return [copy.copy(one) for one in found]

    def scan(self, importer, folder, only):
        try:
            # First: what changes meanwhile is not kept.
            states = {path: state_of(path) for path in sources(folder)}
        except (OSError, ValueError):
            # It cannot be known: no state is like this one.
            states = {folder: None}
        self.open.append(states)
        try:
            found = list(self.original(importer, folder, only))
        finally:
            self.open.pop()
        if are_same(states):
            for one in found:
                settle(one)
            self.kept[folder, only] = found, states
        return found, states


def settle(distribution):
    """Has it think about its version once for all."""
    try:
        if PLAIN_VERSION.fullmatch(distribution.version):
            distribution.hashcmp
    except ValueError:
        # It has none.
        pass
