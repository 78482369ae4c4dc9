"""What compiling would find in a file that does not validate: plugins and their options, path patterns, templates,
parts of compositions. So that a user is told every error at once, and not the second half after mending the first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from pydantic import ValidationError

from gateway.compile_compose import check_composition
from gateway.config.compose_specs import ComposedSpec, ComposeSpec, PartSpec
from gateway.config.load import Loaded
from gateway.config.nodes import Node, Path
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
    files = {(): loaded.root} | {
        ("frontends", number): file for number, file in enumerate(_items(loaded.root.child("frontends")))
    }
    routes = {
        (*at, "routes", number): route
        for at, file in files.items()
        for number, route in enumerate(_items(file.child("routes")))
    }
    found = [problem for holder in (*files.values(), *routes.values()) for problem in _plugins(holder, library, known)]
    found += [problem for route in routes.values() for problem in _paths(route) if problem.position not in known]
    for at, route in routes.items():
        found += _composition(loaded, at, route, library, known)
    return found


def _plugins(holder: Node, library: Library, known: frozenset[Position]) -> Iterator[Problem]:
    for entry in _items(holder.child("plugins")):
        try:
            use = PluginUse.parse(entry.plain(), entry)
        except ValueError:
            continue
        yield from _options(use, entry, library, known)


def _options(use: PluginUse, entry: Node, library: Library, known: frozenset[Position]) -> list[Problem]:
    if any(scalar.position in known for scalar in entry.scalars()):
        # A value that could not be filled in is wrong once.
        return []
    try:
        options = library.find(use.name).Options
    except ConfigError as error:
        return [Problem(use.position, str(error))]
    return build_options(options, use)[1]


def _composition(
    loaded: Loaded, at: Path, route: Node, library: Library, known: frozenset[Position]
) -> Iterator[Problem]:
    """What is wrong with the parts that are right by themselves."""
    compose = route.child("compose")
    written = compose.child("parts") if compose is not None else None
    if compose is None or written is None or not isinstance(written.value, dict):
        return
    nodes: dict[str, Node] = written.value
    parts: dict[str, PartSpec] = {}
    for name, node in nodes.items():
        plain = node.plain()
        breaker = node.child("breaker")
        if breaker is not None and isinstance(breaker.value, dict):
            yield from _options(PluginUse("breaker", plain.pop("breaker"), node), breaker, library, known)
        with suppress(ValidationError):
            parts[name] = PartSpec.model_validate(plain)
    try:
        pattern = parse_pattern(_text(route, "match", "path") or "/**")
    except ConfigError:
        return
    respond, given = ComposedSpec(), compose.child("respond")
    with suppress(ValidationError):
        respond = ComposedSpec.model_validate(given.plain()) if given is not None else respond
    spec = ComposeSpec.model_construct(parts=parts, respond=respond)
    found = check_composition(loaded, (*at, "compose"), spec, tuple(nodes), pattern)
    yield from (problem for problem in found if problem.position not in known)


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
