"""Reads a configuration: the main file and its includes, substituted, merged, validated and cross-checked at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from gateway.config.checks import check
from gateway.config.document import Document, parse
from gateway.config.files import Disk, Files, Kept
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.masking import hide_secrets, masked
from gateway.config.nodes import Node, Path
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Position, Problem, render
from gateway.config.specs import ConfigSpec, RouteSpec
from gateway.config.substitute import Substitution
from gateway.config.upstream_specs import UpstreamSpec
from gateway.config.validation import unknown_key, validate

Holder = TypeVar("Holder", ConfigSpec, FrontendSpec)

_MERGED_LISTS = ("routes", "tests")
_IN_INCLUDES = ("upstreams", *_MERGED_LISTS)
_IN_FRONTENDS = tuple(field.alias or name for name, field in FrontendSpec.model_fields.items())


@dataclass(frozen=True)
class Loaded:
    """What came of reading a configuration. `spec` is None when any problem is an error."""

    spec: ConfigSpec | None
    problems: tuple[Problem, ...]
    """Errors and warnings, in the order of files and lines."""
    files: tuple[FilePath, ...]
    """The main file and the included ones, also those that could not be read."""
    sources: dict[str, list[str]]
    """The lines of each file, by its name in positions; secrets are taken out."""
    secrets: frozenset[str] = field(default=frozenset(), repr=False)
    """The texts that no output may show: from `${file:...}` and in Secret fields."""
    root: Node | None = field(default=None, repr=False)
    """The merged tree, frontends' files as a list under `frontends`; None when the main file could not be read."""
    frontends: tuple[FrontendSpec, ...] = ()
    """In the order of their files."""
    digest: str = ""
    """Of the lines of all files, without their secrets."""
    kept: Kept = field(default=Kept(), repr=False)
    """All that was read, to load the same again."""

    def path_of(self, frontend: str) -> Path:
        """Where a frontend's file is in the merged tree; the main file's is ()."""
        names = [one.name for one in self.frontends]
        return ("frontends", names.index(frontend)) if frontend else ()

    def position(self, path: Path) -> Position:
        """Where the value at `path` of the merged spec begins: `("routes", 3, "match", "path")`. For what the file
        does not have, the nearest value around it."""
        return self.root.nearest(path).position if self.root else Position(str(self.files[0]), 1, 1)

    def key_position(self, path: Path) -> Position:
        """Where the last key of `path` stands, for what concerns an entry rather than its value."""
        if self.root is None or not path:
            return self.position(path)
        return self.root.nearest(path[:-1]).key_position(str(path[-1]))

    def render(self, problem: Problem) -> str:
        """The problem as text, with its line of the file and a caret."""
        return render(problem, self.sources.get(problem.position.file, ()))


def load(path: FilePath, environ: Mapping[str, str], files: Kept | None = None) -> Loaded:
    """The configuration in `path` with its includes; `environ` is what `${VAR}` reads. With `files` as it was when they
    were kept, else from the disk.

    Never raises for what is wrong with the files: that is in `problems`, all of it.
    """
    disk = Disk()
    source: Files = files if files is not None else disk
    reading = _Reading(path, Substitution(environ, path.parent, source), source)
    root = reading.merged()
    problems = reading.problems
    spec: ConfigSpec | None = None
    frontends: list[FrontendSpec] = []
    secrets = reading.substitution.secrets
    if root is not None:
        data = _plain(root)
        spec, found = validate(lambda data: _validated(ConfigSpec, data, secrets), data, root, ConfigSpec)
        # Freed one by one, as they are validated.
        while spec is not None and data.get("routes"):
            data["routes"].pop()
        for node in reading.frontends:
            frontend, more = validate(
                lambda data: _validated(FrontendSpec, data, secrets), _lifted(node), node, FrontendSpec
            )
            frontends += [frontend] if frontend is not None else []
            found += more
        unfilled = reading.substitution.problems
        # What could not be filled in is wrong once, whatever an empty text breaks on top of it.
        broken = {problem.position for problem in unfilled}
        problems += unfilled + [problem for problem in [*found, *check(root)] if problem.position not in broken]
        hide_secrets(root, secrets)
    if any(problem.severity == "error" for problem in problems):
        spec = None
    order = {str(file): number for number, file in enumerate(reading.files)}
    problems.sort(key=lambda problem: (order[problem.position.file], problem.position))
    return Loaded(
        spec,
        tuple(masked(problem, secrets) for problem in problems),
        tuple(reading.files),
        reading.sources,
        frozenset(secrets),
        root,
        tuple(frontends) if spec is not None else (),
        _digest(reading.sources),
        files if files is not None else disk.kept(),
    )


