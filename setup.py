"""The list of packages, and of the modules that can be compiled; everything else is in pyproject.toml.

The built-in plugins stand at the top of the repository, as a user's own do, and are installed as `gateway.plugins`:
a wheel must not bring a package with so common a name as `plugins`.

With AIOGATE_NATIVE=1 in the environment the modules of the hot path are compiled to C: those that have a `.pxd` beside
them, which gives the types that C needs to know. Python prefers what is compiled to the same file as it is.
"""

import os
from pathlib import Path

from setuptools import Extension, find_packages, setup

HOT = [path.with_suffix("") for folder in ("gateway", "plugins") for path in sorted(Path(folder).rglob("[!_]*.pxd"))]


def compiled_modules():
    """What setuptools is to compile. ImportError without Cython."""
    from Cython.Build import cythonize

    return cythonize(
        [Extension(installed_as(path), [f"{path}.py"], extra_compile_args=["-O2", "-g0", "-fno-plt"]) for path in HOT],
        build_dir="build/cython",
        nthreads=os.cpu_count() or 1,
        compiler_directives={
            "annotation_typing": False,  # annotations are for people and mypy, C types stand in the .pxd
            "auto_pickle": False,
            "language_level": 3,
            "nonecheck": True,  # an attribute of None is an AttributeError here too, and no crash
        },
    )


def installed_as(path):
    """The module's name."""
    name = str(path).replace("/", ".")
    return f"gateway.{name}" if name.startswith("plugins.") else name


if __name__ == "__main__":  # compiling in parallel imports this file again
    setup(
        packages=[*find_packages(include=["gateway", "gateway.*"]), "gateway.plugins"],
        ext_modules=compiled_modules() if os.environ.get("AIOGATE_NATIVE") == "1" else [],
        options={"build_ext": {"parallel": os.cpu_count() or 1}},
    )
