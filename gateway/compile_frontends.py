"""What sets frontends apart while a configuration is compiled: which are served, and what each asks of requests."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gateway.chain import Chain
from gateway.compile_compose import part_breakers
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.load import Loaded
from gateway.config.nodes import Path
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Problem, closest
from gateway.config.specs import ConfigSpec, RouteSpec
from gateway.exchange import join_route_id
from gateway.plugin import Plugin
from gateway.routing.frontend import Frontend, Frontends
from gateway.routing.predicates import HeaderPredicate
from gateway.routing.router import Router


@dataclass(frozen=True, slots=True)
class RouteSet:
    """The routes of the main file, or of a frontend. `at` is where the file is in the merged tree; `plugins` come
    before each route's own, and `chain` is theirs alone."""

    frontend: str
    at: Path
    specs: tuple[RouteSpec, ...]
    plugins: tuple[Plugin, ...]
    chain: Chain


def unknown_frontends(loaded: Loaded, alone: Collection[str]) -> list[Problem]:
    """One for each name that no file has."""
    names = [frontend.name for frontend in loaded.frontends]
    there = f"there are: {', '.join(names)}" if names else "no included file begins with `frontend: NAME`"
    return [
        Problem(
            loaded.position(("include",)), f"no frontend is named {name!r}", f"{closest(name, names)} {there}".strip()
        )
        for name in alone
        if name not in names
    ]


def uses_of(spec: ConfigSpec, frontends: Iterable[FrontendSpec]) -> dict[str, tuple[PluginUse, ...]]:
    """Plugin entries by the id of their route; of the top level under "", of a frontend under `NAME/`."""
    uses = {"": spec.plugins} | _of_routes("", spec.routes)
    for frontend in frontends:
        uses[list_key(frontend)] = frontend.plugins
        uses |= _of_routes(frontend.name, frontend.routes)
    return uses


def _of_routes(frontend: str, routes: Iterable[RouteSpec]) -> dict[str, tuple[PluginUse, ...]]:
    """A composition's parts with a breaker have an id of their own."""
    uses: dict[str, tuple[PluginUse, ...]] = {}
    for route in routes:
        route_id = join_route_id(frontend, route.name)
        uses[route_id] = route.plugins
        uses |= {label: (use,) for label, use in part_breakers(route_id, route.compose)}
    return uses


def list_key(frontend: FrontendSpec) -> str:
    """What stands for a frontend's own list of plugins, where routes are told by their ids."""
    return f"{frontend.name}/"


def make_frontend(spec: FrontendSpec, router: Router, chain: Chain, body_limit: int, order: int) -> Frontend:
    """The frontend alive. `body_limit` holds where it names none."""
    own = spec.limits.request_body
    return Frontend(
        spec.name,
        router,
        chain,
        hosts=spec.hosts,
        prefix=spec.prefix or "",
        headers=[HeaderPredicate(name, value) for name, value in spec.headers.items()],
        body_limit=body_limit if own is None else own,
        order=order,
    )


def make_frontends(
    frontends: Iterable[Frontend], specs: Iterable[FrontendSpec], body_limit: int, alone: bool
) -> Frontends | None:
    """All of them, None for none. Served alone, those that have a bind are not on the listeners that others share."""
    made = list(frontends)
    unbound = {spec.name for spec in specs if spec.bind is None}
    choosable = [one for one in made if one.name in unbound] if alone else made
    return Frontends(made, choosable, body_limit) if made else None
