from setuptools import setup

names = ["file", "user-error", "crash", "environment", "forks", "output", "process", "ends", "leaves", "exit", "finds"]

setup(
    name="corpusrecipes",
    version="1.0",
    py_modules=["corpusrecipes"],
    entry_points={
        "zc.buildout": ["%s = corpusrecipes:%s" % (name, name.title().replace("-", "")) for name in names],
        "zc.buildout.uninstall": ["file = corpusrecipes:remove"],
        "zc.buildout.extension": ["default = corpusrecipes:extension"],
        "zc.buildout.unloadextension": ["default = corpusrecipes:unload"],
    },
)
