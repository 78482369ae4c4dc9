"""What requests agree in, so that those which do go the same way, and stable hashes of it.

The hashes are the same in every worker and after every restart: they choose, they keep no secret.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from urllib.parse import unquote_plus

from gateway.exchange import Exchange, Headers

RequestKey = Callable[[Exchange], str | None]


def request_key(kind: str, name: str = "") -> RequestKey:
    """What reads the key of a request: None where it is absent or empty.

    `kind` is `header`, `cookie`, `query` or `capture`, of that `name`, or `client_ip` or `path` (raw), which have
    none. Of several values the first counts. A query parameter is percent-decoded, a capture is as it was sent.
    ValueError for another kind.
    """
    if kind == "header":
        return lambda exchange: exchange.headers.get(name) or None
    if kind == "cookie":
        return lambda exchange: cookie_value(exchange.headers, name) or None
    if kind == "query":
        return lambda exchange: query_value(exchange.query, name) or None
    if kind == "capture":
        return lambda exchange: exchange.captures.get(name) or None
    if kind == "client_ip":
        return lambda exchange: exchange.client_ip or None
    if kind == "path":
        return lambda exchange: exchange.raw_path
    raise ValueError(f"a request has no key of kind {kind!r}")


def cookie_value(headers: Headers, name: str) -> str | None:
    """The first value of the cookie `name`, as it was sent (RFC 6265 §5.4); None without one."""
    for field in headers.get_all("cookie"):
        if name in field:
            for pair in field.split(";"):
                key, equals, value = pair.partition("=")
                if equals and key.strip(" \t") == name:
                    return value.strip(" \t")
    return None


def query_value(query: str, name: str) -> str | None:
    """The first value of the parameter `name`, decoded, "" for one without `=`; None without one."""
    for pair in query.split("&"):
        key, _, value = pair.partition("=")
        if unquote_plus(key) == name:
            return unquote_plus(value)
    return None


def stable_hash(text: str) -> int:
    """64 bits of BLAKE2b. Any text has one, lone surrogates too."""
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest())


def share_of(text: str) -> float:
    """Where in [0, 1) a text stands.

    Of another hash than `stable_hash`: else the requests that a weighted target gets would share a stretch of the
    hash ring, and most of its endpoints would get none.
    """
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8, person=b"share").digest()
    # A float holds 53 bits: all 64 would round up to 1 in the end.
    return (int.from_bytes(digest) >> 11) / (1 << 53)
