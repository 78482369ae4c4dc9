"""One worker, alive: the generation in service, its listeners, and the change from one generation to the next."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import time
from collections.abc import Collection, Container, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import aiohttp

from gateway.compile import Generation, compile_table, config_folder
from gateway.config.fields import Bind
from gateway.config.files import Kept
from gateway.config.load import Loaded, load
from gateway.config.problems import Problem
from gateway.config.specs import AdminSpec, ConfigSpec, ListenerSpec
from gateway.control import UpstreamCaller
from gateway.errors import ConfigError
from gateway.library import Library
from gateway.plugin import Env, Plugin
from gateway.process.certificate_watch import CertificateWatch
from gateway.process.gauges import watch_runtime
from gateway.process.letting_go import let_go
from gateway.process.listening import RESTART, Place, misplaced, moved, places
from gateway.process.plugin_life import NotStarted, not_among, start_plugins, stop_plugins, stop_when_unused, when_gone
from gateway.process.reloading import Change, LoadResult, Reloading
from gateway.process.shared_state import SharedState
from gateway.process.sockets import open_sockets
from gateway.process.versions import RELOAD, START, Version, Versions
from gateway.proxy import Proxy
from gateway.state.board import Seat
from gateway.state.store import Store
from gateway.table import RouteTable
from gateway.telemetry.log_sink import LogSinks
from gateway.telemetry.metrics import Metrics
from gateway.upstreams.health_checks import HealthChecks, check_session
from gateway.upstreams.outliers import Outliers
from gateway.wire.deadlines import Deadlines
from gateway.wire.listener import Listener
from gateway.wire.server_tls import ServerTls
from gateway.wire.upstream_tls import UpstreamTls

log = logging.getLogger("gateway.process")
POOL_SWEEP = 1.0
TICK = 0.05

# A listening socket, and what holds for TLS there.
Doors = Sequence[tuple[socket.socket, ServerTls | None]]


class SystemClock:
    """The machine's time. Without a call of our own, since every request asks for it."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class Runtime:
    """Owns what lives as long as the worker: proxy, metrics, deadlines, listeners, and the generation in service.

    `problems` are those of the last load, whether it went into service or not; `version` counts those that did.
    `last` is what came of the last load, `loaded_at` when the one in service was put there, `ready` whether requests
    are served and new ones are welcome, `leaving` whether it will stop, `slot` its number among the gateway's workers.
    `versions` are the configurations that went into service of late, the one in service included.
    """

    def __init__(
        self,
        path: Path,
        environ: dict[str, str],
        binds: Sequence[ListenerSpec] | None = None,
        admin_bind: Bind | None = None,
        alone: Collection[str] = (),
        seat: Seat | None = None,
        memory: Store | None = None,
    ) -> None:
        """`binds` and `admin_bind` are listened on in place of the configuration's. With names in `alone` only these
        frontends are served. With a `seat` it is one of several workers, with a `memory` of the whole
        gateway it keeps shared state there."""
        self._seat = seat
        self.path = path
        self._binds = binds
        self._alone = alone
        self._admin_bind = admin_bind
        self.metrics = Metrics()
        self.deadlines = Deadlines()
        self.listeners: list[Listener] = []
        self.generation: Generation | None = None
        self.loaded: Loaded | None = None
        self.problems: tuple[Problem, ...] = ()
        self.last = LoadResult(0.0, False, (), ())
        self.versions = Versions()
        self.version = 0
        self.started = time.time()
        self.loaded_at = 0.0
        self.ready = self.leaving = False
        self.slot = 0
        self.proxy = Proxy(RouteTable.empty())
        self._environ = environ
        clock = SystemClock()
        self._state = SharedState(clock, self.metrics, memory)
        self._session: aiohttp.ClientSession | None = None
        self._check_session: aiohttp.ClientSession | None = None
        self._retiring: dict[asyncio.Task[None], asyncio.Event] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._ticking: asyncio.TimerHandle | None = None
        self.reloading = Reloading(self)
        self._prepared: tuple[Generation, Loaded] | None = None
        self._sinks = LogSinks(self.metrics)
        self._certificates = CertificateWatch(self.listeners, self._upstream_tls, clock.wall)
        self._checks = HealthChecks(self._checking_session, lambda endpoint: Outliers.lift(endpoint, clock.now()))
        self.env = Env(
            clock,
            self.metrics,
            log,
            self._state.store,
            self._http_session,
            lambda name: UpstreamCaller(self.proxy, name),
            folder=config_folder(path),
            open_sink=self._sinks.open,
            seat=seat,
        )
        watch_runtime(self)

    @property
    def library(self) -> Library:
        """The plugins that the configuration in service can name."""
        return self.generation.library if self.generation is not None else Library()

    @property
    def spec(self) -> ConfigSpec:
        """The configuration in service, or before the start the one that will be."""
        return self.current.spec

    @property
    def admin(self) -> AdminSpec:
        """The admin listener's settings."""
        return self.spec.admin

    @property
    def admin_bind(self) -> Bind:
        """Where the admin listener listens."""
        return self._admin_bind or self.admin.bind

    # the generation

    def compile(self, loaded: Loaded) -> Generation | None:
        """Compile what was read; `problems` says what is wrong with it."""
        refused = self._state.adopt(loaded)
        self.env = replace(self.env, shared=self._state.store)
        library = Library(config_folder(self.path), self.library)
        generation, problems = compile_table(loaded, self.env, self.metrics, library, self.generation, self._alone)
        if generation is not None:
            refused += self._address_problems(generation, loaded)
        self.problems = (*problems, *refused)
        return None if refused else generation

    async def serve(self, generation: Generation, loaded: Loaded, version: Version) -> None:
        """Swap the table for that of a generation whose plugins are started, and stop what is old once nobody uses
        it."""
        loaded_before = self.loaded
        before = self.generation
        known = list(before.plugins.values()) if before is not None else []
        gone = not_among(known, generation.plugins.values())
        self.version, self.loaded_at = version.number, version.at
        generation.table = replace(generation.table, version=version.number, digest=version.digest)
        for plugin in gone:
            if type(plugin).routes_served is not Plugin.routes_served:
                plugin.routes_served({})
        generation.take_over()
        self.generation = generation
        self.loaded = loaded
        self.proxy.table = generation.table
        self._checks.follow(
            {
                endpoint: (upstream.checks, upstream.name)
                for upstream in generation.table.upstreams.values()
                if upstream.checks is not None
                for endpoint in upstream.endpoints
            }
        )
        for listener, place in zip(self.listeners, places(generation, self._binds), strict=False):
            listener.adopt(place.settings)
            if place.certificates is not None:
                await listener.adopt_certificates(place.certificates)
        if before is not None:
            self._retire(before, generation, gone)
            if loaded_before is not None:
                self.let_go(before, loaded_before, before.spec.timeouts.drain)

    def let_go(self, generation: Generation | None, loaded: Loaded, patience: float = 0.0) -> None:
        """Free, piece by piece, what only an old or refused configuration uses."""
        let_go(self._retiring, generation, loaded, patience)

    def load(self, files: Kept | None = None) -> Loaded:
        """Read the configuration, from files that were kept where there are some."""
        return load(self.path, self._environ, files)

    async def reload(
        self, expected: Container[int] | None = None, why: str = RELOAD, back_to: int | None = None
    ) -> bool:
        """Read the configuration again in this worker, see `Reloading.reload`."""
        return await self.reloading.reload(expected, why, back_to)

    def note(self, loaded: Loaded, accepted: bool) -> None:
        """What came of reading the configuration."""
        self.last = LoadResult(time.time(), accepted, self.problems, tuple(map(loaded.render, self.problems)))

    def warn(self) -> None:
        """Log what is not quite right about the configuration."""
        for problem in self.problems:
            log.warning("%s", problem)

    def _address_problems(self, generation: Generation, loaded: Loaded) -> list[Problem]:
        """Sockets are opened at the start: a reload cannot move them, nor open the admin listener to everybody."""
        spec, problems = generation.spec, misplaced(generation, loaded, self._binds)
        current = self.generation.spec if self.generation is not None else None
        if self._admin_bind is not None:
            if spec.admin.token is None and not self._admin_bind.is_loopback:
                message = f"admin: {self._admin_bind} is an address that others can reach and needs a token"
                problems.append(Problem(loaded.position(("admin",)), message, "add token: ${ADMIN_TOKEN}"))
        elif current is not None and spec.admin.bind != current.admin.bind:
            message = f"a reload cannot move the admin listener from {current.admin.bind}"
            problems.append(Problem(loaded.position(("admin", "bind")), message, RESTART))
        if self.generation is not None:
            problems += moved(self.generation, generation, loaded, self._binds)
        return problems

    def _retire(self, old: Generation, new: Generation, plugins: list[Plugin]) -> None:
        """Let go of what only `old` uses, its `plugins` when no request meets them any more."""
        for upstream in (*old.table.upstreams.values(), *old.table.derived):
            # Asked by what is still under way, it must not weigh endpoints that are the new one's.
            upstream.slow_start = 0.0
        for key, endpoint in old.endpoints.items():
            if key not in new.endpoints:
                endpoint.pool.close()
        if plugins:
            unused = when_gone(old.table)
            waiting = stop_when_unused(plugins, unused, old.spec.timeouts.drain)
            task = asyncio.get_running_loop().create_task(waiting)
            self._retiring[task] = unused
            task.add_done_callback(self._retiring.pop)

    # the worker's life

    def prepare(self, change: Change | None = None) -> None:
        """Read and compile the configuration: what the disk holds, or what is asked for. ConfigError with all
        problems."""
        # What is built now stays: the collector would only walk it again and again. `start` has it on again.
        gc.disable()
        loaded = self.reloading.load(change or Change(START))
        generation = self.compile(loaded)
        self.note(loaded, generation is not None)
        if generation is None:
            raise ConfigError("\n".join(self.last.texts))
        self._prepared = generation, loaded

    @property
    def places(self) -> list[Place]:
        """Where it is to listen, in the order of `listeners`."""
        return places(self.current, self._binds)

    @property
    def current(self) -> Generation:
        """The generation in service, or before the start the one that will be."""
        if self.generation is not None:
            return self.generation
        assert self._prepared is not None
        return self._prepared[0]

    @property
    def current_loaded(self) -> Loaded:
        """What `current` was compiled from."""
        loaded = self.loaded if self.generation is not None else self._prepared[1] if self._prepared else None
        assert loaded is not None
        return loaded

    def open(self) -> Doors:
        """Sockets of its own for all places. OSError for an address that cannot be had."""
        return [(open_sockets(place.bind)[0], place.make_tls()) for place in self.places]

    async def start(self, doors: Doors | None = None) -> None:
        """Prepare unless that is done, start plugins, and accept: at these doors, one for each of `places`, else at
        its own. ConfigError with all problems; OSError for an address that cannot be had."""
        if self._prepared is None:
            self.prepare()
        assert self._prepared is not None
        generation, loaded = self._prepared
        version = self.versions.newest
        if version is None:
            version = Version(1, loaded.digest, time.time(), START, loaded.kept)
            self.versions.add(version)
        self.deadlines.start()
        await self._state.store.start()
        try:
            await start_plugins(generation.plugins.values(), generation)
        except NotStarted as error:
            raise ConfigError(loaded.render(error.problem)) from None
        await self.serve(generation, loaded, version)
        # A reference from here would keep the first table, and so its plugins, from ever retiring.
        self._prepared = None
        opened = self.open() if doors is None else doors
        for number, ((sock, tls), place) in enumerate(zip(opened, self.places, strict=True)):
            if tls is not None and place.certificates is not None:
                tls.adopt(place.certificates)
            tally = self._seat.tally(self._seat.marks("listeners").of(number)) if self._seat is not None else None
            listener = Listener(sock, place.settings, self.proxy, self.deadlines, tls, tally)
            await listener.start()
            self.listeners.append(listener)
        self._certificates.start()
        self._sweep_pools()
        self._tick()
        # What is alive now stays: the collector need not look at it again, and seldom at the rest.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 100)
        gc.enable()
        self.ready = True

    async def drain(self) -> None:
        """Stop: not ready any more, and after `timeouts.grace` no new connections; what is under way may finish.
        `timeouts.drain` is all the time for that."""
        self.ready, self.leaving = False, True
        deadline = time.monotonic()
        if self.generation is not None:
            deadline += self.spec.timeouts.drain
            await asyncio.sleep(self.spec.timeouts.grace)
        self.proxy.stopping = True
        for listener in self.listeners:
            listener.stop_accepting()
        while any(listener.connections for listener in self.listeners) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for listener in self.listeners:
            listener.abort()

    async def stop(self) -> None:
        """Close what is left: plugins, pools, sessions."""
        for timer in (self._sweep, self._ticking):
            if timer is not None:
                timer.cancel()
        self.deadlines.stop()
        await self._checks.stop()
        await self._certificates.stop()
        for unused in self._retiring.values():
            unused.set()
        await asyncio.gather(*self._retiring)
        if self.generation is not None:
            await stop_plugins(list(self.generation.plugins.values()))
            for endpoint in self.generation.endpoints.values():
                endpoint.pool.close()
        await self._sinks.close()
        await self._state.store.close()
        for session in (self._session, self._check_session):
            if session is not None:
                await session.close()

    def reopen_logs(self) -> None:
        """Log files that were moved away are opened anew."""
        self._sinks.reopen()

    def _upstream_tls(self) -> Iterable[UpstreamTls]:
        tls = self.generation.tls if self.generation is not None else None
        return tls.upstreams.values() if tls is not None else ()

    def _sweep_pools(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(POOL_SWEEP, self._sweep_pools)
        now = time.monotonic()
        for endpoint in self.generation.endpoints.values() if self.generation is not None else ():
            endpoint.pool.sweep(now)
        for upstream in self.proxy.table.upstreams.values():
            upstream.review(now)

    def _tick(self) -> None:
        """Learn what the other workers know."""
        if self._seat is not None:
            self._ticking = asyncio.get_running_loop().call_later(TICK, self._tick)
            self._seat.tick(time.monotonic())

    def _http_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=10)
            )
        return self._session

    def _checking_session(self) -> aiohttp.ClientSession:
        if self._check_session is None:
            self._check_session = check_session()
        return self._check_session

    def __repr__(self) -> str:
        return f"<Runtime {self.path} version={self.version} active={self.proxy.active}>"
