"""Validators of the gateway's own answers, and the 304 that spares the body (RFC 9110 §8.8.3, §13.1.2, §15.4.5).

Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

# As hex digits it is one of 24; a collision would give somebody an old answer.
DIGEST_BYTES: Final = 12
# RFC 9110 §8.8.3, with the commas and blanks around it; the group is the opaque tag with its quotes.
LISTED_TAG: Final = re.compile(r"[ \t,]*(?:W/)?(\"[!#-~\x80-\xff]*\")[ \t]*(?:,[ \t,]*|$)")
# What a 304 tells of the 200 that it stands for (§15.4.5).
TOLD_AGAIN: Final = frozenset(["cache-control", "content-location", "date", "etag", "expires", "vary"])


def entity_tag(body: bytes) -> str:
    """A strong tag for this body, with its quotes. The same in every process and after every restart."""
    return f'"{blake2b(body, digest_size=DIGEST_BYTES).hexdigest()}"'


def weak(tag: str) -> str:
    """The weak tag that matches this one (§8.8.3.2)."""
    return tag if tag.startswith("W/") else f"W/{tag}"


def not_modified(if_none_match: str | None, tag: str) -> bool:
    """Has the client this answer already? So a GET or HEAD is answered with 304 (§13.1.2).

    `if_none_match` is the field's value, several lines joined by commas, None without one. `tag` is the answer's. Both
    may be weak: the comparison is the weak one. A list that is malformed anywhere matches nothing.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip(" \t") == "*":
        return True
    opaque = tag.removeprefix("W/")
    found = False
    at = 0
    while at < len(if_none_match):
        listed = LISTED_TAG.match(if_none_match, at)
        if listed is None:
            return False
        found = found or listed[1] == opaque
        at = listed.end()
    return found


def not_modified_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The fields of the 304 that stands for a 200 with these fields, names in any case."""
    return {name: value for name, value in headers.items() if name.lower() in TOLD_AGAIN}
