"""One worker, alive: the generation in service, its listeners, and the change from one generation to the next."""

from __future__ import annotations

import asyncio
import gc
import hashlib
import logging
import time
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp

from gateway.compile import Generation, compile_table, config_folder
from gateway.config.load import Loaded, load
from gateway.config.problems import Position, Problem
from gateway.config.specs import ConfigSpec, ListenerSpec
from gateway.control import UpstreamCaller
from gateway.errors import ConfigError
from gateway.library import Library
from gateway.plugin import Env, Plugin
from gateway.proxy import Proxy
from gateway.state.memory import MemoryShared
from gateway.table import RouteTable
from gateway.process.gauges import watch_runtime
from gateway.telemetry.log_sink import LogSinks
from gateway.telemetry.metrics import Metrics
from gateway.wire.client_connection import ClientSettings
from gateway.wire.deadlines import Deadlines
from gateway.wire.head import request_policy
from gateway.wire.listener import Listener

log = logging.getLogger("gateway.process")
POOL_SWEEP = 1.0


class SystemClock:
    """The machine's time."""

    def now(self) -> float:
        """Monotonic seconds."""
        return time.monotonic()

    def wall(self) -> float:
        """Seconds since 1970, UTC."""
        return time.time()


class Runtime:
    """Owns what lives as long as the worker: proxy, metrics, deadlines, listeners, and the generation in service.

    `problems` are those of the last load, whether it went into service or not; `version` counts those that did.
    """

    def __init__(self, path: Path, environ: dict[str, str], binds: Sequence[ListenerSpec] | None = None) -> None:
        """`binds` are listened on in place of the configuration's."""
        self.path = path
        self._binds = binds
        self.metrics = Metrics()
        self.deadlines = Deadlines()
        self.listeners: list[Listener] = []
        self.generation: Generation | None = None
        self.loaded: Loaded | None = None
        self.problems: tuple[Problem, ...] = ()
        self.version = 0
        self.started = time.time()
        self.ready = False
        self.proxy = Proxy(RouteTable.empty())
        self._environ = environ
        clock = SystemClock()
        self._shared = MemoryShared(clock)
        self._session: aiohttp.ClientSession | None = None
        self._retiring: set[asyncio.Task[None]] = set()
        self._sweep: asyncio.TimerHandle | None = None
        self._reloading = asyncio.Lock()
        self._reloads = self.metrics.counter(
            "gateway_config_reloads_total", "Reloads of the configuration by result.", ("result",)
        )
        self._sinks = LogSinks(self.metrics)
        self.env = Env(
            clock,
            self.metrics,
            log,
            self._shared,
            self._http_session,
            lambda name: UpstreamCaller(self.proxy, name),
            open_sink=self._sinks.open,
        )
        watch_runtime(self)

    @property
    def spec(self) -> ConfigSpec:
        """The configuration in service."""
        assert self.generation is not None
        return self.generation.spec

    # the generation

    def compile(self) -> tuple[Generation | None, Loaded]:
        """Read and compile the configuration; `problems` says what is wrong with it."""
        loaded = load(self.path, self._environ)
        library = Library(config_folder(self.path))
        generation, self.problems = compile_table(loaded, self.env, self.metrics, library, self.generation)
        return generation, loaded

    async def put_into_service(self, generation: Generation, loaded: Loaded) -> None:
        """Start what is new, swap the table, stop what is old once nobody uses it."""
        before = self.generation
        known = set(map(id, before.plugins.values())) if before is not None else set()
        fresh = [plugin for plugin in generation.plugins.values() if id(plugin) not in known]
        await _start_all(fresh)
        self.version += 1
        digest = hashlib.sha256(repr(loaded.sources).encode()).hexdigest()[:16]
        generation.table = replace(generation.table, version=self.version, digest=digest)
        generation.take_over()
        self.generation = generation
        self.loaded = loaded
        self.proxy.table = generation.table
        settings = client_settings(generation)
        for listener, spec in zip(self.listeners, generation.spec.listeners, strict=False):
            listener.settings = replace(settings, half_close=spec.half_close == "allow")
        if before is not None:
            self._retire(before, generation)

    async def reload(self) -> bool:
        """Read the configuration again. The one in service stays when the new one is wrong."""
        async with self._reloading:
            try:
                generation, loaded = self.compile()
                if generation is not None:
                    self._check_binds(generation)
                    await self.put_into_service(generation, loaded)
            except Exception as error:
                log.exception("the reload failed; the configuration in service stays")
                self.problems = (*self.problems, Problem(Position(str(self.path), 1, 1), str(error)))
                generation = None
            self._reloads.labels("success" if generation is not None else "failure").inc()
            if generation is None:
                log.error("the new configuration is refused, the one in service stays:\n%s", self.explain_problems())
                return False
            log.info("configuration %s is in service", self.version)
            gc.collect()
            gc.freeze()
            return True

    def explain_problems(self) -> str:
        """The problems of the last load as text."""
        return "\n".join(str(problem) for problem in self.problems)

    def _check_binds(self, generation: Generation) -> None:
        """Listeners are opened at the start: a reload cannot move them."""
        if self._binds is None and self.generation is not None and _binds(generation.spec) != _binds(self.generation.spec):
            raise ConfigError("a reload cannot change where the gateway listens: restart it for that")

    def _retire(self, old: Generation, new: Generation) -> None:
        kept = set(map(id, new.plugins.values()))
        plugins = [plugin for plugin in old.plugins.values() if id(plugin) not in kept]
        for key, endpoint in old.endpoints.items():
            if key not in new.endpoints:
                endpoint.pool.close()
        if plugins:
            table = weakref.ref(old.table)
            task = asyncio.get_running_loop().create_task(_stop_when_unused(plugins, table, old.spec.timeouts.drain))
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    # the worker's life

    async def start(self) -> None:
        """Compile, start plugins, listen. ConfigError with all problems; OSError for an address that cannot be had."""
        generation, loaded = self.compile()
        if generation is None:
            raise ConfigError("\n".join(loaded.render(problem) for problem in self.problems))
        for problem in self.problems:
            log.warning("%s", problem)
        self.deadlines.start()
        await self.put_into_service(generation, loaded)
        settings = client_settings(generation)
        for spec in self._binds or generation.spec.listeners:
            mine = replace(settings, half_close=spec.half_close == "allow")
            listener = Listener(spec.bind.host, spec.bind.port, mine, self.proxy, self.deadlines)
            await listener.start()
            self.listeners.append(listener)
        self._sweep_pools()
        # What is alive now stays: the collector need not look at it again, and seldom at the rest.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        self.ready = True

    async def drain(self) -> None:
        """Stop: no new connections, what is under way may finish within `timeouts.drain`."""
        self.ready = False
        self.proxy.stopping = True
        for listener in self.listeners:
            listener.stop_accepting()
        deadline = time.monotonic() + (self.spec.timeouts.drain if self.generation is not None else 0)
        while any(listener.connections for listener in self.listeners) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for listener in self.listeners:
            listener.abort()

    async def stop(self) -> None:
        """Close what is left: plugins, pools, sessions."""
        if self._sweep is not None:
            self._sweep.cancel()
        self.deadlines.stop()
        for task in list(self._retiring):
            task.cancel()
        if self.generation is not None:
            await _stop_all(list(self.generation.plugins.values()))
            for endpoint in self.generation.endpoints.values():
                endpoint.pool.close()
        await self._sinks.close()
        if self._session is not None:
            await self._session.close()

    def reopen_logs(self) -> None:
        """Log files that were moved away are opened anew."""
        self._sinks.reopen()

    def _sweep_pools(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(POOL_SWEEP, self._sweep_pools)
        now = time.monotonic()
        for endpoint in self.generation.endpoints.values() if self.generation is not None else ():
            endpoint.pool.sweep(now)

    def _http_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=10)
            )
        return self._session

    def __repr__(self) -> str:
        return f"<Runtime {self.path} version={self.version} active={self.proxy.active}>"


