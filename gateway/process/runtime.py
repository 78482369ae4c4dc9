"""One worker, alive: the generation in service, its listeners, and the change from one generation to the next."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp

from gateway.compile import Generation, compile_table, config_folder
from gateway.config.fields import Bind
from gateway.config.files import Kept
from gateway.config.load import Loaded, load
from gateway.config.masking import masked
from gateway.config.problems import Position, Problem
from gateway.config.specs import AdminSpec, ConfigSpec, ListenerSpec
from gateway.control import UpstreamCaller
from gateway.errors import ConfigError
from gateway.library import Library
from gateway.plugin import Env, Plugin
from gateway.process.aside import small_steps
from gateway.process.gauges import watch_runtime
from gateway.process.letting_go import let_go
from gateway.process.listening import RESTART, misplaced, moved, places
from gateway.process.plugin_life import NotStarted, not_among, start_plugins, stop_plugins, stop_when_unused, when_gone
from gateway.process.shared_state import SharedState
from gateway.process.sockets import open_sockets
from gateway.process.versions import RELOAD, START, Version, Versions
from gateway.process.watch import Contents, code_of
from gateway.proxy import Proxy
from gateway.table import RouteTable
from gateway.telemetry.log_sink import LogSinks
from gateway.telemetry.metrics import Metrics
from gateway.upstreams.health_checks import HealthChecks, check_session
from gateway.upstreams.outliers import Outliers
from gateway.wire.deadlines import Deadlines
from gateway.wire.listener import Listener

log = logging.getLogger("gateway.process")
POOL_SWEEP = 1.0


class SystemClock:
    """The machine's time. Without a call of our own, since every request asks for it."""

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


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


