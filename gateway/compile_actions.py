"""What a route does, from what its spec says of it, where nothing else of the configuration matters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.config.problems import closest
from gateway.config.specs import HeaderEditSpec, RespondSpec, RewriteSpec, RouteSpec
from gateway.config.upstream_specs import HashBalanceSpec, KeySpec, UpstreamSpec
from gateway.exchange import Reply
from gateway.routing.actions import HeaderEdit, Mirror, OpenCount, QueryEdit, Respond, Rewrite, WebSockets
from gateway.routing.pattern import Pattern, Template
from gateway.state.board import Seat
from gateway.state.open_counts import OpenEverywhere
from gateway.telemetry.metrics import Metrics


def make_respond(spec: RespondSpec) -> Respond:
    """An answer that is known beforehand."""
    if spec.text is not None:
        return Respond(Reply.text(spec.status, spec.text, spec.headers))
    if "json_body" in spec.model_fields_set:
        return Respond(Reply.json(spec.status, spec.json_body, spec.headers))
    return Respond(Reply.empty(spec.status, spec.headers))


def make_rewrite(spec: RewriteSpec, path: Template | None) -> Rewrite:
    """What is changed of a request on its way to an upstream."""
    query = QueryEdit(spec.query.add, spec.query.set, spec.query.remove) if spec.query is not None else None
    return Rewrite(path, query, _header_edit(spec.headers))


def _header_edit(spec: HeaderEditSpec | None) -> HeaderEdit | None:
    return HeaderEdit(spec.add, spec.set, spec.remove) if spec is not None else None


def make_mirror(spec: RouteSpec) -> Mirror | None:
    """Where copies of a route's requests go."""
    mirror = spec.mirror
    return Mirror(mirror.to, float(mirror.share), int(mirror.body)) if mirror is not None else None


def make_websockets(route_id: str, spec: RouteSpec, metrics: Metrics, seat: Seat | None) -> WebSockets | None:
    """What WebSockets of a route may do, None where there are none. With a seat all workers count theirs together."""
    if "websocket" not in (spec.upgrade if spec.upgrade is not None else ("websocket",) if spec.app else ()):
        return None
    gauge = metrics.gauge("gateway_websockets", "WebSockets that are open.", ("route",)).labels(route_id)
    opened: OpenCount = gauge if seat is None else OpenEverywhere(gauge, seat, "websockets", route_id)
    return WebSockets(opened, float(spec.websocket.idle), spec.websocket.connections)


def wrong_captures(
    spec: RouteSpec, upstreams: Iterable[UpstreamSpec], pattern: Pattern
) -> Iterator[tuple[str, str, str]]:
    """A capture that decides where a request goes has to be one of its route's path: the option, message and hint of
    each that is not. `upstreams` are those that the route goes to."""
    keys: list[tuple[str, KeySpec]] = [("sticky", spec.sticky)] if spec.sticky is not None else []
    balances = [upstream.balance for upstream in upstreams]
    hashes = dict.fromkeys(balance.hash for balance in balances if isinstance(balance, HashBalanceSpec))
    keys += [("to", key) for key in hashes]
    for option, key in keys:
        if key.capture is not None and key.capture not in pattern.names:
            names = ", ".join(sorted(pattern.names))
            hint = closest(key.capture, pattern.names) or (f"it captures {names}" if names else "it captures nothing")
            yield option, f"the path {pattern.text} has no {{{key.capture}}} to choose by", hint