def _validated(holder: type[Holder], data: dict[str, Any], secrets: set[str]) -> Holder:
    """`data` as a spec, its routes and upstreams one by one: validation is native code, in which nothing else runs, and
    that of 10,000 routes takes half a second. ValidationError as if all were validated at once."""
    given = dict(data)
    if isinstance(data.get("upstreams"), dict):
        given["upstreams"] = {name: _each(UpstreamSpec, one, secrets) for name, one in data["upstreams"].items()}
    routes = data.get("routes")
    if not isinstance(routes, list):
        return holder.model_validate(given, context=secrets)
    given["routes"] = [_each(RouteSpec, one, secrets) for one in routes]
    if not all(isinstance(one, RouteSpec) for one in given["routes"]):
        return holder.model_validate(given, context=secrets)
    valid = tuple(given.pop("routes"))
    return holder.model_validate(given, context=secrets).model_copy(update={"routes": valid})


def _each(model: type[BaseModel], data: Any, secrets: set[str]) -> Any:
    """The spec, or what is none as it is: where it stands in the whole its mistakes get their place."""
    try:
        return model.model_validate(data, context=secrets)
    except ValidationError:
        return data


def _digest(sources: Mapping[str, list[str]]) -> str:
    found = hashlib.sha256()
    for name, lines in sources.items():
        found.update(f"{name}\0{len(lines)}\0".encode())
        for line in lines:
            found.update(f"{line}\n".encode())
    return found.hexdigest()[:16]


class _Reading:
    """The files of one configuration as they are read. `problems`, `files`, `sources` and `frontends` grow."""

    def __init__(self, path: FilePath, substitution: Substitution, source: Files) -> None:
        self._path = path
        self._source = source
        self.substitution = substitution
        self.problems: list[Problem] = []
        self.files: list[FilePath] = []
        self.sources: dict[str, list[str]] = {}
        self.frontends: list[Node] = []

    def merged(self) -> Node | None:
        """The main file's tree with everything that includes add; None when the main file cannot be read."""
        root = self._read(self._path)
        if root is None:
            return None
        for path in self._included(root):
            included = self._read(path)
            if included is not None:
                self._add(included, root)
        if "frontends" in root.value:
            hint = "a frontend has a file of its own, which begins with `frontend: NAME`: include it"
            self.problems.append(Problem(root.key_position("frontends"), "unknown key 'frontends'", hint))
            del root.value["frontends"]
        if self.frontends:
            root.value["frontends"] = root.made(self.frontends)
        return root

    def _read(self, path: FilePath) -> Node | None:
        self.files.append(path)
        document = self._document(path)
        self.sources[str(path)] = document.source.lines
        self.problems += document.problems
        for node in document.substitutable:
            self.substitution.apply(node)
        return document.root

    def _document(self, path: FilePath) -> Document:
        try:
            return parse(str(path), self._source.read(path))
        except OSError as error:
            document = parse(str(path), b"")
            reason = (error.strerror or str(error)).lower()
            document.source.lines = []
            document.problems[:] = [Problem(Position(str(path), 1, 1), f"cannot read the file: {reason}")]
            return document

    def _included(self, root: Node) -> Iterator[FilePath]:
        include = root.child("include")
        folder = self._path.parent
        seen = {self._source.identity(self._path)}
        for node in include.value if include is not None and isinstance(include.value, list) else ():
            if not isinstance(node.value, str):
                continue
            files = self._source.matches(node.value, folder)
            if not files:
                message = f"include: {node.value!r} matches no file"
                self.problems.append(Problem(node.position, message, severity="warning"))
            for file in files:
                identity = self._source.identity(file)
                if identity not in seen:
                    seen.add(identity)
                    yield file

    def _add(self, included: Node, root: Node) -> None:
        """What an included file brings: all of it to the main file, or a frontend, but for its upstreams."""
        own = _IN_FRONTENDS if "frontend" in included.value else ()
        merged = ("upstreams",) if own else _IN_INCLUDES
        for key, node in included.value.items():
            position = included.key_position(key)
            if key == "version":
                if node.value is True or node.value != 1:
                    self.problems.append(Problem(node.position, "version: should be 1"))
            elif key in merged:
                self._merge(key, node, root)
            elif key not in own:
                self.problems.append(_misplaced(key, position, (*own, *merged)))
        if own:
            # A key with nothing under it is as good as absent, as in the main file.
            kept = {key: node for key, node in included.value.items() if key in own}
            given = {key: node for key, node in kept.items() if node.value is not None or key == "frontend"}
            self.frontends.append(included.made(given))

    def _merge(self, key: str, node: Node, root: Node) -> None:
        wanted = list if key in _MERGED_LISTS else dict
        if node.value is None:
            return
        if not isinstance(node.value, wanted):
            what = "a list" if wanted is list else "a mapping (key: value)"
            self.problems.append(Problem(node.position, f"{key}: should be {what}"))
            return
        mine = root.value.get(key)
        if mine is None or mine.value is None:
            root.value[key] = node
        elif isinstance(mine.value, list) and wanted is list:
            mine.value.extend(node.value)
        elif isinstance(mine.value, dict) and wanted is dict:
            self._merge_upstreams(node, mine)

    def _merge_upstreams(self, node: Node, mine: Node) -> None:
        for name, upstream in node.value.items():
            if name in mine.value:
                hint = f"the other is at {mine.key_position(name)}"
                self.problems.append(Problem(node.key_position(name), f"two upstreams are named {name!r}", hint))
            else:
                mine.value[name] = upstream


