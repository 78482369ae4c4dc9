"""What would become of a request, without sending it: its route and why, its plugins and where they are from, and what
its upstream would be asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.compile import Generation
from gateway.compose.plan import Part, Plan
from gateway.compose.run import Compose
from gateway.compose.template import MISSING
from gateway.config.dump import mask_data
from gateway.config.load import Loaded
from gateway.config.plugin_use import PluginUse
from gateway.exchange import Exchange
from gateway.plugin import PHASES
from gateway.routing.actions import Forward, PluginAnswer, Redirect, Respond
from gateway.routing.explain import Candidate, Check, Explanation, explain, misfits
from gateway.routing.explain_frontend import Choice, explain_frontend
from gateway.routing.route import Route
from gateway.routing.router import Router
from gateway.wire.head import RequestBlock, RequestHead
from gateway.wire.shapes import request_policy

URL = re.compile(r"(?:https?://([^/?#]+))?(/[^?#]*)?(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE)
VISIBLE = re.compile(r"[!-~]+")
METHOD = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


@dataclass(frozen=True, slots=True)
class PluginEntry:
    """A plugin of the chain. `place` is file:line:column; `needs_body` is request, response, both with `and`, or
    empty."""

    name: str
    place: str
    phases: tuple[str, ...]
    needs_body: str


@dataclass(frozen=True, slots=True)
class Target:
    """An upstream that the request would go to. `share` is its part of the route's requests, `urls` one an endpoint
    that takes requests, `drained` the addresses of those that do not."""

    upstream: str
    share: float
    urls: tuple[str, ...]
    drained: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PartCall:
    """What a part of a composition would ask of its upstream. In `path`, places that other parts fill are as they are
    written. `needs` are those parts; `foreach` and `when` are empty where there is none."""

    name: str
    method: str
    upstream: str
    path: str
    required: bool
    needs: tuple[str, ...]
    foreach: str
    when: str

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.name,
            "method": self.method,
            "upstream": self.upstream,
            "path": self.path,
            "required": self.required,
            "needs": list(self.needs),
            "foreach": self.foreach or None,
            "when": self.when or None,
        }


@dataclass(frozen=True, slots=True)
class DryRun:
    """The whole answer. `status` is the gateway's own, None where an upstream decides; `target` is the path and query
    for the upstream, `location` where a redirect leads, `parts` are a composition's."""

    request: Exchange
    explanation: Explanation
    position: str
    plugins: tuple[PluginEntry, ...]
    targets: tuple[Target, ...]
    target: str
    status: int | None
    location: str
    others: tuple[tuple[Route, str], ...]
    secrets: frozenset[str]
    choice: Choice | None = None
    parts: tuple[PartCall, ...] = ()

    @property
    def upstreams(self) -> tuple[str, ...]:
        """Those that may be asked."""
        return (*(target.upstream for target in self.targets), *(part.upstream for part in self.parts))

    @property
    def frontend(self) -> str:
        """The frontend that the request belongs to, or ""."""
        return self.request.frontend

    def to_json(self) -> dict[str, Any]:
        """Plain data. The request's header fields are not in it."""
        route = self.explanation.route
        request = self.request
        data = {
            "request": {
                "method": request.method,
                "host": request.host,
                "path": request.sent_path,
                "query": request.query,
            },
            "frontend": request.frontend or None,
            "frontends": _frontends(self.choice),
            "route": route.name if route is not None else None,
            "position": self.position or None,
            "why": self.explanation.why,
            "status": self.status,
            "allow": list(self.explanation.allow),
            "action": str(route.action) if route is not None else None,
            "location": self.location or None,
            "path": self.target or None,
            "targets": [
                {
                    "upstream": target.upstream,
                    "share": target.share,
                    "urls": list(target.urls),
                    "drained": list(target.drained),
                }
                for target in self.targets
            ],
            "parts": [part.to_json() for part in self.parts],
            "plugins": [
                {
                    "name": entry.name,
                    "position": entry.place,
                    "phases": list(entry.phases),
                    "needs_body": entry.needs_body or None,
                }
                for entry in self.plugins
            ],
            "candidates": [_candidate(candidate) for candidate in self.explanation.candidates],
            "others": [{"route": other.name, "why": why} for other, why in self.others],
        }
        masked: dict[str, Any] = mask_data(data, self.secrets)
        return masked


