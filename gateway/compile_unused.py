"""What a configuration has and nobody uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.compile_compose import asked_upstreams, part_breakers
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.load import Loaded
from gateway.config.problems import Problem
from gateway.config.specs import ConfigSpec
from gateway.library import Library


def unused(loaded: Loaded, spec: ConfigSpec, library: Library) -> Iterator[Problem]:
    """Warnings of upstreams, and errors of local plugins whose name is taken. Routes that are not served now, since
    frontends are served alone, use what they name all the same."""
    holders: tuple[ConfigSpec | FrontendSpec, ...] = (loaded.spec or spec, *loaded.frontends)
    routes = [route for holder in holders for route in holder.routes]
    uses = [use for holder in (*holders, *routes) for use in holder.plugins]
    uses += [use for route in routes for _, use in part_breakers(route.name, route.compose)]
    used = {target.upstream for route in routes for target in route.to or ()}
    used.update(route.mirror.to for route in routes if route.mirror is not None)
    for route in routes:
        used.update(asked_upstreams(route.compose))
    used.update(one.to for listener in spec.listeners for one in listener.passthrough)
    for use in uses:
        # One that a plugin's options name is in use too.
        used.update(_texts(use.options))
    # Nobody knows which ones an application calls.
    knowable = all(route.app is None for route in routes)
    for name in spec.upstreams if knowable else ():
        if name not in used:
            position = loaded.key_position(("upstreams", name))
            yield Problem(position, f"no route goes to the upstream {name!r}", severity="warning")
    # Those in use have been told where they are used.
    named = {use.name for use in uses}
    for name, text in library.clashes().items():
        if name not in named:
            yield Problem(loaded.position(("plugins",)), text)


def _texts(data: Any) -> Iterator[str]:
    """Every text in plain data."""
    if isinstance(data, str):
        yield data
    elif isinstance(data, dict | list):
        for item in data.values() if isinstance(data, dict) else data:
            yield from _texts(item)
