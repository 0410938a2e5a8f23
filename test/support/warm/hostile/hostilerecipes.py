# The hostile recipe, and a sibling that is at work meanwhile.
import json
import os
import signal

import attacks


class Recipe:
    def __init__(self, buildout, name, options):
        self.options = options

    def update(self):
        self.install()


class Attack(Recipe):
    def install(self):
        # Where it was forked from: the process that it may know the number of.
        attacks.attempt_all(dict(json.loads(self.options["target"]), helper=os.getppid()), os.getcwd())
        return []


class Wait(Recipe):
    def install(self):
        with open(".begun", "w") as file:
            file.write(str(os.getpid()))
        os.rename(".begun", "begun")
        signal.pause()