def _candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "route": candidate.route.name,
        "verdict": candidate.verdict,
        "why": candidate.why,
        "checks": [_check(check) for check in candidate.checks],
    }


def _frontends(choice: Choice | None) -> list[dict[str, Any]]:
    """Each frontend with its verdict; the chosen one's `why` is why it is before the others."""
    judged = choice.judged if choice is not None else ()
    return [
        {
            "frontend": one.frontend.name,
            "verdict": one.verdict,
            "why": choice.why if choice is not None and one.verdict == "chosen" else one.why,
            "checks": [_check(check) for check in one.checks],
        }
        for one in judged
    ]


def _check(check: Check) -> dict[str, Any]:
    return {"kind": check.kind, "wanted": check.wanted, "found": check.found, "passed": check.passed}


def make_request(
    method: str, url: str, headers: Iterable[tuple[str, str]] = (), identity_headers: Iterable[str] = ()
) -> Exchange:
    """A request as routing would see it, from a peer that is not trusted. `url` is absolute, or a path where a Host
    header is given or none is needed. ValueError in words for the user."""
    if not METHOD.fullmatch(method):
        raise ValueError(f"{method!r} is not a method; write one such as GET")
    match = URL.fullmatch(url) if VISIBLE.fullmatch(url) else None
    if match is None or not (match[1] or match[2]):
        raise ValueError(f"{url!r} is not a URL; write one such as https://api.example.com/items/42, blanks as %20")
    pairs = [_field(name, value) for name, value in headers]
    if not any(name.lower() == b"host" for name, _ in pairs):
        pairs.insert(0, (b"Host", (match[1] or "").rpartition("@")[2].encode()))
    raw_path, query = match[2] or "/", match[3] or ""
    policy = request_policy(False, tuple(identity_headers))
    block = RequestBlock(policy.shape(name for name, _ in pairs), [value for _, value in pairs], "1.1")
    target = f"{raw_path}?{query}" if query else raw_path
    exchange = Exchange(method, raw_path, query, RequestHead(block, method, target, "1.1"), "192.0.2.1")
    exchange.host = block.telling(b"host")[0].decode("latin-1")
    return exchange


def _field(name: str, value: str) -> tuple[bytes, bytes]:
    if not METHOD.fullmatch(name) or not FIELD_VALUE.fullmatch(value):
        raise ValueError(f"{name!r} is not a header field; write one such as 'Accept: text/html'")
    return name.encode(), value.strip(" \t").encode("latin-1")


