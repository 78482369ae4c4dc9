"""Single header fields: what HTTP allows, what the gateway keeps to itself, and a field as bytes."""

from __future__ import annotations

import re

from gateway.wire.headers import HOP_BY_HOP

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 §5.5: no control characters but the tab.
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
# Header names that were found well formed and free to use, with their lower-case bytes; bounded.
FIELD_KEYS: dict[str, bytes] = {}
KEYS_KEPT = 1024
PRINTABLE = bytes(range(0x20, 0x7F))
# What the gateway alone says, since it frames every message anew.
FRAMING = HOP_BY_HOP | {b"content-length"}


def is_plain(text: str) -> bool:
    """Is all of it printable ASCII?"""
    if not text.isascii():
        return False
    # `isprintable` looks each letter up, at a quarter of the cost for short text and four times that of a token.
    return text.isprintable() if len(text) < 64 else not text.encode().translate(None, PRINTABLE)


def field_line(name: str, value: str) -> bytes:
    """`name: value` with its CRLF. ValueError for what HTTP does not allow, response splitting included, and for
    the fields that frame a message."""
    raw, encoded = checked_field(name, value)
    if raw.lower() in FRAMING:
        raise ValueError(f"{name} is the gateway's own, which frames every message anew")
    if len(FIELD_KEYS) < KEYS_KEPT and raw.lower() != b"host":
        FIELD_KEYS[name] = raw.lower()
    return b"%b: %b\r\n" % (raw, encoded)


def checked_field(name: str, value: str) -> tuple[bytes, bytes]:
    """A field as bytes. ValueError for a name or a value that HTTP does not allow.

    Text that latin-1 cannot hold is sent as UTF-8, which is what services make of it.
    """
    raw = name.encode("latin-1", "replace")
    if not TOKEN.fullmatch(raw):
        raise ValueError(f"{name!r} is not a header name")
    try:
        encoded = value.encode("latin-1")
    except UnicodeEncodeError:
        encoded = value.encode("utf-8")
    if not FIELD_VALUE.fullmatch(encoded):
        raise ValueError(f"the value of {name} holds a control character")
    return raw, encoded


def tokens(values: list[bytes]) -> set[bytes]:
    """The lower-case members of a comma-separated field (RFC 9110 §5.6.1)."""
    return {part.strip().lower() for value in values for part in value.split(b",")} - {b""}
