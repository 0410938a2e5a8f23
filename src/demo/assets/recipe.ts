// The demo's recipe egg: Python, standard library only. It shows what recipes of real software releases do: ask the
// master for the instance's parameters, write a service into etc/service, and publish connection parameters.

/** `recipe/setup.py`. */
export const recipeSetup = `from setuptools import setup

setup(
    name="slapgrid-demo",
    version="1.0",
    py_modules=["slapgrid_demo"],
    entry_points={
        "zc.buildout": [
            "release = slapgrid_demo:Release",
            "instance = slapgrid_demo:Instance",
        ]
    },
)
`

/** `recipe/slapgrid_demo.py`. */
export const recipeModule = String.raw`"""Recipes of slapgrid's demo: a software release, and instances of it that serve HTTP."""

import logging
import os
import random
import re
import shlex
import shutil
import socket
import sys
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
from xml.sax.saxutils import escape, unescape

logger = logging.getLogger(__name__)


class Release:
    """Puts what instances start, and the template they are made from, into the software release."""

    def __init__(self, buildout, name, options):
        directory = buildout["buildout"]["directory"]
        self.template = options["template"]
        self.source = options["server"]
        self.target = os.path.join(directory, "instance.cfg")
        self.values = {
            "eggs-directory": buildout["buildout"]["eggs-directory"],
            "develop-eggs-directory": buildout["buildout"]["develop-eggs-directory"],
            "python": sys.executable,
            "server": os.path.join(buildout["buildout"]["bin-directory"], "http-server.py"),
        }

    def install(self):
        server = self.values["server"]
        logger.info("Copying the HTTP server to %s", server)
        shutil.copy(self.source, server)
        logger.info("Writing the template of instances to %s", self.target)
        with open(self.template) as template:
            write(self.target, template.read() % self.values, 0o640)
        return [server, self.target]

    update = install


class Instance:
    """An HTTP service that greets as its parameter says, and its URL as a connection parameter."""

    def __init__(self, buildout, name, options):
        self.options = options
        self.master = Master(buildout["slap-connection"])

    def install(self):
        parameters = self.master.parameters()
        host = first_address(parameters)
        port = self.port(host)
        wrapper = self.options["wrapper"]
        os.makedirs(os.path.dirname(wrapper), exist_ok=True)
        arguments = [
            self.options["python"],
            self.options["server"],
            host,
            str(port),
            self.master.partition,
            parameters["instance_title"],
            parameters.get("greeting") or "Hello",
        ]
        write(wrapper, "#!/bin/sh\nexec %s\n" % " ".join(map(shlex.quote, arguments)), 0o700)
        self.master.publish({"url": "http://%s:%s/" % (host, port)})
        return [wrapper]

    update = install

    def port(self, host):
        """The instance's port: a free one chosen at the first installation, the same ever after."""
        remembered = self.options["port-file"]
        if os.path.exists(remembered):
            with open(remembered) as file:
                return int(file.read())
        port = free_port(host, int(re.search(r"\d*$", self.master.partition).group() or 0))
        write(remembered, "%s\n" % port, 0o600)
        return port


class Master:
    """The calls of the SLAP protocol that an instance needs."""

    def __init__(self, connection):
        self.url = connection["server-url"].rstrip("/") + "/"
        self.computer = connection["computer-id"]
        self.partition = connection["partition-id"]
        # The demo's master is on this machine, whatever proxy the environment names.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def call(self, method, fields, is_post):
        encoded = urllib.parse.urlencode(fields)
        url = self.url + method
        request = (url, encoded.encode()) if is_post else ("%s?%s" % (url, encoded),)
        with self.opener.open(*request, timeout=60) as answer:
            return answer.read()

    def parameters(self):
        fields = {"computer_reference": self.computer, "computer_partition_reference": self.partition}
        document = ElementTree.fromstring(self.call("registerComputerPartition", fields, False))
        arguments, attributes = document[0]
        return value(attributes)["_parameter_dict"]

    def publish(self, connection):
        fields = {
            "computer_id": self.computer,
            "computer_partition_id": self.partition,
            "connection_xml": "<marshal>%s</marshal>" % dictionary(connection),
        }
        self.call("setComputerPartitionConnectionXml", fields, True)


def value(element):
    """What an element of a SLAP document stands for. Texts are escaped twice there."""
    if element.tag == "dictionary":
        items = [value(item) for item in element]
        return dict(zip(items[::2], items[1::2]))
    if element.tag in ("list", "tuple", "set"):
        return [value(item) for item in element]
    if element.tag in ("int", "long", "bool"):
        return int(element.text)
    if element.tag == "string":
        return unescape(element.text or "")
    return None


def dictionary(texts):
    items = (
        "<string>%s</string>" % escape(escape(text)) for pair in sorted(texts.items()) for text in pair
    )
    return '<dictionary id="i2">%s</dictionary>' % "".join(items)


def first_address(parameters):
    for interface, address in parameters["ip_list"]:
        return address
    return "127.0.0.1"


def free_port(host, number):
    """Partitions choose at the same time and cannot see each other's choice: each takes from ports of its own."""
    for block in random.sample(range(20000, 30000, 20), 500):
        port = block + number % 20
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise RuntimeError("no free port on %s between 20000 and 30000" % host)


def write(path, text, mode):
    """Replaces the file at once, so that nobody sees half of it."""
    temporary = path + ".new"
    with open(temporary, "w") as file:
        os.chmod(temporary, mode)
        file.write(text)
    os.rename(temporary, path)
`
