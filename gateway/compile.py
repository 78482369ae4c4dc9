"""From what the user wrote to what a request meets: specs and plugins become a RouteTable.

Everything that can be wrong is found here, at its place in the file, before anything runs; what an edit did not
touch is taken over from the generation before: endpoints with their pools, plugin instances with their state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from gateway.app_names import upstream_name
from gateway.chain import Chain
from gateway.compile_actions import make_mirror, make_respond, make_rewrite, make_websockets, wrong_captures
from gateway.compile_app import Apps
from gateway.compile_compose import Surroundings, compile_composition, parts_of
from gateway.compile_frontends import RouteSet, list_key, make_frontend, make_frontends, unknown_frontends, uses_of
from gateway.compile_own_paths import own_routes
from gateway.compile_plugins import PluginKey, PluginMaker, secrets_in, twins
from gateway.compile_tls import TlsReader, client_headers
from gateway.compile_unused import unused
from gateway.compile_upstreams import key_of, make_upstream, pool_limits
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.load import Loaded
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Position, Problem, closest
from gateway.config.specs import ConfigSpec, RouteSpec
from gateway.config.upstream_specs import EndpointSpec, UpstreamSpec
from gateway.errors import ConfigError
from gateway.exchange import join_route_id
from gateway.library import Library
from gateway.partial import also_wrong
from gateway.plugin import Env, Plugin, UpstreamClient
from gateway.routing.actions import (
    Action,
    Deferred,
    Forward,
    Redirect,
)
from gateway.routing.frontend import Frontend
from gateway.routing.pattern import Pattern, Template, parse_pattern, parse_template
from gateway.routing.predicates import HeaderPredicate, Predicate, QueryPredicate, with_head
from gateway.routing.route import Route
from gateway.routing.router import Router
from gateway.routing.shadows import shadowed
from gateway.table import RouteTable
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.upstream_meters import UpstreamMeters
from gateway.upstreams.endpoint import Changes, Endpoint
from gateway.upstreams.upstream import Upstream
from gateway.wire.headers import TRACING
from gateway.wire.pool import Pool, PoolLimits

Path_ = tuple[Any, ...]
Made = TypeVar("Made")


@dataclass(slots=True)
class Generation:
    """One compiled configuration and everything alive that it uses.

    `uses` maps a route's id, "" for the top level, or `NAME/` for a frontend to its plugin entries; `plugins` (such an
    id, name, which of that name) to the instance, one that spans routes by its first entry alone; `endpoints`
    (upstream, address) to the endpoint. `secrets` are the texts that no output may show, those in plugins' options
    included. `by_plugin` is what `served` gives. `frontends` are those that are served; when they are `alone`, `spec`
    has no routes of the main file.
    """

    spec: ConfigSpec
    table: RouteTable
    plugins: dict[PluginKey, Plugin] = field(default_factory=dict)
    endpoints: dict[tuple[str, str], Endpoint] = field(default_factory=dict)
    uses: dict[str, tuple[PluginUse, ...]] = field(default_factory=dict)
    settings: list[tuple[Endpoint, EndpointSpec, PoolLimits]] = field(default_factory=list)
    by_plugin: dict[Plugin, dict[str, tuple[str, ...]]] = field(default_factory=dict)
    warnings: tuple[Problem, ...] = ()
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    frontends: tuple[FrontendSpec, ...] = ()
    alone: bool = False
    tls: TlsReader | None = field(default=None, repr=False)
    library: Library = field(default_factory=Library)

    def routes(self) -> Iterator[Route]:
        """Every route that is served, those of frontends last."""
        yield from self.table.router.routes
        frontends = self.table.frontends
        for frontend in frontends.named.values() if frontends is not None else ():
            yield from frontend.router.routes

    def take_over(self) -> None:
        """Give endpoints that live on their new weights and limits, and tell plugins their routes. Only for a
        generation that goes into service."""
        for endpoint, spec, limits in self.settings:
            endpoint.configure(spec.weight, spec.priority)
            endpoint.pool.adopt(limits)
        for plugin, routes in self.by_plugin.items():
            if type(plugin).routes_served is not Plugin.routes_served:
                plugin.routes_served(routes)

    def served(self) -> dict[Plugin, dict[str, tuple[str, ...]]]:
        """The ids of the routes whose chain each plugin is in, each with the upstreams it goes to."""
        served: dict[Plugin, dict[str, tuple[str, ...]]] = {plugin: {} for plugin in self.plugins.values()}
        for route in self.routes():
            upstreams = route.action.names if isinstance(route.action, Forward | Deferred) else ()
            for plugin in route.chain.plugins:
                served[plugin][route.id] = upstreams
            for label, chain, upstream in parts_of(route.action):
                for plugin in chain.plugins:
                    served[plugin][label] = (upstream,)
        return served

    def plugin(self, name: str) -> list[Plugin]:
        """Every instance of the plugin of that name."""
        return [plugin for (_, found, _), plugin in self.plugins.items() if found == name]

    def use_of(self, plugin: Plugin) -> PluginUse:
        """The entry of the configuration that an instance serves. LookupError for one of another generation."""
        for (route, name, number), found in self.plugins.items():
            if found is plugin:
                return [use for use in self.uses[route] if use.name == name][number - 1]
        raise LookupError(f"{plugin!r} is not of this configuration")


def compile_table(
    loaded: Loaded,
    env: Env,
    metrics: Metrics,
    library: Library,
    before: Generation | None = None,
    alone: Collection[str] = (),
) -> tuple[Generation | None, tuple[Problem, ...]]:
    """The generation for a loaded configuration, or None and what is wrong. Pure but for the plugins' constructors.

    With names in `alone` only these frontends are served, and no route of the main file.
    """
    if loaded.spec is None:
        return None, _in_order(loaded, also_wrong(loaded, library))
    compiler = _Compiler(loaded, loaded.spec, env, metrics, library, before, alone)
    generation = compiler.compile()
    problems = _in_order(loaded, compiler.problems)
    if any(problem.severity == "error" for problem in problems):
        return None, problems
    generation.warnings = problems
    return generation, problems


def _in_order(loaded: Loaded, found: Iterable[Problem]) -> tuple[Problem, ...]:
    """These and those of the file itself, in the order of files and lines."""
    order = {str(file): number for number, file in enumerate(loaded.files)}
    problems = [*loaded.problems, *found]
    return tuple(sorted(problems, key=lambda one: (order.get(one.position.file, len(order)), one.position)))


class _Compiler:
    """One compilation. `problems` grows; so does what the generation will own."""

    def __init__(
        self,
        loaded: Loaded,
        spec: ConfigSpec,
        env: Env,
        metrics: Metrics,
        library: Library,
        before: Generation | None,
        alone: Collection[str],
    ) -> None:
        self.loaded = loaded
        self.spec = spec.model_copy(update={"routes": (), "tests": ()}) if alone else spec
        self.frontends = tuple(one for one in loaded.frontends if one.name in alone or not alone)
        self.alone = bool(alone)
        self.env = replace(env, name=spec.name, upstream_client=self._upstream_client(env.upstream_client))
        self.metrics = metrics
        self.library = library
        self.before = before
        self.problems: list[Problem] = unknown_frontends(loaded, alone)
        self.maker = PluginMaker(self.env, library, loaded.secrets, before.plugins if before is not None else None)
        self.endpoints: dict[tuple[str, str], Endpoint] = {}
        self.settings: list[tuple[Endpoint, EndpointSpec, PoolLimits]] = []
        self.upstreams: dict[str, Upstream] = {}
        self.derived: list[Upstream] = []
        known = before.tls.upstreams if before is not None and before.tls is not None else {}
        self.tls = TlsReader(loaded, env.folder, env.clock.wall(), known)

    def compile(self) -> Generation:
        spec = self.spec
        upstreams = self.upstreams = {name: self._upstream(name, one) for name, one in spec.upstreams.items()}
        top = self.maker.make("", spec.plugins)
        chain = Chain(top)
        router = Router(()) if self.alone else self._router(RouteSet("", (), spec.routes, top, chain))
        frontends = [self._frontend(number, one, top, chain) for number, one in enumerate(self.frontends)]
        uses = uses_of(spec, self.frontends)
        places: list[tuple[Path_, tuple[RouteSpec, ...]]] = [] if self.alone else [((), spec.routes)]
        places += [(self.loaded.path_of(one.name), one.routes) for one in self.frontends]
        apps = Apps(self.loaded, places, self.maker, self.metrics, uses)
        upstreams |= apps.upstreams
        self.endpoints |= apps.endpoints
        self.problems += apps.problems
        self.problems += unused(self.loaded, spec, self.library)
        plugins = self.maker.plugins
        self.tls.read_listeners(spec, self.frontends)
        identities = frozenset(header for plugin in plugins.values() for header in plugin.identity_headers())
        identities = identities.union(client_headers(spec, self.frontends))
        table = RouteTable(
            router,
            upstreams,
            chain,
            spec.name,
            b"Via: 1.1 %b\r\n" % spec.name.encode(),
            identity_headers=identities,
            passed_on=TRACING.union(name.lower().encode() for name in identities),
            derived=tuple(self.derived),
            frontends=make_frontends(frontends, self.frontends, spec.limits.request_body, self.alone),
        )
        secrets = self.loaded.secrets.union(*(secrets_in(plugin.options) for plugin in plugins.values()))
        generation = Generation(spec, table, plugins, self.endpoints, uses, self.settings, secrets=secrets)
        generation.frontends, generation.alone, generation.tls = self.frontends, self.alone, self.tls
        generation.library, generation.by_plugin = self.library, generation.served()
        for plugin, name in twins(generation.by_plugin):
            message = f"two plugins {plugin.name!r} are named {name!r}"
            hint = "give one a `name`, or list it once for all routes, at the top level"
            self.problems.append(Problem(generation.use_of(plugin).position, message, hint))
        self.problems += self.maker.problems + self.tls.problems
        return generation

    # upstreams

    def _upstream_client(self, make: Callable[[str], UpstreamClient]) -> Callable[[str], UpstreamClient]:
        """`env.upstream` that knows the names of this configuration."""
        names = frozenset(self.spec.upstreams)

        def client(name: str) -> UpstreamClient:
            if name not in names:
                raise LookupError(f"unknown upstream {name!r}; {closest(name, names) or 'see `upstreams`'}")
            return make(name)

        return client

    def _upstream(self, name: str, spec: UpstreamSpec) -> Upstream:
        for number, one in enumerate(spec.endpoints):
            if one.address in [other.address for other in spec.endpoints[:number]]:
                position = self.loaded.position(("upstreams", name, "endpoints", number))
                self.problems.append(Problem(position, f"{one.address} stands here twice", "give it a weight"))
        before = self.before
        known = None
        if before is not None and name in before.spec.upstreams:
            known = before.spec.upstreams[name], before.table.upstreams[name]
        changes = known[1].changes if known is not None else Changes()
        endpoints = [self._endpoint(name, spec, one, changes) for one in spec.endpoints]
        rfc7239 = (spec.forwarded or self.spec.forwarded) == "rfc7239"
        meters, seat = UpstreamMeters(self.metrics, name), self.env.seat
        return make_upstream(name, spec, endpoints, meters, rfc7239=rfc7239, seat=seat, before=known)

    def _endpoint(self, name: str, spec: UpstreamSpec, one: EndpointSpec, changes: Changes) -> Endpoint:
        tls = self.tls.of_upstream(name, spec) if one.secure else None
        limits = pool_limits(spec, tls)
        pool = Pool(one.host, one.port, limits)
        key = (name, pool.address)
        known = self.before.endpoints.get(key) if self.before is not None else None
        endpoint = known or Endpoint(pool, one.weight, one.priority, changes)
        if known is None and changes.count:
            # It joins others that are warm already.
            endpoint.available_since = self.env.clock.now()
        self.endpoints[key] = endpoint
        self.settings.append((endpoint, one, limits))
        return endpoint

    # routes

    def _frontend(self, order: int, spec: FrontendSpec, top: tuple[Plugin, ...], shared: Chain) -> Frontend:
        own = self.maker.make(list_key(spec), spec.plugins, top)
        plugins, chain = ((*top, *own), Chain((*top, *own))) if own else (top, shared)
        router = self._router(RouteSet(spec.name, self.loaded.path_of(spec.name), spec.routes, plugins, chain))
        return make_frontend(spec, router, chain, self.spec.limits.request_body, order)

    def _router(self, routes: RouteSet) -> Router:
        found = [self._route(routes, number, spec) for number, spec in enumerate(routes.specs)]
        alive = [route for route in found if route is not None]
        own, problems = own_routes(routes, alive, self.maker.plugins, uses_of(self.spec, self.frontends))
        alive += own
        self.problems += problems
        for hidden, by in shadowed(alive):
            message = f"the route {hidden.name!r} can never be chosen: {by.name!r} takes all its requests"
            self._warn(self.loaded.position((*routes.at, "routes", hidden.order)), message)
        return Router(alive)

    def _route(self, routes: RouteSet, number: int, spec: RouteSpec) -> Route | None:
        at = (*routes.at, "routes", number)
        own = self.maker.make(join_route_id(routes.frontend, spec.name), spec.plugins, routes.plugins)
        pattern = self._checked_at((*at, "match", "path"), lambda: parse_pattern(spec.match.path))
        if pattern is None:
            return None
        action = self._action(at, join_route_id(routes.frontend, spec.name), spec, pattern)
        if action is None:
            return None
        collected = int(self.spec.limits.request_body) if isinstance(action, Deferred) and action.reads_body else 0
        predicates: list[Predicate] = [HeaderPredicate(name, value) for name, value in spec.match.headers.items()]
        predicates += [QueryPredicate(name, value) for name, value in spec.match.query.items()]
        chain = Chain((*routes.plugins, *own), collected) if own or collected else routes.chain
        if spec.compose is not None:
            for plugin in [plugin for plugin in chain.plugins if plugin.for_upstreams]:
                message = f"{plugin.name} changes nothing of the composition {spec.name!r}: shape its parts with `pick`"
                self._warn(self.loaded.position((*at, "compose")), message)
        return Route(
            spec.name,
            pattern,
            action,
            host=spec.match.host,
            methods=with_head(spec.match.methods),
            predicates=tuple(predicates),
            priority=spec.priority,
            order=number,
            chain=chain,
            frontend=routes.frontend,
        )

    def _action(self, at: Path_, route_id: str, spec: RouteSpec, pattern: Pattern) -> Action | None:
        if spec.compose is not None:
            around = Surroundings(self.loaded, self.upstreams, self.maker, self.problems, self.derived)
            return compile_composition(around, (*at, "compose"), route_id, spec.compose, pattern)
        if spec.redirect is not None:
            redirect = spec.redirect
            to = self._checked_at((*at, "redirect", "to"), lambda: parse_template(redirect.to, pattern.names))
            return Redirect(to, redirect.status) if to is not None else None
        if spec.respond is not None:
            return make_respond(spec.respond)
        return self._forward(at, route_id, spec, pattern)

    def _forward(self, at: Path_, route_id: str, spec: RouteSpec, pattern: Pattern) -> Forward | None:
        targets = tuple((target.upstream, target.weight) for target in spec.to or ())
        to = [self.spec.upstreams[name] for name, _ in targets]
        for option, message, hint in wrong_captures(spec, to, pattern):
            self.problems.append(Problem(self.loaded.position((*at, option)), message, hint))
        make = partial(
            Forward,
            targets if spec.app is None else ((upstream_name(spec.app), 1),),
            sticky=key_of(spec.sticky) if spec.sticky is not None else None,
            mirror=make_mirror(spec),
            importance=spec.importance,
            total=float(spec.timeouts.total) if spec.timeouts.total is not None else None,
            websockets=make_websockets(route_id, spec, self.metrics, self.env.seat),
        )
        if spec.rewrite is None:
            return make()
        rewrite = spec.rewrite
        path: Template | None = None
        if rewrite.path is not None:
            text = rewrite.path
            path = self._checked_at((*at, "rewrite", "path"), lambda: parse_template(text, pattern.names))
            if path is None:
                return None
        return make(make_rewrite(rewrite, path))

    # problems

    def _warn(self, position: Position, message: str) -> None:
        self.problems.append(Problem(position, message, severity="warning"))

    def _checked_at(self, path: Path_, make: Callable[[], Made]) -> Made | None:
        return self._checked(self.loaded.position(path), make)

    def _checked(self, position: Position, make: Callable[[], Made]) -> Made | None:
        try:
            return make()
        except ConfigError as error:
            self.problems.append(Problem(position, str(error)))
            return None


def config_folder(path: Path) -> Path:
    """Where local plugins are looked for."""
    return path.resolve().parent
