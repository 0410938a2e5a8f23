# The recipes of the test release, as a local egg that buildout develops: nothing is fetched to build it.
from setuptools import setup

setup(
    name="slapgridtest",
    version="1.0",
    py_modules=["slapgridtest"],
    entry_points={
        "zc.buildout": [
            "block = slapgridtest:Block",
            "copy = slapgridtest:Copy",
            "fail = slapgridtest:Fail",
            "parameters = slapgridtest:Parameters",
            "publish = slapgridtest:Publish",
            "render = slapgridtest:Render",
            "request = slapgridtest:Request",
            "run = slapgridtest:Run",
            "storage = slapgridtest:Storage",
        ]
    },
)
