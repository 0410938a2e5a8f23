# Recipes that talk to the master: one call for the parameters, one to publish.
import benchslap
from benchrecipes import Part


class Parameters(Part):
    def __init__(self, buildout, name, options):
        Part.__init__(self, buildout, name, options)
        found = benchslap.Partition(buildout["slap-connection"]).parameters()
        options["title"] = found["instance_title"]

    def install(self):
        return []


class Publish(Part):
    def __init__(self, buildout, name, options):
        Part.__init__(self, buildout, name, options)
        self.partition = benchslap.Partition(buildout["slap-connection"])

    def install(self):
        self.partition.publish({"url": self.options["url"]})
        return []
