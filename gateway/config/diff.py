"""What two effective configurations, as `dump` shows them, have different: by routes, upstreams, plugins and settings,
whatever their files look like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from gateway.config.nodes import Path
from gateway.config.validation import dotted

Data = Mapping[str, Any]

ABSENT: Final = object()
# What is compared entry by entry, not as settings. The format's own version says nothing.
_ENTRIES = ("version", "plugins", "upstreams", "routes", "frontends")


@dataclass(frozen=True, slots=True)
class Detail:
    """One value that is different. `at` is where it is in the second tree; ABSENT stands for no value."""

    key: str
    at: Path
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One entry that is different. `what` is route, upstream, plugin, frontend or setting; `at` is where it is in the
    second tree, None for what is removed. `details` are for what is changed."""

    kind: Literal["added", "removed", "changed"]
    what: str
    name: str
    at: Path | None
    details: tuple[Detail, ...] = ()


def differences(before: Data, after: Data) -> list[Change]:
    """Settings first, then plugins, upstreams, frontends and routes, each in the order of `after`."""
    changes = [
        Change("changed", "setting", detail.key, detail.at, (detail,))
        for detail in _details(_settings(before), _settings(after), (), ())
    ]
    for what, key in (("plugin", "plugins"), ("upstream", "upstreams"), ("frontend", "frontends"), ("route", "routes")):
        old, new = _entries(before, key), _entries(after, key)
        changes += _among(what, old, new)
        if what in ("plugin", "route") and _reordered(old, new):
            changes.append(Change("changed", "setting", f"order of {key}", (key,)))
    return changes


def _among(what: str, old: Mapping[str, tuple[Path, Any]], new: Mapping[str, tuple[Path, Any]]) -> Iterator[Change]:
    for name, (at, data) in new.items():
        if name not in old:
            yield Change("added", what, name, at)
            continue
        details = tuple(_details(old[name][1], data, at, ()))
        if details:
            yield Change("changed", what, name, at, details)
    yield from (Change("removed", what, name, None) for name in old if name not in new)


def _settings(data: Data) -> dict[str, Any]:
    return {key: value for key, value in data.items() if key not in _ENTRIES}


def _entries(data: Data, key: str) -> dict[str, tuple[Path, Any]]:
    """The entries of a kind by name, each with its place; those of frontends are named FRONTEND/NAME."""
    found = dict(_own_entries(data, key, ()))
    for number, frontend in enumerate(data["frontends"]):
        own = _own_entries(frontend, key, ("frontends", number)) if key in frontend else ()
        found |= {f"{frontend['frontend']}/{name}": entry for name, entry in own}
    return found


def _own_entries(data: Data, key: str, at: Path) -> Iterator[tuple[str, tuple[Path, Any]]]:
    if key == "upstreams":
        yield from ((name, ((*at, key, name), upstream)) for name, upstream in data[key].items())
    elif key == "plugins":
        yield from ((name, ((*at, key, *place), options)) for name, place, options in _plugins(data[key]))
    elif key == "routes":
        yield from ((route["name"], ((*at, key, number), route)) for number, route in enumerate(data[key]))
    else:
        for number, frontend in enumerate(data[key]):
            own = {name: value for name, value in frontend.items() if name not in _ENTRIES}
            yield frontend["frontend"], ((*at, key, number), own)


def _plugins(entries: Sequence[Any]) -> Iterator[tuple[str, Path, Any]]:
    """Name, place in the list, and options of each; the second of a name is `name#2`."""
    seen: dict[str, int] = {}
    for number, entry in enumerate(entries):
        name, options = next(iter(entry.items())) if isinstance(entry, dict) else (entry, {})
        count = seen[name] = seen.get(name, 0) + 1
        yield name if count == 1 else f"{name}#{count}", (number, name), options


def _details(old: Any, new: Any, at: Path, key: Path) -> Iterator[Detail]:
    if isinstance(old, dict) and isinstance(new, dict):
        for name in dict.fromkeys((*new, *old)):
            before, after = old.get(name, ABSENT), new.get(name, ABSENT)
            if name == "plugins" and isinstance(before, list) and isinstance(after, list):
                yield from _plugin_details(before, after, (*at, name), (*key, name))
            else:
                yield from _details(before, after, (*at, name), (*key, name))
    elif old is ABSENT or new is ABSENT or old != new:
        yield Detail(dotted(key), at, old, new)


def _plugin_details(before: Sequence[Any], after: Sequence[Any], at: Path, key: Path) -> Iterator[Detail]:
    """Of a route's own plugins."""
    old = {name: (place, options) for name, place, options in _plugins(before)}
    new = {name: (place, options) for name, place, options in _plugins(after)}
    for name in dict.fromkeys((*new, *old)):
        place, options = new.get(name, ((), ABSENT))
        yield from _details(old.get(name, ((), ABSENT))[1], options, (*at, *place), (*key, name))
    if _reordered(old, new):
        yield Detail(f"order of {dotted(key)}", at, list(old), list(new))


def _reordered(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Are the entries that both have in another order?"""
    return [name for name in old if name in new] != [name for name in new if name in old]
