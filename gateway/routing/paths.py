"""One path for all: what the gateway matches is what the service behind it will read, or the answer is 400.

A path is matched decoded once, segment by segment, and forwarded raw. Services differ in how they read `//`, `\\`,
`;`, `%` and dot segments; a path that holds any of them is read the other way too, and both must mean the same.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from gateway.errors import GatewayError, Kind

BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
CONTROL_ESCAPE = re.compile(r"%(?:[01][0-9A-Fa-f]|7[Ff])")
CONTROL = re.compile(rb"[\x00-\x1f\x7f]|%(?:[01][0-9A-Fa-f]|7[Ff])")
# Each round of decoding shortens the path; nobody honest needs more of them.
DECODING_ROUNDS = 8


def is_plain(raw: str) -> bool:
    """Is there only one way to read this path?"""
    return not ("%" in raw or "//" in raw or "/." in raw or ";" in raw or "\\" in raw)


def segments_of(raw: str) -> list[str]:
    """The segments after the leading slash, decoded once. `%2F` stays inside its segment."""
    parts = raw.split("/")
    del parts[0]
    if "%" in raw:
        return [decoded(part) for part in parts]
    return parts


def decoded(segment: str) -> str:
    """One segment, percent-decoded once. What is not UTF-8 is kept byte by byte, so that nothing is lost."""
    if "%" not in segment:
        return segment
    return unquote_to_bytes(segment).decode("utf-8", "surrogateescape")


def check_escapes(raw: str) -> None:
    """GatewayError for a broken escape, or an encoded control character (NUL first of all)."""
    if BAD_ESCAPE.search(raw):
        raise GatewayError(Kind.BAD_REQUEST, "the path holds a broken percent-escape")
    if CONTROL_ESCAPE.search(raw):
        raise GatewayError(Kind.BAD_REQUEST, "the path holds an encoded control character")


def other_reading(raw: str) -> str:
    """The path as the most eager service might read it.

    Decoded until nothing changes, `\\` as `/`, parameters (`;...`) cut, slashes merged, dot segments resolved
    (RFC 3986 §5.2.4). The result is decoded text, for comparing only. GatewayError when it does not settle, or an
    escape or control character comes to light on the way.
    """
    read = raw.encode("utf-8", "surrogateescape")
    for _ in range(DECODING_ROUNDS):
        decoded_once = unquote_to_bytes(read)
        if decoded_once == read:
            break
        if CONTROL.search(decoded_once):
            raise GatewayError(Kind.BAD_REQUEST, "the path holds an encoded control character")
        read = decoded_once
    else:
        raise GatewayError(Kind.AMBIGUOUS_PATH, "the path is percent-encoded too many times")
    path = read.decode("utf-8", "surrogateescape")
    path = path.replace("\\", "/")
    trailing = False
    resolved: list[str] = []
    for segment in path.split("/"):
        name = segment.partition(";")[0]
        trailing = name in ("", ".", "..")
        if name == "..":
            if resolved:
                resolved.pop()
        elif name not in ("", "."):
            resolved.append(name)
    return "/" + "/".join(resolved) + ("/" if trailing and resolved else "")
