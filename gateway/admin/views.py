"""What one worker says of itself to the admin API, as plain data. Nothing here changes anything; see `merged_rows`."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gateway import __version__
from gateway.admin.breakers import breaker_row, circuits
from gateway.chain import Chain
from gateway.compile import Generation
from gateway.config.dump import dump, mask_data
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Problem, to_json
from gateway.config.specs import ConfigSpec
from gateway.exchange import join_route_id
from gateway.plugin import Plugin
from gateway.routing.route import Route
from gateway.table import RouteTable
from gateway.telemetry.traffic import Figures, merged
from gateway.upstreams.endpoint import Endpoint
from gateway.upstreams.upstream import Upstream

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime

RATES = "rate_metrics"
FIGURES = tuple(Figures.__annotations__)
NO_FIGURES: dict[str, Any] = dict.fromkeys(FIGURES)
NONE_YET: dict[str, Any] = {**merged(())}


@runtime_checkable
class Counting(Protocol):
    """A plugin that keeps figures by route and by upstream."""

    def snapshot(self, now: float | None) -> dict[str, dict[str, Figures]]:
        """`routes` by their ids, and `upstreams`, as of `now` in monotonic seconds; without it no rates."""

    def totals(self) -> tuple[int, int]:
        """Calls and errors of all routes."""


def routes(runtime: Runtime) -> list[dict[str, Any]]:
    """Every route in file order, and `-` for requests without one, then the same of each frontend. Figures are null
    where nothing counts."""
    figures = RouteFigures(runtime.env.clock.now())
    return [
        {**(_nowhere_row(frontend, chain) if route is None else route_row(route)), **figures.of(frontend, route, chain)}
        for frontend, route, chain in _places(_generation(runtime).table)
    ]


def routes_served(runtime: Runtime) -> list[dict[str, Any]]:
    """Names and figures alone, without rates, of those that have served anything."""
    figures = RouteFigures(None)
    rows = [
        {
            "name": "-" if route is None else route.name,
            "frontend": frontend or None,
            **figures.of(frontend, route, chain),
        }
        for frontend, route, chain in _places(_generation(runtime).table)
    ]
    return [row for row in rows if row["calls"]]


def _places(table: RouteTable) -> Iterator[tuple[str, Route | None, Chain]]:
    """Every route with its frontend and its chain; None for requests without one."""
    named = table.frontends.named.values() if table.frontends is not None else ()
    own = [("", table.router, table.chain), *((one.name, one.router, one.chain) for one in named)]
    for frontend, router, chain in own:
        yield from ((frontend, route, route.chain) for route in router.routes)
        yield frontend, None, chain


def _nowhere_row(frontend: str, chain: Chain) -> dict[str, Any]:
    return {
        "name": "-",
        "frontend": frontend or None,
        "host": None,
        "path": None,
        "methods": None,
        "conditions": [],
        "priority": 0,
        "action": None,
        "plugins": [plugin.name for plugin in chain.plugins],
    }


def route_row(route: Route) -> dict[str, Any]:
    """What a route matches and does."""
    return {
        "name": route.name,
        "frontend": route.frontend or None,
        "host": route.host,
        "path": str(route.pattern),
        "methods": sorted(route.methods) if route.methods is not None else None,
        "conditions": [str(predicate) for predicate in route.predicates],
        "priority": route.priority,
        "action": str(route.action),
        "plugins": [plugin.name for plugin in route.chain.plugins],
    }


class RouteFigures:
    """What is counted by route as of `now`. Mutable state: each plugin's figures, asked for once for all routes."""

    def __init__(self, now: float | None) -> None:
        self._now = now
        self._known: dict[Plugin, dict[str, Figures] | None] = {}

    def of(self, frontend: str, route: Route | None, chain: Chain) -> dict[str, Any]:
        """The figures of one route with this chain, or of requests without one."""
        # Of several in one chain each counts the same requests: the first one's count is the count.
        for plugin in chain.plugins:
            if plugin.name == RATES and (counted := self._of(plugin)) is not None:
                route_id = join_route_id(frontend, "-") if route is None else route.id
                return {**(counted.get(route_id) or NONE_YET)}
        return NO_FIGURES

    def _of(self, plugin: Plugin) -> dict[str, Figures] | None:
        if plugin not in self._known:
            self._known[plugin] = plugin.snapshot(self._now)["routes"] if isinstance(plugin, Counting) else None
        return self._known[plugin]


