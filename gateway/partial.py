"""What compiling would find in a file that does not validate: plugins and their options, path patterns, templates. So
that a user is told every error at once, and not the second half after mending the first."""

from __future__ import annotations

from collections.abc import Iterator

from gateway.config.load import Loaded
from gateway.config.nodes import Node
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Position, Problem
from gateway.errors import ConfigError
from gateway.library import Library
from gateway.routing.pattern import parse_pattern, parse_template

TEMPLATES = (("rewrite", "path"), ("redirect", "to"))


def also_wrong(loaded: Loaded, library: Library) -> list[Problem]:
    """Problems beside those of `loaded`, whose spec is None. Of one place only the first is told."""
    if loaded.root is None:
        return []
    known = frozenset(problem.position for problem in loaded.problems)
    files = (loaded.root, *_items(loaded.root.child("frontends")))
    routes = [route for file in files for route in _items(file.child("routes"))]
    found = [problem for holder in (*files, *routes) for problem in _plugins(holder, library, known)]
    found += [problem for route in routes for problem in _paths(route) if problem.position not in known]
    return found


def _plugins(holder: Node, library: Library, known: frozenset[Position]) -> Iterator[Problem]:
    for entry in _items(holder.child("plugins")):
        if any(scalar.position in known for scalar in entry.scalars()):
            # A value that could not be filled in is wrong once.
            continue
        try:
            use = PluginUse.parse(entry.plain(), entry)
        except ValueError:
            continue
        try:
            options = library.find(use.name).Options
        except ConfigError as error:
            yield Problem(use.position, str(error))
        else:
            yield from build_options(options, use)[1]


def _paths(route: Node) -> Iterator[Problem]:
    path = route.nearest(("match", "path"))
    # Without a path of its own the route matches everything, and captures `**`.
    written = _text(route, "match", "path")
    text = "/**" if written is None else written
    try:
        names = parse_pattern(text).names
    except ConfigError as error:
        yield Problem(path.position, str(error))
        return
    for place in TEMPLATES:
        template = _text(route, *place)
        if template is not None:
            try:
                parse_template(template, names)
            except ConfigError as error:
                yield Problem(route.nearest(place).position, str(error))


def _text(node: Node, *path: str) -> str | None:
    found: Node | None = node
    for step in path:
        found = found.child(step) if found is not None else None
    return found.value if found is not None and isinstance(found.value, str) else None


def _items(node: Node | None) -> list[Node]:
    return node.value if node is not None and isinstance(node.value, list) else []
