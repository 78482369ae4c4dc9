"""The parts' values as one JSON document: in the order of the file, whatever came first."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.compose.plan import Merge
from gateway.shaping.exact import write

# A part's key, None where its own fields are merged in; and its value, perhaps an orjson.Fragment.
Contribution = tuple[str | None, Any]
# Told of a field that a later part has replaced, as `a.b`.
Collided = Callable[[str], None]


def merged(contributions: Iterable[Contribution], merge: Merge, collided: Collided) -> bytes:
    """The document. Of two parts that say the same field the later one wins; with `deep`, objects are joined."""
    document: dict[str, Any] = {}
    for key, value in contributions:
        fields = value if key is None else {key: value}
        if merge == "deep":
            _join(document, fields, "", collided)
            continue
        if merge == "shallow":
            for name in document.keys() & fields.keys():
                collided(name)
        document.update(fields)
    return write(document)


def _join(into: dict[str, Any], fields: dict[str, Any], place: str, collided: Collided) -> None:
    for name, value in fields.items():
        known = into.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            # What came from a part stays as it is: it may be kept.
            joined = dict(known)
            _join(joined, value, f"{place}{name}.", collided)
            into[name] = joined
        else:
            if name in into:
                collided(place + name)
            into[name] = value