def upstreams(runtime: Runtime) -> list[dict[str, Any]]:
    """Every upstream with its endpoints and their pools."""
    generation = _generation(runtime)
    now = runtime.env.clock.now()
    figures = _upstream_figures(generation, now)
    return [
        {
            "name": name,
            "endpoints": [endpoint_row(endpoint, now) for endpoint in upstream.endpoints],
            "available": [endpoint.address for endpoint in upstream.choices(now)],
            "retries": {"in_flight": upstream.budget.taken},
            "hedges": {"in_flight": upstream.hedges.taken},
            "concurrency": _concurrency(upstream),
            **(NO_FIGURES if figures is None else figures.get(name, NONE_YET)),
        }
        for name, upstream in generation.table.upstreams.items()
    ]


def upstreams_served(runtime: Runtime) -> list[dict[str, Any]]:
    """Counts alone, without rates."""
    generation = _generation(runtime)
    figures = _upstream_figures(generation, None)
    return [
        {
            "name": name,
            "endpoints": [
                {"address": one.address, "requests": one.requests, "errors": one.errors} for one in upstream.endpoints
            ],
            "concurrency": {"refused": upstream.limiter.refused} if upstream.limiter is not None else None,
            **(NO_FIGURES if figures is None else figures.get(name, NONE_YET)),
        }
        for name, upstream in generation.table.upstreams.items()
    ]


def _concurrency(upstream: Upstream) -> dict[str, Any] | None:
    """`fixed` is for merging: such a limit is the gateway's."""
    limiter = upstream.limiter
    if limiter is None:
        return None
    return {
        "limit": int(limiter.limit.value),
        "fixed": limiter.is_fixed,
        "in_flight": limiter.in_flight,
        "refused": limiter.refused,
    }


def endpoint_row(endpoint: Endpoint, now: float) -> dict[str, Any]:
    """One endpoint. `health` is the word of active checks, `ejected` the seconds that it is still left out for, else
    null. `active`, `idle` and `connecting` count connections, `queued` requests that wait for one."""
    pool = endpoint.pool
    ejected = None
    if endpoint.ejected_until > now:
        ejected = {"seconds_left": round(endpoint.ejected_until - now, 3), "reason": endpoint.ejected_for}
    return {
        "address": endpoint.address,
        "weight": endpoint.full_weight,
        "priority": endpoint.priority,
        "state": endpoint.state,
        "availability": endpoint.availability(now),
        "health": "unhealthy" if not endpoint.healthy else "healthy" if endpoint.checked else "unchecked",
        "check_failure": endpoint.check_failure or None,
        "ejected": ejected,
        "failures_in_a_row": endpoint.failures,
        "in_flight": endpoint.in_flight,
        "requests": endpoint.requests,
        "errors": endpoint.errors,
        "pool": {
            "active": pool.active,
            "idle": len(pool.idle),
            "connecting": len(pool.connecting),
            "queued": len(pool.queue),
            "max_connections": pool.limits.max_connections,
            "max_queue": pool.limits.max_queue,
        },
    }


def _upstream_figures(generation: Generation, now: float | None) -> dict[str, dict[str, Any]] | None:
    """By upstream; None where nothing counts."""
    counting = _counting(generation)
    if not counting:
        return None
    parts: dict[str, list[Figures]] = {}
    for plugin in counting:
        for name, figures in plugin.snapshot(now)["upstreams"].items():
            parts.setdefault(name, []).append(figures)
    return {name: {**merged(found)} for name, found in parts.items()}


def _counting(generation: Generation) -> Sequence[Counting]:
    """The instance for every route if there is one, else all of them."""
    counting = [plugin for plugin in generation.plugin(RATES) if isinstance(plugin, Counting)]
    return [plugin for plugin in counting if plugin in generation.table.chain.plugins][:1] or counting


def breakers(runtime: Runtime) -> list[dict[str, Any]]:
    """Every breaker with its state and its window."""
    now = runtime.env.clock.now()
    return [breaker_row(circuit, now) for circuit in circuits(_generation(runtime))]


def worker(runtime: Runtime) -> dict[str, Any]:
    """One row: which process it is, what it does now and what it uses. `rss_bytes` is null where the system does not
    tell."""
    return {
        "slot": runtime.slot,
        "pid": os.getpid(),
        "started_at": iso(runtime.started),
        "version": runtime.version,
        "active_requests": runtime.proxy.active,
        "connections": sum(len(listener.connections) for listener in runtime.listeners),
        "cpu_seconds": round(time.process_time(), 3),
        "rss_bytes": _rss(),
    }


