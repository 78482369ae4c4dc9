"""The client chooses fields: `?fields=id,seller.name`, or JSON:API's sparse fieldsets, `?fields[articles]=title`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias
from urllib.parse import unquote_plus

Choose: TypeAlias = Callable[[Any], Any]
# The fields by name, each with the tree of those of its value; None is all of it.
Tree: TypeAlias = dict[str, Any]


class FieldChoice:
    """Reads what a client chooses with the query parameter `parameter`. Immutable.

    With `jsonapi` the parameter is `parameter[TYPE]` (https://jsonapi.org/format/1.1/#fetching-sparse-fieldsets).
    """

    __slots__ = ("_jsonapi", "_parameter", "_start")

    def __init__(self, parameter: str, jsonapi: bool = False) -> None:
        self._parameter = parameter
        self._jsonapi = jsonapi
        self._start = f"{parameter}["

    def read(self, query: str) -> Choose | None:
        """What leaves the chosen fields of a JSON value, or None where the query chooses none. ValueError, whose text
        may be shown to the client, for what is no choice."""
        if self._parameter not in query and "%" not in query:
            return None
        given = [(name, unquote_plus(part.partition("=")[2])) for name, part in _parts(query) if self._owns(name)]
        if self._jsonapi:
            fieldsets = {self._type_of(name): _names(given, name) for name, _ in given}
            return (lambda value: _sparse(value, fieldsets)) if fieldsets else None
        tree = _tree(_names(given, self._parameter))
        return (lambda value: _chosen(value, tree)) if tree else None

    def strip(self, target: str) -> str:
        """A path with its query, without the parameter. The rest stays byte for byte."""
        path, _, query = target.partition("?")
        parts = _parts(query)
        kept = [part for name, part in parts if not self._owns(name)]
        if len(kept) == len(parts):
            return target
        return f"{path}?{'&'.join(kept)}" if kept else path

    def _owns(self, name: str) -> bool:
        return name.startswith(self._start) and name[-1] == "]" if self._jsonapi else name == self._parameter

    def _type_of(self, name: str) -> str:
        resource_type = name[len(self._start) : -1]
        if not resource_type or "[" in resource_type:
            raise ValueError(f"{name[:80]!r} names no type of resources")
        return resource_type


def _parts(query: str) -> list[tuple[str, str]]:
    """The name of each parameter, and all of it as it came."""
    return [(unquote_plus(part.partition("=")[0]), part) for part in query.split("&")]


def _names(given: list[tuple[str, str]], wanted: str) -> frozenset[str]:
    """All that is listed under one name, however often it is given."""
    listed = ",".join([value for name, value in given if name == wanted])
    return frozenset(name.strip() for name in listed.split(",")) - {""}


def _tree(paths: Iterable[str]) -> Tree:
    tree: Tree = {}
    for path in paths:
        *above, last = path.split(".")
        if not last or "" in above:
            raise ValueError(f"{path[:80]!r} is not a field: write names with dots between them, such as seller.name")
        branch = tree
        for name in above:
            branch = branch.setdefault(name, {})
            if branch is None:
                break
        else:
            branch[last] = None
    return tree


def _chosen(value: Any, tree: Tree) -> Any:
    if isinstance(value, list):
        return [_chosen(item, tree) for item in value]
    if not isinstance(value, dict):
        return value
    chosen = {}
    for name, item in value.items():
        if name in tree:
            below = tree[name]
            chosen[name] = item if below is None else _chosen(item, below)
    return chosen


def _sparse(document: Any, fieldsets: Mapping[str, Collection[str]]) -> Any:
    if not isinstance(document, dict):
        return document
    return {
        name: _resources(item, fieldsets) if name in ("data", "included") else item for name, item in document.items()
    }


def _resources(value: Any, fieldsets: Mapping[str, Collection[str]]) -> Any:
    if isinstance(value, list):
        return [_resources(item, fieldsets) for item in value]
    if not isinstance(value, dict) or not isinstance(value.get("type"), str) or value["type"] not in fieldsets:
        return value
    fields = fieldsets[value["type"]]
    return {
        name: {field: content for field, content in item.items() if field in fields}
        if name in ("attributes", "relationships") and isinstance(item, dict)
        else item
        for name, item in value.items()
    }
