from setuptools import setup

setup(
    name="hostilerecipes",
    version="1.0",
    py_modules=["attacks", "hostilerecipes"],
    entry_points={"zc.buildout": ["attack = hostilerecipes:Attack", "wait = hostilerecipes:Wait"]},
)