def _rss() -> int | None:
    try:
        with open("/proc/self/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return None


def summary(runtime: Runtime) -> dict[str, Any]:
    """In a few numbers; `calls` and `errors` are null where nothing counts."""
    counting = _counting(_generation(runtime))
    totals = [plugin.totals() for plugin in counting]
    return {
        "version": runtime.version,
        "active_requests": runtime.proxy.active,
        "connections": sum(len(listener.connections) for listener in runtime.listeners),
        "calls": sum(calls for calls, _ in totals) if counting else None,
        "errors": sum(errors for _, errors in totals) if counting else None,
    }


def plugins(runtime: Runtime) -> list[dict[str, Any]]:
    """Every entry of a `plugins:` list in service: its source, the ids of its routes, its options without secrets."""
    generation = _generation(runtime)
    shown = effective(generation)
    every = _ids(generation.spec) + [route_id for frontend in generation.frontends for route_id in _ids(frontend)]
    sources = {found.name: found for found in runtime.library.list()}
    rows = []
    uses = _entries(generation.spec, shown, every)
    for frontend, data in zip(generation.frontends, shown["frontends"], strict=True):
        uses += _entries(frontend, data, _ids(frontend))
    for names, use, entry in uses:
        source = sources[use.name]
        options = entry[use.name] if isinstance(entry, dict) else None
        rows.append(
            {
                "name": use.name,
                "source": source.source,
                "place": source.place,
                "position": str(use.position),
                "routes": names,
                "options": options,
            }
        )
    return rows


def _entries(
    spec: ConfigSpec | FrontendSpec, shown: dict[str, Any], ids: list[str]
) -> list[tuple[list[str], PluginUse, Any]]:
    """The entries of one file with the routes that each is for, as they are shown."""
    uses = [(ids, use, entry) for use, entry in zip(spec.plugins, shown["plugins"], strict=True)]
    for route_id, route, data in zip(_ids(spec)[1:], spec.routes, shown["routes"], strict=True):
        uses += [([route_id], use, entry) for use, entry in zip(route.plugins, data["plugins"], strict=True)]
    return uses


def _ids(spec: ConfigSpec | FrontendSpec) -> list[str]:
    """Of requests without a route, then of each route."""
    frontend = spec.name if isinstance(spec, FrontendSpec) else ""
    return [join_route_id(frontend, name) for name in ("-", *(route.name for route in spec.routes))]


def effective(generation: Generation) -> dict[str, Any]:
    """A configuration with its defaults, secrets masked."""
    options = {plugin.name: type(plugin).Options for plugin in generation.plugins.values()}
    return dump(generation.spec, options, generation.secrets, generation.frontends)


def config(runtime: Runtime) -> dict[str, Any]:
    """The configuration in service, and what came of the last reload."""
    generation = _generation(runtime)
    last = runtime.last
    return {
        **version(runtime),
        "gateway": __version__,
        "started_at": iso(runtime.started),
        "files": [str(file) for file in runtime.loaded.files] if runtime.loaded is not None else [],
        "warnings": [to_json(problem) for problem in generation.warnings],
        "last_load": {
            "at": iso(last.at),
            "result": "success" if last.accepted else "failure",
            "problems": problem_rows(last.problems, last.texts),
        },
        "alone": generation.alone,
        "config": effective(generation),
    }


def version(runtime: Runtime) -> dict[str, Any]:
    """What is in service, and since when."""
    table = _generation(runtime).table
    return {"version": table.version, "digest": table.digest, "loaded_at": iso(runtime.loaded_at)}


def versions(runtime: Runtime) -> list[dict[str, Any]]:
    """The configurations that can be brought back, the newest first; the first one is in service. `why` says how it got
    there, `restored` is the version whose files it has, null where it has its own."""
    return [
        {
            "version": version.number,
            "digest": version.digest,
            "loaded_at": iso(version.at),
            "why": version.why,
            "restored": version.restored or None,
        }
        for version in reversed(list(runtime.versions))
    ]


def problem_rows(problems: Iterable[Problem], texts: Iterable[str]) -> list[dict[str, Any]]:
    """Problems as data; `text` is each with its line of the file and a caret."""
    return [{**to_json(problem), "text": text} for problem, text in zip(problems, texts, strict=True)]


def secrets_of(runtime: Runtime) -> frozenset[str]:
    """The texts that no answer may show."""
    return runtime.generation.secrets if runtime.generation is not None else frozenset()


def without_secrets(runtime: Runtime, data: Any) -> Any:
    """Plain data with `***` in place of secrets."""
    secrets = secrets_of(runtime)
    return mask_data(data, secrets) if secrets else data


def iso(seconds: float) -> str:
    """Seconds since 1970 as 2026-01-31T12:00:00.000Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _generation(runtime: Runtime) -> Generation:
    assert runtime.generation is not None
    return runtime.generation
