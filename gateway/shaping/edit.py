"""Fields of a JSON value are renamed and removed by dotted paths, which go through lists: `items.internal_id`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway.errors import ConfigError


class Rule:
    """What becomes of one field: `name` is its new one, None takes it away. `below` are the rules for its value."""

    __slots__ = ("below", "name")

    def __init__(self, name: str) -> None:
        self.name: str | None = name
        self.below: dict[str, Rule] = {}


class Edit:
    """Called with a JSON value it returns the edited one, which shares with it what was not touched. Immutable.

    All paths are those of the value as it comes: `{a: b, b: a}` exchanges two fields. A renamed field keeps its place,
    and one that had the new name already gives way to it.
    """

    __slots__ = ("_rules",)

    def __init__(self, rules: dict[str, Rule]) -> None:
        self._rules = rules

    def __call__(self, value: Any) -> Any:
        return _edited(value, self._rules)


def compile_edit(rename: Mapping[str, str], remove: Iterable[str]) -> Edit:
    """`rename` gives new names to paths, `remove` lists paths. ConfigError for paths that contradict each other."""
    rules: dict[str, Rule] = {}
    for path in remove:
        _rule(rules, path).name = None
    for path, name in rename.items():
        if "." in name or not name:
            raise ConfigError(f"{path!r} gets a new name and not a path: {name!r} will not do")
        rule = _rule(rules, path)
        if rule.name is None:
            raise ConfigError(f"{path!r} is both renamed and removed")
        rule.name = name
    _check_names(rules)
    return Edit(rules)


def _rule(rules: dict[str, Rule], path: str) -> Rule:
    names = path.split(".")
    if "" in names:
        raise ConfigError(f"{path!r} is not a path: write names with dots between them, such as items.id")
    for name in names[:-1]:
        rules = rules.setdefault(name, Rule(name)).below
    return rules.setdefault(names[-1], Rule(names[-1]))


def _check_names(rules: dict[str, Rule]) -> None:
    taken: dict[str, str] = {}
    for path, rule in rules.items():
        if rule.name is not None and taken.setdefault(rule.name, path) != path:
            raise ConfigError(f"{taken[rule.name]!r} and {path!r} would both be {rule.name!r}")
        _check_names(rule.below)


def _edited(value: Any, rules: dict[str, Rule]) -> Any:
    if isinstance(value, list):
        return [_edited(item, rules) for item in value]
    if not isinstance(value, dict) or rules.keys().isdisjoint(value):
        return value
    given = {rule.name for name, rule in rules.items() if name in value}
    edited: dict[str, Any] = {}
    for name, item in value.items():
        rule = rules.get(name)
        if rule is None:
            if name not in given:
                edited[name] = item
        elif rule.name is not None:
            edited[rule.name] = _edited(item, rule.below) if rule.below else item
    return edited