def dry_run(
    generation: Generation, loaded: Loaded, request: Exchange, others: bool = False, frontend: str = ""
) -> DryRun:
    """Route `request` and say what would happen. With `others` also the routes that do not fit, and why not; with
    `frontend` as if it came to the listener of that one. LookupError for a frontend that is not there."""
    choice, router = _enter(generation, request, frontend)
    if choice is not None and choice.status is not None:
        explanation = Explanation(None, choice.status, choice.why)
    else:
        explanation = explain(router, request.host, request.raw_path, request)
    route = explanation.route
    status, position, target, location = explanation.status, "", "", ""
    uses = list(generation.uses[""])
    plugins = list(generation.table.chain.plugins)
    if choice is not None and choice.frontend is not None:
        uses += generation.uses[f"{choice.frontend.name}/"]
        plugins = list(choice.frontend.chain.plugins)
    targets: tuple[Target, ...] = ()
    parts: tuple[PartCall, ...] = ()
    if route is not None:
        position = str(loaded.position((*loaded.path_of(route.frontend), "routes", route.order)))
        request.captures = route.pattern.capture(request.raw_path)
        plugins = list(route.chain.plugins)
        action = route.action
        if route.id in generation.uses:
            uses += generation.uses[route.id]
        else:
            # A plugin's own path: it stands where the plugin does.
            uses += [generation.use_of(plugin) for plugin in plugins[len(uses) :]]
            position = str(next(use for use in uses if use.name == route.name.partition(":")[0]).position)
        if isinstance(action, Forward):
            rewrite = action.rewrite
            plain = f"{request.raw_path}?{request.query}" if request.query else request.raw_path
            target = rewrite.target(request.raw_path, request.query, request.captures) if rewrite else plain
            targets = _targets(generation, action, target)
        elif isinstance(action, Compose):
            parts = tuple(_part_call(part, action.plan, request) for part in action.plan.parts)
        elif isinstance(action, Redirect | Respond) and not isinstance(action, PluginAnswer):
            status = action.reply(request).status
            location = action.location(request) if isinstance(action, Redirect) else ""
    entries = tuple(_entry(use, plugin) for use, plugin in zip(uses, plugins, strict=True))
    unfit = tuple(misfits(router, request.host, request.raw_path)) if others else ()
    return DryRun(
        request,
        explanation,
        position,
        entries,
        targets,
        target,
        status,
        location,
        unfit,
        generation.secrets,
        choice,
        parts,
    )


class _BeforeParts:
    """What places are filled from before any part has answered."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange

    def part(self, number: int) -> Any:
        """Nobody was asked."""
        return MISSING


def _part_call(part: Part, plan: Plan, request: Exchange) -> PartCall:
    return PartCall(
        part.name,
        part.method,
        part.upstream,
        part.target.preview(_BeforeParts(request)),
        part.required,
        tuple(plan.parts[number].name for number in part.needs),
        part.foreach.text if part.foreach is not None else "",
        part.when.text if part.when is not None else "",
    )


def _enter(generation: Generation, request: Exchange, named: str) -> tuple[Choice | None, Router]:
    """Make it a request of its frontend, if there is one; the router to ask."""
    frontends = generation.table.frontends
    if named and (frontends is None or named not in frontends.named):
        names = ", ".join(frontends.named) if frontends is not None else ""
        raise LookupError(f"no frontend is named {named!r}; {f'there are: {names}' if names else 'there is none'}")
    if frontends is None:
        return None, generation.table.router
    choice = explain_frontend(frontends, request.host, request.raw_path, request, named)
    if choice.frontend is None:
        return choice, generation.table.router
    request.frontend, request.raw_path = choice.frontend.name, choice.path
    return choice, choice.frontend.router


def _entry(use: PluginUse, plugin: Any) -> PluginEntry:
    phases = tuple(phase for phase in phases_of(type(plugin)) if plugin.uses_phase(phase))
    needed = plugin.needs_body or ""
    sides = needed if isinstance(needed, str) else " and ".join(needed)
    return PluginEntry(use.name, str(use.position), phases, sides)


def phases_of(plugin: Any) -> tuple[str, ...]:
    """The phases that a plugin class uses, in the order in which they come."""
    return tuple(phase for phase in PHASES if plugin.overrides(phase))


def _targets(generation: Generation, action: Forward, target: str) -> tuple[Target, ...]:
    total = sum(action.weights)
    found = []
    for name, weight in zip(action.names, action.weights, strict=True):
        endpoints = generation.table.upstreams[name].endpoints
        urls = tuple(f"{one.pool.origin}{target}" for one in endpoints if one.state == "enabled")
        drained = tuple(one.address for one in endpoints if one.state != "enabled")
        found.append(Target(name, weight / total, urls, drained))
    return tuple(found)


def header_pairs(headers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Fields from plain data: name to a value, or to a list of values. ValueError for anything else."""
    pairs = []
    for name, given in headers.items():
        for value in given if isinstance(given, list) else [given]:
            if not isinstance(value, str):
                raise ValueError(f"the header {name!r} is text, or a list of texts")
            pairs.append((name, value))
    return pairs