class Runtime:
    """Owns what lives as long as the worker: proxy, metrics, deadlines, listeners, and the generation in service.

    `problems` are those of the last load, whether it went into service or not; `version` counts those that did.
    `last` is what came of the last load, `loaded_at` when the one in service was put there, `ready` whether requests
    are served and new ones are welcome. `versions` are the configurations that went into service of late; `on_disk` is
    what was last read from the disk for one, accepted or not, and with `reads_code` the code of local plugins then.
    """

    def __init__(
        self,
        path: Path,
        environ: dict[str, str],
        binds: Sequence[ListenerSpec] | None = None,
        admin_bind: Bind | None = None,
        alone: Collection[str] = (),
    ) -> None:
        """`binds` and `admin_bind` are listened on in place of the configuration's. With names in `alone` only these
        frontends are served."""
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
        self.on_disk: Contents = (Kept(), Kept())
        self.reads_code = False
        self.version = 0
        self.started = time.time()
        self.loaded_at = 0.0
        self.ready = False
        self.proxy = Proxy(RouteTable.empty())
        self._environ = environ
        clock = SystemClock()
        self._state = SharedState(clock, self.metrics)
        self._session: aiohttp.ClientSession | None = None
        self._check_session: aiohttp.ClientSession | None = None
        self._retiring: dict[asyncio.Task[None], asyncio.Event] = {}
        self._sweep: asyncio.TimerHandle | None = None
        self._reloading = asyncio.Lock()
        self._reloads = self.metrics.counter(
            "gateway_config_reloads_total", "Reloads of the configuration by result.", ("result",)
        )
        for result in ("success", "failure"):
            self._reloads.labels(result)
        self._prepared: tuple[Generation, Loaded] | None = None
        self._sinks = LogSinks(self.metrics)
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
        )
        watch_runtime(self)

    @property
    def library(self) -> Library:
        """The plugins that the configuration in service can name."""
        return self.generation.library if self.generation is not None else Library()

    @property
    def spec(self) -> ConfigSpec:
        """The configuration in service."""
        assert self.generation is not None
        return self.generation.spec

    @property
    def admin(self) -> AdminSpec:
        """The admin listener's settings, also before the start has ended."""
        if self.generation is None:
            assert self._prepared is not None
            return self._prepared[0].spec.admin
        return self.generation.spec.admin

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

    async def put_into_service(
        self, generation: Generation, loaded: Loaded, why: str = START, restored: int = 0
    ) -> None:
        """Start what is new, swap the table, stop what is old once nobody uses it. ConfigError when a plugin does not
        start; then nothing has changed. `why` and `restored` are those of the version that this makes."""
        before, loaded_before = self.generation, self.loaded
        known = list(before.plugins.values()) if before is not None else []
        fresh, gone = not_among(generation.plugins.values(), known), not_among(known, generation.plugins.values())
        await start_plugins(fresh, generation)
        self.version += 1
        self.loaded_at = time.time()
        generation.table = replace(generation.table, version=self.version, digest=loaded.digest)
        self.versions.add(Version(self.version, loaded.digest, self.loaded_at, why, loaded.kept, restored))
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
        if before is not None:
            self._retire(before, generation, gone)
            if loaded_before is not None:
                let_go(self._retiring, before, loaded_before, before.spec.timeouts.drain)

    async def reload(
        self, expected: Container[int] | None = None, why: str = RELOAD, back_to: int | None = None
    ) -> bool:
        """Read the configuration again, with `back_to` from the files of that version (PREVIOUS: the one before).
        The one in service stays when the new one is wrong.

        With `expected` only if the version in service is one of these: else VersionChanged. LookupError for a version
        that is not kept.
        """
        async with self._reloading:
            if expected is not None and self.version not in expected:
                raise VersionChanged
            old = self.versions.find(back_to) if back_to is not None else None
            why, restored = (f"rollback to {old.origin}", old.origin) if old is not None else (why, 0)
            with small_steps():
                return await self._reload(old.kept if old is not None else None, why, restored)

    async def _reload(self, files: Kept | None, why: str, restored: int) -> bool:
        # A large file takes a while to read: requests go on meanwhile.
        loaded = await asyncio.to_thread(self._load, files)
        generation: Generation | None = None
        try:
            generation = await asyncio.to_thread(self.compile, loaded)
            if generation is not None:
                await self.put_into_service(generation, loaded, why, restored)
        except NotStarted as error:
            generation = None
            self.problems = (*self.problems, error.problem)
        except Exception as error:
            log.exception("the reload failed; the configuration in service stays")
            generation = None
            problem = Problem(Position(str(self.path), 1, 1), f"{type(error).__name__}: {error}")
            self.problems = (*loaded.problems, masked(problem, loaded.secrets))
        self._note(loaded, generation is not None)
        self._reloads.labels("success" if generation is not None else "failure").inc()
        if generation is None:
            log.error("the new configuration is refused, the one in service stays:\n%s", "\n".join(self.last.texts))
            let_go(self._retiring, None, loaded)
            return False
        self._warn()
        for name in self.library.renewed:
            log.info("the plugin %r runs its new code; what its instances had in memory is gone", name)
        log.info("configuration %s is in service", self.version)
        return True

    def _load(self, files: Kept | None = None) -> Loaded:
        # Before it is loaded, so that an edit meanwhile shows as one.
        code = code_of(config_folder(self.path)) if self.reads_code else Kept()
        loaded = load(self.path, self._environ, files)
        self.on_disk = (loaded.kept if files is None else self.on_disk[0]), code
        return loaded

    def _note(self, loaded: Loaded, accepted: bool) -> None:
        self.last = LoadResult(time.time(), accepted, self.problems, tuple(map(loaded.render, self.problems)))

    def _warn(self) -> None:
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

    def prepare(self) -> None:
        """Read and compile the configuration. ConfigError with all problems."""
        # What is built now stays: the collector would only walk it again and again. `start` has it on again.
        gc.disable()
        loaded = self._load()
        generation = self.compile(loaded)
        self._note(loaded, generation is not None)
        if generation is None:
            raise ConfigError("\n".join(self.last.texts))
        self._warn()
        self._prepared = generation, loaded

    async def start(self) -> None:
        """Prepare unless that is done, start plugins, listen. ConfigError with all problems; OSError for an address
        that cannot be had."""
        async with self._reloading:
            if self._prepared is None:
                self.prepare()
            assert self._prepared is not None
            generation, loaded = self._prepared
            self.deadlines.start()
            await self._state.store.start()
            try:
                await self.put_into_service(generation, loaded)
            except NotStarted as error:
                raise ConfigError(loaded.render(error.problem)) from None
            # A reference from here would keep the first table, and so its plugins, from ever retiring.
            self._prepared = None
            for place in places(generation, self._binds):
                listener = Listener(open_sockets(place.bind)[0], place.settings, self.proxy, self.deadlines)
                await listener.start()
                self.listeners.append(listener)
            self._sweep_pools()
            # What is alive now stays: the collector need not look at it again, and seldom at the rest.
            gc.collect()
            gc.freeze()
            gc.set_threshold(50_000, 20, 100)
            gc.enable()
            self.ready = True

    async def drain(self) -> None:
        """Stop: no new connections, what is under way may finish within `timeouts.drain`."""
        self.ready = False
        self.proxy.stopping = True
        for listener in self.listeners:
            listener.stop_accepting()
        deadline = time.monotonic() + (self.spec.timeouts.drain if self.generation is not None else 0)
        while any(listener.connections for listener in self.listeners) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        for listener in self.listeners:
            listener.abort()

    async def stop(self) -> None:
        """Close what is left: plugins, pools, sessions."""
        if self._sweep is not None:
            self._sweep.cancel()
        self.deadlines.stop()
        await self._checks.stop()
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

    def _sweep_pools(self) -> None:
        self._sweep = asyncio.get_running_loop().call_later(POOL_SWEEP, self._sweep_pools)
        now = time.monotonic()
        for endpoint in self.generation.endpoints.values() if self.generation is not None else ():
            endpoint.pool.sweep(now)
        for upstream in self.proxy.table.upstreams.values():
            upstream.review(now)

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
