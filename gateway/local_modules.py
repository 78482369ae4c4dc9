"""Modules that are files below one folder, imported under private names: they hide nobody's module, `sys.path` stays as
it is, and relative imports between them work."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import NoReturn

# Each import has a number of its own: what it replaces stays as it is until nobody needs it.
PREFIX = "_gateway_app_"
_NUMBERS = itertools.count(1)


class LocalModules:
    """What was imported from one folder, at one time. Mutable state: the digest of each file that was read."""

    def __init__(self, folder: Path, prefix: str = PREFIX) -> None:
        self.folder = folder
        self.name = f"{prefix}{next(_NUMBERS)}"
        self._digests: dict[str, bytes] = {}

    def load(self, module: str) -> ModuleType:
        """Import `module` from the folder, with what it imports relatively. Whatever that raises."""
        if FINDER not in sys.meta_path:
            sys.meta_path.insert(0, FINDER)
        root = ModuleType(self.name)
        root.__path__ = [str(self.folder)]
        sys.modules[self.name] = root
        FINDER.known[self.name] = self
        return importlib.import_module(f"{self.name}.{module}")

    @property
    def files(self) -> tuple[Path, ...]:
        """Those that were read."""
        return tuple(map(Path, self._digests))

    @property
    def is_current(self) -> bool:
        """Are the files that were read what they were?"""
        try:
            return all(_digest(Path(path).read_bytes()) == digest for path, digest in self._digests.items())
        except OSError:
            return False

    def forget(self) -> None:
        """Nothing of it is imported any more."""
        FINDER.known.pop(self.name, None)
        for name in [name for name in sys.modules if name.partition(".")[0] == self.name]:
            del sys.modules[name]

    def read(self, path: str, data: bytes) -> None:
        """A file of it was read."""
        self._digests[path] = _digest(data)


def find_local(folder: Path, module: str) -> Path | None:
    """The file of a dotted name, `a/b.py` or `a/b/__init__.py` below `folder`; None where there is none."""
    place = folder.joinpath(*module.split("."))
    for path in (place / "__init__.py", place.parent / f"{place.name}.py"):
        if path.is_file():
            return path
    return None


class _Finder(MetaPathFinder):
    """Finds what is imported below the private names. Mutable state: `known`, what each of them stands for."""

    def __init__(self) -> None:
        self.known: dict[str, LocalModules] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        root, _, module = fullname.partition(".")
        local = self.known.get(root)
        if local is None or not module:
            return None
        file = find_local(local.folder, module)
        if file is not None:
            places = [str(file.parent)] if file.name == "__init__.py" else None
            loader = _Loader(fullname, str(file), local)
            return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=places)
        folder = local.folder.joinpath(*module.split("."))
        if not folder.is_dir():
            return None
        spec = ModuleSpec(fullname, None, is_package=True)
        spec.submodule_search_locations = [str(folder)]
        return spec


FINDER = _Finder()


class _Loader(SourceFileLoader):
    """Reads sources alone: compiled files go by size and second, so an edit within one second could be missed."""

    def __init__(self, name: str, path: str, local: LocalModules) -> None:
        super().__init__(name, path)
        self._local = local

    def path_stats(self, path: str) -> NoReturn:
        raise OSError("no compiled file is looked for, and none is written")

    def get_data(self, path: str) -> bytes:
        data = super().get_data(path)
        self._local.read(path, data)
        return data


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
