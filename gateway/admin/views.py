"""What the admin API shows of a runtime, as plain data. Nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterable
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
from gateway.routing.router import Router
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

    def snapshot(self, now: float) -> dict[str, dict[str, Figures]]:
        """`routes` by their ids, and `upstreams`, as of `now` in monotonic seconds."""


def routes(runtime: Runtime) -> list[dict[str, Any]]:
    """Every route in file order, and `-` for requests without one, then the same of each frontend. Figures are null
    where nothing counts."""
    generation = _generation(runtime)
    now = runtime.env.clock.now()
    table = generation.table
    rows = _routes_of("", table.router, table.chain, now)
    for frontend in table.frontends.named.values() if table.frontends is not None else ():
        rows += _routes_of(frontend.name, frontend.router, frontend.chain, now)
    return rows


def _routes_of(frontend: str, router: Router, chain: Chain, now: float) -> list[dict[str, Any]]:
    rows = [{**route_row(route), **_route_figures(route.id, route.chain.plugins, now)} for route in router.routes]
    nowhere: dict[str, Any] = {
        "name": "-",
        "frontend": frontend or None,
        "host": None,
        "path": None,
        "methods": None,
        "conditions": [],
        "priority": 0,
    }
    figures = _route_figures(join_route_id(frontend, "-"), chain.plugins, now)
    rest = {"action": None, "plugins": [plugin.name for plugin in chain.plugins], **figures}
    return [*rows, {**nowhere, **rest}]


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


def _route_figures(route_id: str, plugins: Iterable[Plugin], now: float) -> dict[str, Any]:
    # Of several in one chain each counts the same requests: the first one's count is the count.
    for plugin in plugins:
        if plugin.name == RATES and isinstance(plugin, Counting):
            return {**(plugin.snapshot(now)["routes"].get(route_id) or NONE_YET)}
    return NO_FIGURES


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


def _concurrency(upstream: Upstream) -> dict[str, Any] | None:
    limiter = upstream.limiter
    if limiter is None:
        return None
    return {"limit": int(limiter.limit.value), "in_flight": limiter.in_flight, "refused": limiter.refused}


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
        },
    }


def _upstream_figures(generation: Generation, now: float) -> dict[str, dict[str, Any]] | None:
    """By upstream, from the instance for every route if there is one, else from all of them."""
    counting = [plugin for plugin in generation.plugin(RATES) if isinstance(plugin, Counting)]
    if not counting:
        return None
    everywhere = [plugin for plugin in counting if plugin in generation.table.chain.plugins][:1]
    parts: dict[str, list[Figures]] = {}
    for plugin in everywhere or counting:
        for name, figures in plugin.snapshot(now)["upstreams"].items():
            parts.setdefault(name, []).append(figures)
    return {name: {**merged(found)} for name, found in parts.items()}


def breakers(runtime: Runtime) -> list[dict[str, Any]]:
    """Every breaker with its state and its window."""
    now = runtime.env.clock.now()
    return [breaker_row(circuit, now) for circuit in circuits(_generation(runtime))]


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
    return mask_data(data, secrets_of(runtime))


def iso(seconds: float) -> str:
    """Seconds since 1970 as 2026-01-31T12:00:00.000Z."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _generation(runtime: Runtime) -> Generation:
    assert runtime.generation is not None
    return runtime.generation
