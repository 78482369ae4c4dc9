"""Names of the header fields that carry credentials and identities."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product

from gateway.wire.fields import FRAMING, TOKEN
from gateway.wire.headers import FORGEABLE, FORGEABLE_PREFIX, NEVER_UPSTREAM, lower_spelling

MOST_SEPARATORS = 4
# What says where a message ends or where it came from, in lower case: fields that the gateway alone writes.
_OURS = FRAMING | NEVER_UPSTREAM | FORGEABLE | {b"host", b"via"}
# What the gateway says of the client; others of X-Forwarded-* may well say who it is.
_OF_THE_CLIENT = frozenset([b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-port", b"x-forwarded-proto"])
# Clients need these for themselves.
_THE_CLIENTS = frozenset([b"authorization", b"cookie"])


def check_credential_header(name: str) -> None:
    """ValueError for what is no name for a header with a credential: HTTP does not allow it, or the gateway takes such
    a field out of a request before plugins see it."""
    spelling = _spelling(name, "X-Api-Key")
    if spelling in _OURS or spelling.startswith(FORGEABLE_PREFIX):
        raise ValueError(f"{name} is the gateway's own; write another such as X-Api-Key")
    if len(re.findall("[-_]", name)) > MOST_SEPARATORS:
        raise ValueError(f"{name} has more than {MOST_SEPARATORS} hyphens; write a shorter name such as X-Api-Key")


def check_identity_headers(names: Iterable[str], credential: str = "Authorization") -> None:
    """ValueError for a header that cannot tell services who asks, or is there twice.

    Clients' own copies of these are removed on every route, so `credential`, the one that is read, is none of them.
    """
    read = _THE_CLIENTS | {lower_spelling(credential.encode())}
    seen: set[bytes] = set()
    for name in names:
        spelling = _spelling(name, "X-User-Id")
        if spelling in _OURS or spelling in _OF_THE_CLIENT:
            raise ValueError(f"{name} has a meaning of its own and cannot carry an identity; write X-User-Id")
        if spelling in read:
            raise ValueError(f"{name} would be taken out of every client's request; write another such as X-User-Id")
        if spelling in seen:
            raise ValueError(f"{name} is set twice; give each a header of its own")
        seen.add(spelling)


def _spelling(name: str, example: str) -> bytes:
    if not TOKEN.fullmatch(name.encode()):
        raise ValueError(f"{name!r} is no header name; write one such as {example}")
    return lower_spelling(name.encode())


def other_spellings(name: str) -> tuple[str, ...]:
    """What CGI-like services take for `name`, since they cannot tell `-` and `_` apart."""
    words = re.split("[-_]", name)
    spellings = (
        "".join(part for pair in zip(words, (*separators, ""), strict=True) for part in pair)
        for separators in product("-_", repeat=len(words) - 1)
    )
    return tuple(spelling for spelling in spellings if spelling != name)