def client_settings(generation: Generation) -> ClientSettings:
    """What a configuration settles for every client connection."""
    spec = generation.spec
    identities = generation.table.identity_headers
    return ClientSettings(
        request_policy(True, identities),
        request_policy(False, identities),
        spec.trusted_proxies,
        spec.limits.request_head,
        spec.limits.header_count,
        spec.limits.request_body,
        spec.timeouts.request_head,
        spec.timeouts.request_body,
        spec.timeouts.idle,
        connections=spec.limits.connections,
    )


def _binds(spec: ConfigSpec) -> list[tuple[str, int]]:
    return [(listener.bind.host, listener.bind.port) for listener in spec.listeners]


async def _start_all(plugins: list[Plugin]) -> None:
    """Start all or none. The first error, after those that had started are stopped again."""
    started: list[Plugin] = []
    try:
        for plugin in plugins:
            await plugin.start()
            started.append(plugin)
    except Exception as error:
        await _stop_all(started)
        raise ConfigError(f"the plugin {plugin.name!r} did not start: {error}") from error


async def _stop_all(plugins: list[Plugin]) -> None:
    for plugin in plugins:
        try:
            await plugin.stop()
        except Exception:
            log.exception("the plugin %r did not stop cleanly", plugin.name)


async def _stop_when_unused(plugins: list[Plugin], table: weakref.ref[RouteTable], patience: float) -> None:
    """Requests that began under the old table still meet these plugins: wait for the last of them."""
    deadline = time.monotonic() + patience
    while table() is not None and time.monotonic() < deadline:
        await asyncio.sleep(0.1)
    await _stop_all(plugins)
