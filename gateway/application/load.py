"""From `module:attribute` to an aiohttp application: the module is a file below the configuration's folder, or else an
installed one."""

from __future__ import annotations

import importlib
import inspect
import weakref
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from aiohttp import web

from gateway.config.problems import closest
from gateway.errors import ConfigError
from gateway.local_modules import LocalModules, find_local

AsyncFactory = Callable[[], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Reference:
    """What stands behind `app:`; as text `module:attribute`."""

    module: str
    attribute: str

    @classmethod
    def parse(cls, text: str) -> Reference:
        """From text that was checked."""
        module, _, attribute = text.partition(":")
        return cls(module, attribute)

    def __str__(self) -> str:
        return f"{self.module}:{self.attribute}"


class Code:
    """What was imported for one application: `app`, or the coroutine function that makes it.

    Local modules stay imported until `forget`, or until nobody has this any more.
    """

    def __init__(self, app: web.Application | AsyncFactory, local: LocalModules | None) -> None:
        self.app = app
        self._local = local
        if local is not None:
            self._forget = weakref.finalize(self, local.forget)
            self._forget.atexit = False

    @property
    def is_current(self) -> bool:
        """Are the files what they were? Installed modules stay as they are for the life of the process."""
        return self._local is None or self._local.is_current

    def forget(self) -> None:
        """It has stopped."""
        if self._local is not None:
            self._forget()


def load(reference: Reference, folder: Path) -> Code:
    """Import it. A plain function is called for its application; a coroutine function is for who starts it.

    ConfigError for a module or an attribute that is not there, for what is no application, and for code that raises.
    """
    module = reference.module
    local = LocalModules(folder) if find_local(folder, module) is not None else None
    try:
        return Code(_app(_imported(module, local, folder), reference), local)
    except BaseException:
        if local is not None:
            local.forget()
        raise


def checked_app(found: object, reference: Reference, verb: str = "is") -> web.Application:
    """`found`, which is an application. ConfigError for anything else."""
    if not isinstance(found, web.Application):
        kind = type(found).__name__
        raise ConfigError(f"{reference} {verb} no aiohttp web.Application, but something of type {kind}")
    return found


def _imported(module: str, local: LocalModules | None, folder: Path) -> ModuleType:
    try:
        return local.load(module) if local is not None else importlib.import_module(module)
    except (Exception, SystemExit) as error:
        missing = error.name or "" if isinstance(error, ModuleNotFoundError) else ""
        if local is None and missing and f"{module}.".startswith(f"{missing}."):
            file = f"{module.replace('.', '/')}.py"
            raise ConfigError(
                f"no module {module!r}: there is no {file} in {folder}, and no package of that name is installed"
            ) from None
        hint = ""
        if missing and find_local(folder, missing) is not None:
            hint = "; files of the configuration's folder are imported relatively, as in `from . import name`"
        raise ConfigError(f"{module} does not load: {type(error).__name__}: {error}{hint}") from error


def _app(module: ModuleType, reference: Reference) -> web.Application | AsyncFactory:
    names = vars(module)
    if reference.attribute not in names:
        hint = closest(reference.attribute, names) or "name an application, or a function that makes one"
        raise ConfigError(f"{reference.module} has no {reference.attribute!r}; {hint}")
    found = names[reference.attribute]
    if isinstance(found, web.Application) or not callable(found):
        return checked_app(found, reference)
    if inspect.iscoroutinefunction(found):
        later: AsyncFactory = found
        return later
    try:
        made = found()
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{reference} makes no application: {type(error).__name__}: {error}") from error
    return checked_app(made, reference, "makes")
