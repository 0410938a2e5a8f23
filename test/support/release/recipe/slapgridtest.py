# Recipes of the test release: what real releases do (render programs from templates, read the master's parameters,
# publish connection parameters), and what goes wrong with them (fail, never end).
import hashlib
import os
import re
import subprocess
import time
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree

import zc.buildout


def write(path, text, mode):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w") as output:
        output.write(text)
    os.chmod(path, int(mode, 8))


class Part:
    def __init__(self, buildout, name, options):
        self.buildout, self.name, self.options = buildout, name, options

    def update(self):
        return self.install()


class Render(Part):
    """Writes `template` to `output`, each @name@ replaced by the option of that name; `digest` is that of `value`."""

    def __init__(self, buildout, name, options):
        Part.__init__(self, buildout, name, options)
        options["digest"] = hashlib.sha256(options.get("value", "").encode()).hexdigest()[:12]

    def install(self):
        with open(self.options["template"]) as template:
            text = template.read()
        # As Parameters wrote it.
        replaced = re.sub("@([a-z-]+)@", lambda found: self.options[found.group(1)].replace("$$", "$"), text)
        write(self.options["output"], replaced, self.options.get("mode", "0640"))
        return [self.options["output"]]


class Copy(Part):
    """Copies each of `files` into the part's own directory."""

    def install(self):
        location = os.path.join(self.buildout["buildout"]["parts-directory"], self.name)
        for path in self.options["files"].split():
            with open(path) as source:
                write(os.path.join(location, os.path.basename(path)), source.read(), "0640")
        return [location]


class Fail(Part):
    """Fails with `message` unless that is empty."""

    def install(self):
        if self.options["message"]:
            raise zc.buildout.UserError(self.options["message"])
        return []


class Run(Part):
    """Runs `command` in a shell, once; `newest` is whether newer versions are looked for."""

    def install(self):
        environment = dict(os.environ, newest=self.buildout["buildout"]["newest"])
        if subprocess.call(self.options["command"], shell=True, env=environment) != 0:
            raise zc.buildout.UserError("the command failed")
        return []

    def update(self):
        return []


class Block(Part):
    """Writes the file `marker` and never ends, unless `marker` is empty."""

    def install(self):
        if self.options["marker"]:
            write(self.options["marker"], str(os.getpid()), "0644")
            time.sleep(100000)
        return []


def unescaped(element):
    text = element.text or ""
    return text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")


def pairs(dictionary):
    items = list(dictionary)
    return {unescaped(key): value for key, value in zip(items[::2], items[1::2])}


class Parameters(Part):
    """Its options are defaults, replaced by the parameters that the master has for this partition."""

    def __init__(self, buildout, name, options):
        Part.__init__(self, buildout, name, options)
        connection = buildout["slap-connection"]
        query = {
            "computer_reference": connection["computer-id"],
            "computer_partition_reference": connection["partition-id"],
        }
        url = connection["server-url"] + "registerComputerPartition?" + urllib.parse.urlencode(query)
        with urllib.request.urlopen(url) as answer:
            partition = ElementTree.fromstring(answer.read()).find("object")
        # A partition that is free for this master has none: then the wish is somebody else's.
        parameters = pairs(pairs(partition.find("dictionary")).get("_parameter_dict", ()))
        for key, value in parameters.items():
            if value.tag == "string" and key in options:
                # Doubled, because buildout would take `${…}` for its own; it leaves `$$` as it is.
                options[key] = unescaped(value).replace("$", "$$")

    def install(self):
        return []


class Publish(Part):
    """Gives the master `url` as connection parameter."""

    def install(self):
        connection = self.buildout["slap-connection"]
        document = "<marshal><dictionary id='i2'><string>url</string><string>%s</string></dictionary></marshal>"
        form = {
            "computer_id": connection["computer-id"],
            "computer_partition_id": connection["partition-id"],
            "connection_xml": document % self.options["url"],
        }
        url = connection["server-url"] + "setComputerPartitionConnectionXml"
        urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()).close()
        return []


def marshalled(value):
    return "<marshal>%s</marshal>" % value


def string(text):
    escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return "<string>%s</string>" % escaped.replace("&", "&amp;")


class Request(Part):
    """As a `root`, requests the instance `title` of the same release; notes that as the client library does.

    `parameters` are words, key and value in turn. The option `partition` is where the instance is."""

    def __init__(self, buildout, name, options):
        Part.__init__(self, buildout, name, options)
        connection = buildout["slap-connection"]
        partition = connection["partition-id"]
        note = ".slapos-request-transaction-" + partition
        self.note = os.path.join(os.environ["SLAPGRID_INSTANCE_ROOT"], partition, note)
        open(self.note, "a").close()
        options["partition"] = self.request(connection) if options["role"] == "root" else "none"

    def request(self, connection):
        words = self.options["parameters"].split()
        parameters = "<dictionary id='i2'>%s</dictionary>" % "".join(map(string, words))
        form = {
            "computer_id": connection["computer-id"],
            "computer_partition_id": connection["partition-id"],
            "software_release": connection["software-release-url"],
            "software_type": "default",
            "partition_reference": self.options["title"],
            "partition_parameter_xml": marshalled(parameters),
            "filter_xml": marshalled("<dictionary id='i2'></dictionary>"),
            "state": marshalled(string(connection["requested-state"])),
            "shared_xml": marshalled("<bool>0</bool>"),
        }
        with open(self.note, "a") as note:
            note.write(self.options["title"] + "\n")
        url = connection["server-url"] + "requestComputerPartition"
        with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode()) as answer:
            instance = ElementTree.fromstring(answer.read()).find("object")
        attributes = pairs(instance.find("dictionary"))
        return unescaped(attributes["slap_computer_partition_id"])

    def install(self):
        return []


class Storage(Part):
    """Links DATA/<volume> to the partition's directory on that volume: the option `location`."""

    def __init__(self, buildout, name, options):
        Part.__init__(self, buildout, name, options)
        home = buildout["storage-configuration"]["storage-home"]
        partition = buildout["slap-connection"]["partition-id"]
        options["location"] = os.path.join(home, options["volume"], partition)

    def install(self):
        os.makedirs("DATA", exist_ok=True)
        link = os.path.join("DATA", self.options["volume"])
        if not os.path.lexists(link):
            os.symlink(self.options["location"], link)
        with open(os.path.join(link, "data"), "w") as data:
            data.write("kept on another volume")
        return []
