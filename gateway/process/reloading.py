"""One worker's change from a configuration to the next, in two steps: aside, while requests go on, and then at once."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Container
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gateway.compile import Generation, config_folder
from gateway.config.files import Kept
from gateway.config.load import Loaded
from gateway.config.masking import masked
from gateway.config.problems import Position, Problem
from gateway.plugin import Plugin
from gateway.process.aside import small_steps
from gateway.process.plugin_life import NotStarted, not_among, start_plugins, stop_plugins
from gateway.process.versions import RELOAD, Version
from gateway.process.watch import Contents, code_of

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime

log = logging.getLogger("gateway.process")


class VersionChanged(Exception):
    """A reload was asked for on condition of a version that is not in service any more."""


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What came of reading the configuration once. `at` is in seconds since 1970; `texts` are the problems with their
    lines of the file."""

    at: float
    accepted: bool
    problems: tuple[Problem, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Change:
    """A configuration to load, and why: from files that were kept, or without them from the disk. `restored` is the
    version that it brings back, else 0; `is_on_disk` says that the files are those of the disk."""

    why: str = RELOAD
    kept: Kept | None = field(default=None, repr=False)
    restored: int = 0
    is_on_disk: bool = True


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of preparing a change, and what was read for it."""

    accepted: bool
    digest: str
    kept: Kept = field(repr=False)
    result: LoadResult

    def version(self, number: int, change: Change) -> Version:
        """The version that it is once it goes into service, now."""
        return Version(number, self.digest, time.time(), change.why, self.kept, change.restored)


@dataclass(frozen=True, slots=True)
class Aside:
    """What waits for being put into service. `fresh` are the plugins that were started for it."""

    loaded: Loaded
    generation: Generation
    fresh: list[Plugin]


class Reloading:
    """Mutable state: what waits aside, and the lock of a reload that this worker makes by itself. `on_disk` is what was
    last read from the disk, accepted or not, and with `reads_code` the code of local plugins then."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._aside: Aside | None = None
        self._changing = asyncio.Lock()
        self.reads_code = False
        self.on_disk: Contents = (Kept(), Kept())
        self._results = runtime.metrics.counter(
            "gateway_config_reloads_total", "Reloads of the configuration by result.", ("result",)
        )
        for result in ("success", "failure"):
            self._results.labels(result)

    def load(self, change: Change) -> Loaded:
        """Read the configuration."""
        runtime = self._runtime
        # Before it is loaded, so that an edit meanwhile shows as one.
        code = code_of(config_folder(runtime.path)) if self.reads_code else Kept()
        loaded = runtime.load(change.kept)
        self.on_disk = (loaded.kept if change.is_on_disk else self.on_disk[0]), code
        return loaded

    def change(self, why: str, back_to: int | None) -> Change:
        """What brings back that version (PREVIOUS: the one before), or without one what is on the disk. LookupError for
        a version that is not kept."""
        if back_to is None:
            return Change(why)
        old = self._runtime.versions.find(back_to)
        return Change(f"rollback to {old.origin}", old.kept, old.origin, is_on_disk=False)

    async def reload(
        self, expected: Container[int] | None = None, why: str = RELOAD, back_to: int | None = None
    ) -> bool:
        """Read the configuration again, with `back_to` from the files of that version (PREVIOUS: the one before).
        The one in service stays when the new one is wrong.

        With `expected` only if the version in service is one of these: else VersionChanged. LookupError for a version
        that is not kept.
        """
        async with self._changing:
            runtime = self._runtime
            if expected is not None and runtime.version not in expected:
                raise VersionChanged
            change = self.change(why, back_to)
            outcome = await self.prepare(change)
            if outcome.accepted:
                await self.commit(outcome.version(runtime.version + 1, change))
            self.report(outcome.accepted)
            return outcome.accepted

    async def prepare(self, change: Change) -> Outcome:
        """Read the configuration, compile it and start its new plugins, all aside. Where something is wrong
        `runtime.last` says what, and nothing has changed."""
        runtime = self._runtime
        with small_steps():
            # A large file takes a while to read: requests go on meanwhile.
            loaded = await asyncio.to_thread(self.load, change)
            try:
                generation = await asyncio.to_thread(runtime.compile, loaded)
                if generation is not None:
                    known = runtime.generation.plugins.values() if runtime.generation is not None else ()
                    fresh = await asyncio.to_thread(not_among, generation.plugins.values(), known)
                    await start_plugins(fresh, generation)
                    self._aside = Aside(loaded, generation, fresh)
            except NotStarted as error:
                generation = None
                runtime.problems = (*runtime.problems, error.problem)
            except Exception as error:
                log.exception("the reload failed; the configuration in service stays")
                generation = None
                problem = Problem(Position(str(runtime.path), 1, 1), f"{type(error).__name__}: {error}")
                runtime.problems = (*loaded.problems, masked(problem, loaded.secrets))
        runtime.note(loaded, generation is not None)
        outcome = Outcome(generation is not None, loaded.digest, loaded.kept, runtime.last)
        if generation is None:
            runtime.let_go(None, loaded)
        return outcome

    async def commit(self, version: Version) -> None:
        """Put into service what was prepared."""
        aside, self._aside = self._aside, None
        assert aside is not None
        self._runtime.versions.add(version)
        await self._runtime.serve(aside.generation, aside.loaded, version)
        gc.freeze()

    async def discard(self, refusal: LoadResult) -> None:
        """What another worker has refused does not go into service here either: every worker says why."""
        aside, self._aside = self._aside, None
        if aside is not None:
            await stop_plugins(aside.fresh)
        self._runtime.problems, self._runtime.last = refusal.problems, refusal

    def report(self, accepted: bool) -> None:
        """Count and log what came of it."""
        runtime = self._runtime
        self._results.labels("success" if accepted else "failure").inc()
        if not accepted:
            texts = "\n".join(runtime.last.texts)
            log.error("the new configuration is refused, the one in service stays:\n%s", texts)
            return
        runtime.warn()
        for name in runtime.library.renewed:
            log.info("the plugin %r runs its new code; what its instances had in memory is gone", name)
        log.info("configuration %s is in service", runtime.version)
