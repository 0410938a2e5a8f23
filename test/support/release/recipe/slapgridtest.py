# Recipes of the test release: what real releases do (render programs from templates, read the master's parameters,
# publish connection parameters), and what goes wrong with them (fail, never end).
import os
import re
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
    """Writes `template` to `output`, each @name@ replaced by the option of that name."""

    def install(self):
        with open(self.options["template"]) as template:
            text = template.read()
        replaced = re.sub("@([a-z-]+)@", lambda found: self.options[found.group(1)], text)
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
                options[key] = unescaped(value)

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
