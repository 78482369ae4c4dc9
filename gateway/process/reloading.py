"""One worker's change from a configuration to the next, in two steps: aside, while requests go on, and then at once."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Container
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gateway.compile import Generation
from gateway.config.load import Loaded
from gateway.config.masking import masked
from gateway.config.problems import Position, Problem
from gateway.plugin import Plugin
from gateway.process.plugin_life import NotStarted, not_among, start_plugins, stop_plugins

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime

log = logging.getLogger("gateway.process")


class VersionChanged(Exception):
    """A reload was asked for on condition of a version that is not in service any more."""


@dataclass(frozen=True, slots=True)
class Aside:
    """What waits for being put into service. `fresh` are the plugins that were started for it."""

    loaded: Loaded
    generation: Generation
    fresh: list[Plugin]


class Reloading:
    """Mutable state: what waits aside, and the lock of a reload that this worker makes by itself."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._aside: Aside | None = None
        self._changing = asyncio.Lock()
        self._results = runtime.metrics.counter(
            "gateway_config_reloads_total", "Reloads of the configuration by result.", ("result",)
        )
        for result in ("success", "failure"):
            self._results.labels(result)

    async def reload(self, expected: Container[int] | None = None) -> bool:
        """Read the configuration again. The one in service stays when the new one is wrong.

        With `expected` only if the version in service is one of these: else VersionChanged.
        """
        async with self._changing:
            if expected is not None and self._runtime.version not in expected:
                raise VersionChanged
            accepted = await self.prepare()
            if accepted:
                await self.commit(self._runtime.version + 1)
            self.report(accepted)
            return accepted

    async def prepare(self) -> bool:
        """Read the configuration, compile it and start its new plugins, all aside. False when something is wrong: then
        `runtime.last` says what, and nothing has changed."""
        runtime = self._runtime
        # A large file takes a while to read: requests go on meanwhile.
        loaded = await asyncio.to_thread(runtime.load)
        generation: Generation | None = None
        try:
            generation = runtime.compile(loaded)
            if generation is not None:
                known = runtime.generation.plugins.values() if runtime.generation is not None else ()
                fresh = not_among(generation.plugins.values(), known)
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
        return generation is not None

    async def commit(self, version: int) -> None:
        """Put into service what was prepared."""
        aside, self._aside = self._aside, None
        assert aside is not None
        await self._runtime.serve(aside.generation, aside.loaded, version)
        gc.collect()
        gc.freeze()

    async def discard(self, why: str) -> None:
        """Something else was wrong: what was prepared does not go into service."""
        aside, self._aside = self._aside, None
        if aside is not None:
            runtime = self._runtime
            await stop_plugins(aside.fresh)
            runtime.problems = (*runtime.problems, Problem(Position(str(runtime.path), 1, 1), why))
            runtime.note(aside.loaded, False)

    def report(self, accepted: bool) -> None:
        """Count and log what came of it."""
        runtime = self._runtime
        self._results.labels("success" if accepted else "failure").inc()
        if accepted:
            runtime.warn()
            log.info("configuration %s is in service", runtime.version)
        else:
            texts = "\n".join(runtime.last.texts)
            log.error("the new configuration is refused, the one in service stays:\n%s", texts)
