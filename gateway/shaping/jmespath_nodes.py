"""The nodes of JMESPath's syntax trees as closures, each of which gives what the library's interpreter gives for it.

A maker takes a node and the closures of its children. A closure takes a JSON value and gives a JSON value; it changes
neither the one nor the other.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from gateway.errors import ConfigError
from gateway.shaping.exact import write

# `type`, `value` and `children`, as the library's parser makes them.
Node: TypeAlias = Any
Run: TypeAlias = Callable[[Any], Any]
ORDERINGS: dict[str, Callable[[Any, Any], bool]] = {
    "lt": operator.lt,
    "lte": operator.le,
    "gt": operator.gt,
    "gte": operator.ge,
}


def _is_false(value: Any) -> bool:
    # 0 is true in JMESPath.
    return not value and (value is None or value is False or isinstance(value, str | list | dict))


def _equal(left: Any, right: Any) -> bool:
    # To Python 1 is True.
    return bool(left == right) and isinstance(left, bool) == isinstance(right, bool)


def _comparable(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _itself(node: Node, runs: Sequence[Run]) -> Run:
    return lambda value: value


def _literal(node: Node, runs: Sequence[Run]) -> Run:
    literal = node["value"]
    try:
        write(literal)
    except TypeError:
        raise ConfigError("a literal holds text that is not Unicode") from None
    return lambda value: literal


def _field(node: Node, runs: Sequence[Run]) -> Run:
    name = node["value"]
    return lambda value: value.get(name) if isinstance(value, dict) else None


def _index(node: Node, runs: Sequence[Run]) -> Run:
    index = node["value"]

    def item(value: Any) -> Any:
        if not isinstance(value, list) or not -len(value) <= index < len(value):
            return None
        return value[index]

    return item


def make_slice(node: Node) -> Run:
    """The one node whose children are numbers."""
    start, stop, step = node["children"]
    if step == 0:
        raise ConfigError("the step of a slice is not 0")
    part = slice(start, stop, step)
    return lambda value: value[part] if isinstance(value, list) else None


def _chain(node: Node, runs: Sequence[Run]) -> Run:
    """Each on what the one before it gave."""
    if all(child["type"] == "field" for child in node["children"]):
        return _path([child["value"] for child in node["children"]])
    if len(runs) == 2:
        first, second = runs
        return lambda value: second(first(value))

    def chain(value: Any) -> Any:
        for run in runs:
            value = run(value)
        return value

    return chain


def _path(names: Sequence[str]) -> Run:
    def path(value: Any) -> Any:
        for name in names:
            if not isinstance(value, dict):
                return None
            value = value.get(name)
        return value

    return path


def _object(node: Node, runs: Sequence[Run]) -> Run:
    names = [child["value"] for child in node["children"]]
    picked = [child["children"][0] for child in node["children"]]
    members = tuple(zip(names, runs, strict=True))

    def select(value: Any) -> Any:
        return None if value is None else {name: run(value) for name, run in members}

    if any(child["type"] != "field" for child in picked):
        return select
    fields = tuple(zip(names, [child["value"] for child in picked], strict=True))

    def select_fields(value: Any) -> Any:
        if not isinstance(value, dict):
            return select(value)
        get = value.get
        return {name: get(field) for name, field in fields}

    return select_fields


def _array(node: Node, runs: Sequence[Run]) -> Run:
    return lambda value: None if value is None else [run(value) for run in runs]


def _member(node: Node, runs: Sequence[Run]) -> Run:
    return runs[0]


def _projection(node: Node, runs: Sequence[Run]) -> Run:
    base = runs[0]
    each = None if node["children"][1]["type"] == "identity" else runs[1]
    return lambda value: _projected(base(value), each)


def _values(node: Node, runs: Sequence[Run]) -> Run:
    base, each = runs

    def project(value: Any) -> Any:
        found = base(value)
        return _projected(list(found.values()), each) if isinstance(found, dict) else None

    return project


def _projected(items: Any, each: Run | None) -> list[Any] | None:
    if not isinstance(items, list):
        return None
    if each is None:
        return [item for item in items if item is not None]
    return [found for item in items if (found := each(item)) is not None]


def _filter(node: Node, runs: Sequence[Run]) -> Run:
    base, each, condition = runs

    def project(value: Any) -> Any:
        items = base(value)
        if not isinstance(items, list):
            return None
        return _projected([item for item in items if not _is_false(condition(item))], each)

    return project


def _flatten(node: Node, runs: Sequence[Run]) -> Run:
    (base,) = runs

    def flatten(value: Any) -> Any:
        items = base(value)
        if not isinstance(items, list):
            return None
        merged: list[Any] = []
        for item in items:
            if isinstance(item, list):
                merged += item
            else:
                merged.append(item)
        return merged

    return flatten


def _comparator(node: Node, runs: Sequence[Run]) -> Run:
    left, right = runs
    if node["value"] == "eq":
        return lambda value: _equal(left(value), right(value))
    if node["value"] == "ne":
        return lambda value: not _equal(left(value), right(value))
    compare = ORDERINGS[node["value"]]

    def ordered(value: Any) -> bool | None:
        one, other = left(value), right(value)
        return compare(one, other) if _comparable(one) and _comparable(other) else None

    return ordered


def _or(node: Node, runs: Sequence[Run]) -> Run:
    left, right = runs
    return lambda value: right(value) if _is_false(found := left(value)) else found


def _and(node: Node, runs: Sequence[Run]) -> Run:
    left, right = runs
    return lambda value: found if _is_false(found := left(value)) else right(value)


def _not(node: Node, runs: Sequence[Run]) -> Run:
    (operand,) = runs
    return lambda value: _is_false(operand(value))


MAKERS: dict[str, Callable[[Node, Sequence[Run]], Run]] = {
    "and_expression": _and,
    "comparator": _comparator,
    "current": _itself,
    "field": _field,
    "filter_projection": _filter,
    "flatten": _flatten,
    "identity": _itself,
    "index": _index,
    "index_expression": _chain,
    "key_val_pair": _member,
    "literal": _literal,
    "multi_select_dict": _object,
    "multi_select_list": _array,
    "not_expression": _not,
    "or_expression": _or,
    "pipe": _chain,
    "projection": _projection,
    "subexpression": _chain,
    "value_projection": _values,
}