def _misplaced(key: str, position: Position, allowed: tuple[str, ...]) -> Problem:
    if key in ConfigSpec.model_fields:
        hint = f"an included file may hold {', '.join(_IN_INCLUDES)}"
        if "frontend" in allowed:
            hint = f"a frontend's file may hold {', '.join(allowed)}"
        return Problem(position, f"{key!r} belongs in the main file", hint)
    return unknown_key(key, (), position, allowed)


def _plain(root: Node) -> dict[str, Any]:
    """The main file's tree as plain data.

    A top-level key with nothing under it, such as `routes:`, is as good as absent.
    """
    data = _lifted(root)
    data.pop("frontends", None)
    for key in [key for key, value in data.items() if value is None and key not in ("version", "name")]:
        if key in ConfigSpec.model_fields:
            del data[key]
    return data


def _lifted(root: Node) -> dict[str, Any]:
    """A file's tree as plain data, plugin entries as PluginUse, so that each knows its place."""
    data: dict[str, Any] = root.plain()
    _lift_plugins(root, data)
    routes = root.child("routes")
    if routes is not None and isinstance(routes.value, list):
        for node, route in zip(routes.value, data["routes"], strict=True):
            if isinstance(route, dict):
                _lift_plugins(node, route)
                _lift_breakers(node, route)
    return data


def _lift_plugins(node: Node, data: dict[str, Any]) -> None:
    plugins = node.child("plugins")
    if plugins is not None and isinstance(plugins.value, list):
        data["plugins"] = [_plugin_use(entry) for entry in plugins.value]


def _lift_breakers(route: Node, data: dict[str, Any]) -> None:
    """The breaker of a composition's part is a plugin too."""
    compose = route.child("compose")
    parts = compose.child("parts") if compose is not None else None
    if parts is None or not isinstance(parts.value, dict):
        return
    for name, part in parts.value.items():
        breaker = part.child("breaker")
        if breaker is not None and isinstance(breaker.value, dict | None):
            plain = data["compose"]["parts"][name]
            plain["breaker"] = PluginUse("breaker", plain["breaker"] or {}, part)


def _plugin_use(entry: Node) -> Any:
    plain = entry.plain()
    try:
        return PluginUse.parse(plain, entry)
    except ValueError:
        # The validation meets the same entry and says so at its place.
        return plain
