"""The rules that join several values: one target a route, unique names, names that must exist, a token for admin.

They read the tree and not the specs, leniently, so that they find what is wrong also in a file that does not validate:
every error at once.
"""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.fields import Bind
from gateway.config.frontend_checks import check_frontends
from gateway.config.nodes import Node
from gateway.config.problems import Position, Problem, closest
from gateway.config.specs import TimeoutsSpec
from gateway.units import Duration

TARGETS = ("to", "redirect", "respond", "compose", "app")
# Keys of a route that mean nothing where no upstream is asked.
FORWARDING = ("rewrite", "sticky", "mirror", "importance", "timeouts", "upgrade", "websocket")
# An application is an upstream with one endpoint, so only what chooses among several means nothing to it.
CHOOSING = ("sticky",)


def check(root: Node) -> Iterator[Problem]:
    """The problems of the merged tree."""
    yield from _admin(root)
    yield from _binds(root)
    yield from _grace(root)
    upstreams = set(_mapping(root.child("upstreams")))
    frontends = _list(root.child("frontends"))
    yield from _passthrough(root, upstreams)
    yield from check_frontends(frontends)
    for holder in (root, *frontends):
        yield from _routes_of(holder, upstreams)


def _routes_of(holder: Node, upstreams: set[str]) -> Iterator[Problem]:
    """Of the main file, or of a frontend: each has routes and tests of its own."""
    routes = _list(holder.child("routes"))
    yield from _unique_names(routes)
    for route in routes:
        yield from _target(route)
        yield from _websocket(route)
        yield from _upstreams_of(route, upstreams)
        yield from _response(route)
    names = {str(name.value) for route in routes if (name := route.child("name"))}
    for test in _list(holder.child("tests")):
        yield from _expectation(test, names, upstreams)


def _grace(root: Node) -> Iterator[Problem]:
    """What is under way when new connections end wants time too."""
    timeouts = root.child("timeouts")
    grace = timeouts.child("grace") if timeouts is not None else None
    if timeouts is None or grace is None:
        return
    drain = timeouts.child("drain")
    try:
        whole = Duration.parse(str(drain.value)) if drain is not None else TimeoutsSpec().drain
        if Duration.parse(str(grace.value)) > whole:
            hint = "`drain` is all the time from the signal on, `grace` the first part of it"
            yield Problem(grace.position, f"timeouts: grace is longer than drain, {whole}", hint)
    except ValueError:
        # The validation says what is wrong with them.
        return


def _admin(root: Node) -> Iterator[Problem]:
    admin = root.child("admin")
    bind = _bind(admin.child("bind")) if admin else None
    if admin is None or bind is None or bind.is_loopback:
        return
    token = admin.child("token")
    if token is None or token.value in (None, ""):
        position = (token or admin.nearest(("bind",))).position
        hint = "add token: ${ADMIN_TOKEN}, or bind 127.0.0.1:9901"
        yield Problem(position, "admin: an address that others can reach needs a token", hint)


def _binds(root: Node) -> Iterator[Problem]:
    taken: dict[Bind, Position] = {}
    holders = [*_list(root.child("listeners")), *_list(root.child("frontends"))]
    admin = root.child("admin")
    for holder in [*holders, admin] if admin else holders:
        node = holder.child("bind")
        bind = _bind(node)
        if node is None or bind is None or (bind.port == 0 and not bind.path):
            continue
        if bind in taken:
            yield Problem(node.position, f"two listeners on {bind}", f"the other is at {taken[bind]}")
        taken.setdefault(bind, node.position)


def _passthrough(root: Node, upstreams: set[str]) -> Iterator[Problem]:
    for listener in _list(root.child("listeners")):
        taken: dict[str, Position] = {}
        for one in _list(listener.child("passthrough")):
            yield from _known("upstream", one.child("to"), upstreams)
            for node in _list(one.child("names")):
                name = str(node.value).lower()
                if name in taken:
                    yield Problem(node.position, f"{name!r} is passed through twice", f"the other is at {taken[name]}")
                taken.setdefault(name, node.position)


def _unique_names(routes: list[Node]) -> Iterator[Problem]:
    first: dict[str, Node] = {}
    for route in routes:
        name = route.child("name")
        if name is None or not isinstance(name.value, str):
            continue
        if name.value in first:
            hint = f"the other is at {first[name.value].position}"
            yield Problem(name.position, f"two routes are named {name.value!r}", hint)
        first.setdefault(name.value, name)


