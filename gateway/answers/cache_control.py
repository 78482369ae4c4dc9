"""What a response's Cache-Control says (RFC 9111 §5.2), for all who keep answers. Pure."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

# A name, and perhaps an argument, which may be quoted and then holds anything.
DIRECTIVE: Final = re.compile(r"[, \t]*([\w-]+)(?:=(?:\"((?:[^\"\\]|\\.)*)\"|([^\", \t]*)))?[ \t]*(?:,|$)")


class CacheControl(NamedTuple):
    """`directives` are the names in lower case. The ages are in seconds: None where nothing is said, the least one
    where several are, and 0 for what is no number of at most nine digits."""

    directives: frozenset[str]
    max_age: int | None
    s_maxage: int | None


# Whoever wrote it may have meant that.
UNREADABLE: Final = CacheControl(frozenset(["no-store"]), 0, 0)


def read_cache_control(field: str) -> CacheControl:
    """The directives of a field, several lines joined by commas. One that cannot be read says `no-store`."""
    directives: set[str] = set()
    ages: dict[str, list[int]] = {"max-age": [], "s-maxage": []}
    field = field.rstrip(", \t")
    at = 0
    while at < len(field):
        found = DIRECTIVE.match(field, at)
        if found is None:
            return UNREADABLE
        name = found[1].lower()
        directives.add(name)
        if name in ages:
            ages[name].append(delta_seconds(found[2] or found[3] or ""))
        at = found.end()
    return CacheControl(frozenset(directives), min(ages["max-age"], default=None), min(ages["s-maxage"], default=None))


def delta_seconds(text: str) -> int:
    """A number of seconds (RFC 9111 §1.2.2), 0 for what is none of at most nine digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
