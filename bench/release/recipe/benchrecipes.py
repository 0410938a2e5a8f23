# What a release's own work is when its recipes import nothing: the template of instances, and a program in an instance.
import os


class Part:
    def __init__(self, buildout, name, options):
        self.options = options

    def update(self):
        return self.install()


class Template(Part):
    def install(self):
        with open(self.options["template"]) as template:
            text = template.read()
        for key in ("eggs", "develop-eggs"):
            text = text.replace("@%s@" % key, self.options[key])
        with open(self.options["output"], "w") as output:
            output.write(text)
        os.chmod(self.options["output"], 0o644)
        return [self.options["output"]]


class Program(Part):
    def install(self):
        path = self.options["output"]
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as output:
            output.write("#!/bin/sh\n" + self.options["command"] + "\n")
        os.chmod(path, 0o750)
        return [path]
