"""The list of packages; everything else is in pyproject.toml.

The built-in plugins stand at the top of the repository, as a user's own do, and are installed as `gateway.plugins`:
a wheel must not bring a package with so common a name as `plugins`.
"""

from setuptools import find_packages, setup

setup(packages=[*find_packages(include=["gateway", "gateway.*"]), "gateway.plugins"])
