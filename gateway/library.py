"""Where plugins come from: the built-ins, installed packages (entry-point group `gateway.plugins`), and the folder
`plugins/` beside the configuration. Nothing is imported before it is named."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import traceback
import weakref
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Literal

from gateway.errors import ConfigError
from gateway.local_modules import LocalModules
from gateway.plugin import Plugin

BUILT_IN = (
    "access",
    "access_log",
    "api_key",
    "auth_delegation",
    "basic_auth",
    "breaker",
    "compression",
    "concurrency_limit",
    "cors",
    "headers",
    "introspection",
    "jwt",
    "legacy_client",
    "legacy_service",
    "rate_limit",
    "rate_metrics",
    "request_size",
    "security_headers",
    "session",
    "token_exchange",
    "tracing_ids",
    "transform",
)
GROUP = "gateway.plugins"
PREFIX = "_gateway_plugin_"

Source = Literal["built-in", "package", "local"]


@dataclass(frozen=True, slots=True)
class Found:
    """One plugin that can be named, and where it comes from. `place` is a module or a file."""

    name: str
    source: Source
    place: str


class _LocalCode:
    """What was loaded from one local file, and from those that it imports from its folder. They stay imported, under
    private names, until nobody has this any more."""

    def __init__(self, path: Path) -> None:
        """Whatever the file raises; ConfigError when it holds no plugin."""
        self._modules = LocalModules(path.parent, PREFIX)
        weakref.finalize(self, self._modules.forget).atexit = False
        self.plugin = _only_plugin(self._modules.load(path.stem), path.stem)

    @property
    def is_current(self) -> bool:
        """Are the files what they were?"""
        return self._modules.is_current


class Library:
    """All plugins that a configuration in `folder` can name.

    Mutable state: the classes loaded so far, and `renewed`, the plugins whose code was loaded anew. Code of packages
    stays as it is for the life of the process. Local code is taken over from the library `before` while its files are
    what they were: a class that is made anew costs the instances of the old one their state.
    """

    def __init__(self, folder: Path | None = None, before: Library | None = None) -> None:
        self._classes: dict[str, type[Plugin]] = {}
        self._packages: tuple[EntryPoint, ...] = (
            before._packages if before is not None else tuple(entry_points(group=GROUP))
        )
        self._files: dict[str, Path] = {}
        if folder is not None:
            self._files = _local_files(folder / "plugins")
        self._local: dict[Path, _LocalCode] = {}
        if before is not None:
            self._local |= {path: code for path, code in before._local.items() if path in self._files.values()}
        self.renewed: list[str] = []

    def list(self) -> list[Found]:
        """Every plugin by name."""
        found = [Found(name, "built-in", f"gateway.plugins.{name}") for name in BUILT_IN]
        found += [Found(entry.name, "package", entry.value) for entry in self._packages]
        found += [Found(name, "local", str(path)) for name, path in self._files.items()]
        return sorted(found, key=lambda one: one.name)

    def clashes(self) -> dict[str, str]:
        """The names of local files that something else has too, and what to do about each."""
        places: dict[str, list[Found]] = {}
        for one in self.list():
            places.setdefault(one.name, []).append(one)
        return {name: _clash(name, places[name]) for name in self._files if len(places[name]) > 1}

    def find(self, name: str) -> type[Plugin]:
        """The class of a plugin. ConfigError for a name that is nowhere or twice, and for code that does not load."""
        known = self._classes.get(name)
        if known is None:
            self._check_once(name)
            known = self._classes[name] = self._load(name)
        return known

    def _check_once(self, name: str) -> None:
        places = [one for one in self.list() if one.name == name]
        if len(places) > 1:
            raise ConfigError(_clash(name, places))
        if not places:
            close = difflib.get_close_matches(name, [one.name for one in self.list()], n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"put {name}.py into plugins/ beside the configuration"
            raise ConfigError(f"no plugin is named {name!r}; {hint}")

    def _load(self, name: str) -> type[Plugin]:
        try:
            if name in BUILT_IN:
                return _only_plugin(importlib.import_module(f"gateway.plugins.{name}"), name)
            if name in self._files:
                return self._load_file(self._files[name])
            loaded = next(entry for entry in self._packages if entry.name == name).load()
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f"the plugin {name!r} does not load: {_told(error, self._files.get(name))}") from error
        if isinstance(loaded, ModuleType):
            return _only_plugin(loaded, name)
        if not (inspect.isclass(loaded) and issubclass(loaded, Plugin)):
            raise ConfigError(f"the entry point of the plugin {name!r} is not a Plugin class")
        return loaded

    def _load_file(self, path: Path) -> type[Plugin]:
        code = self._local.get(path)
        if code is None or not code.is_current:
            if self._local.pop(path, None) is not None:
                self.renewed.append(path.stem)
            code = self._local[path] = _LocalCode(path)
        return code.plugin


def holds_built_ins(folder: Path) -> bool:
    """Is it a folder of the built-ins themselves? So it is beside the configuration of a checkout, whether the gateway
    runs from there or is installed."""
    return all((folder / f"{name}.py").is_file() for name in BUILT_IN)


def _local_files(folder: Path) -> dict[str, Path]:
    if holds_built_ins(folder):
        return {}
    return {path.stem: path for path in sorted(folder.glob("*.py")) if not path.stem.startswith(("_", "test_"))}


def _clash(name: str, places: list[Found]) -> str:
    listed = " and ".join(f"{one.place} ({one.source})" for one in places)
    return f"the plugin name {name!r} is taken twice, by {listed}: rename yours"


def _told(error: Exception, path: Path | None) -> str:
    """What was raised, and where in the folder of `path`."""
    if isinstance(error, SyntaxError):
        return f"{type(error).__name__}: {error.msg} ({error.filename}:{error.lineno})"
    said = f"{type(error).__name__}: {error}"
    frames = traceback.extract_tb(error.__traceback__)
    here = [frame for frame in frames if path is not None and Path(frame.filename).is_relative_to(path.parent)]
    return f"{said} ({here[-1].filename}:{here[-1].lineno})" if here else said


def _only_plugin(module: ModuleType, name: str) -> type[Plugin]:
    classes = [
        member
        for member in vars(module).values()
        if inspect.isclass(member) and issubclass(member, Plugin) and member.__module__ == module.__name__
    ]
    if len(classes) != 1:
        listed = ", ".join(sorted(member.__name__ for member in classes)) or "none"
        raise ConfigError(f"the file of the plugin {name!r} must define one Plugin class, it defines {listed}")
    return classes[0]