def _target(route: Node) -> Iterator[Problem]:
    if not isinstance(route.value, dict):
        return
    given = [key for key in route.value if key in TARGETS]
    if not given:
        # A misspelt target is told as the unknown key that it is.
        if not any(closest(key, TARGETS) for key in route.value):
            yield Problem(
                route.position, f"missing key 'to'{_named(route)}", f"a route has one of {', '.join(TARGETS)}"
            )
    elif len(given) > 1:
        both = " and ".join(repr(key) for key in given)
        hint = f"a route has exactly one of {', '.join(TARGETS)}"
        yield Problem(route.key_position(given[1]), f"both {both}{_named(route)}", hint)
    elif "to" not in given:
        for key in CHOOSING if "app" in given else FORWARDING:
            if key in route.value:
                hint = "it is for what goes to an upstream"
                yield Problem(route.key_position(key), f"{key!r} without 'to'{_named(route)}", hint)


def _websocket(route: Node) -> Iterator[Problem]:
    upgrade = route.child("upgrade")
    if route.child("websocket") is None or route.child("to") is None:
        return
    if "websocket" not in [token.value for token in _list(upgrade)]:
        message = f"'websocket' without 'upgrade'{_named(route)}"
        yield Problem(route.key_position("websocket"), message, "add upgrade: [websocket]")


def _named(route: Node) -> str:
    name = route.child("name")
    return f" in route {name.value!r}" if name is not None and isinstance(name.value, str) else " in a route"


def _upstreams_of(route: Node, upstreams: set[str]) -> Iterator[Problem]:
    mirror = route.child("mirror")
    if mirror is not None:
        yield from _known("upstream", mirror.child("to"), upstreams)
    for part in _mapping(_child(route.child("compose"), "parts")).values():
        yield from _known("upstream", part.child("from"), upstreams)
        yield from _known("upstream", _child(part.child("on_error"), "from"), upstreams)
    to = route.child("to")
    if to is None:
        return
    if isinstance(to.value, str):
        yield from _known("upstream", to, upstreams)
    targets = _list(to)
    for target in targets:
        yield from _known("upstream", target.child("upstream"), upstreams)
    weights = [target.child("weight") for target in targets]
    if weights and all(weight is not None and weight.value == 0 for weight in weights):
        yield Problem(to.position, "every weight is 0", "at least one is more")


def _response(route: Node) -> Iterator[Problem]:
    respond = route.child("respond")
    given = _mapping(respond)
    if respond is None:
        return
    bodies = [key for key in given if key in ("text", "json")]
    if len(bodies) == 2:
        yield Problem(respond.key_position(bodies[1]), "'text' and 'json' in one answer", "an answer has one body")
    status = given.get("status")
    if bodies and status is not None and status.value in (204, 304):
        message = f"an answer {status.value} has no body"
        yield Problem(respond.key_position(bodies[0]), message, "leave the body out, or choose another status")


def _expectation(test: Node, routes: set[str], upstreams: set[str]) -> Iterator[Problem]:
    expect = test.child("expect")
    if expect is None or not isinstance(expect.value, dict):
        return
    if all(node.value is None for node in expect.value.values()):
        yield Problem(expect.position, "expects nothing", "name at least one of route, upstream, path, status")
    yield from _known("route", expect.child("route"), routes)
    yield from _known("upstream", expect.child("upstream"), upstreams)


def _known(kind: str, node: Node | None, names: set[str]) -> Iterator[Problem]:
    if node is not None and isinstance(node.value, str) and node.value not in names:
        hint = closest(node.value, names) or (
            f"there are: {', '.join(_shown(name) for name in sorted(names)[:12])}" if names else "there is none"
        )
        yield Problem(node.position, f"unknown {kind} {node.value!r}", hint)


def _shown(name: str) -> str:
    """As it stands, unless it would break the line."""
    return name if name.isprintable() else repr(name)


def _bind(node: Node | None) -> Bind | None:
    if node is None or not isinstance(node.value, str):
        return None
    try:
        return Bind.parse(node.value)
    except ValueError:
        return None


def _child(node: Node | None, key: str) -> Node | None:
    return node.child(key) if node is not None else None


def _mapping(node: Node | None) -> dict[str, Node]:
    return node.value if node is not None and isinstance(node.value, dict) else {}


def _list(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []
