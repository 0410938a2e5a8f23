from setuptools import setup

setup(
    name="benchrecipes",
    version="1.0",
    py_modules=["benchrecipes", "benchclient", "benchslap"],
    entry_points={
        "zc.buildout": [
            "template = benchrecipes:Template",
            "program = benchrecipes:Program",
            "parameters = benchclient:Parameters",
            "publish = benchclient:Publish",
        ]
    },
)
