"""The rules that join the files of frontends: names, what they are chosen by, and limits that need a listener."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from gateway.config.nodes import Node
from gateway.config.problems import Position, Problem

# A frontend has them on a listener of its own only: they hold before it is known whose a request is.
LISTENER_LIMITS = ("request_head", "header_count", "connections")
CONDITIONS = ("hosts", "prefix", "headers")


def check_frontends(frontends: list[Node]) -> Iterator[Problem]:
    """The problems of these files, each as a node."""
    names: dict[object, Position] = {}
    asked: dict[Hashable, tuple[object, Position]] = {}
    for frontend in frontends:
        name = _value(frontend, "frontend")
        position = frontend.nearest(("frontend",)).position
        if isinstance(name, str):
            if name in names:
                yield Problem(position, f"two frontends are named {name!r}", f"the other is at {names[name]}")
            names.setdefault(name, position)
        yield from _limits(frontend)
        conditions = _conditions(frontend)
        if conditions is not None:
            if conditions in asked:
                other, there = asked[conditions]
                message = f"the frontends {other!r} and {name!r} ask for the same hosts, prefix and headers"
                yield Problem(position, message, f"the other is at {there}")
            asked.setdefault(conditions, (name, position))
        elif frontend.child("bind") is None:
            message = f"the frontend {name!r} is never chosen: it has no bind, hosts, prefix or headers"
            hint = f"give it one, or run it alone: gateway run --frontend {name}"
            yield Problem(position, message, hint, severity="warning")


def _limits(frontend: Node) -> Iterator[Problem]:
    limits = frontend.child("limits")
    if limits is None or frontend.child("bind") is not None:
        return
    for key in LISTENER_LIMITS:
        if limits.child(key) is not None:
            hint = "give the frontend a bind, or set it in the main file; without a bind only request_body is its own"
            yield Problem(limits.key_position(key), f"limits.{key} is a listener's, and the frontend has none", hint)


def _conditions(frontend: Node) -> Hashable | None:
    """What it asks for, the same for frontends that ask for the same; None for nothing."""
    hosts, headers = _value(frontend, "hosts"), _value(frontend, "headers")
    shown = (
        frozenset(str(node.value).lower() for node in hosts) if isinstance(hosts, list) else frozenset(),
        str(_value(frontend, "prefix") or ""),
        frozenset((name.lower(), str(node.value)) for name, node in headers.items())
        if isinstance(headers, dict)
        else frozenset(),
    )
    return shown if any(shown) else None


def _value(node: Node, key: str) -> object:
    found = node.child(key)
    return found.value if found is not None else None
