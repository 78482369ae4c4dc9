"""What requests are counted by: the key of a bucket, and the text that stands for it where others could read it.

A key is never made so that two different ones could be taken for each other: what a client sends is text, a long value
is bytes, and what stands in for something that is not there is a tuple.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from hashlib import blake2b
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any

import orjson

from gateway.auth.claims import claim, consumer_of
from gateway.exchange import Exchange

# A longer value is known by its hash.
LONGEST = 64
ADDRESSES = 10_000
_MAPPED = bytes(10) + b"\xff\xff"
_PLAIN = re.compile(rf"[A-Za-z0-9._:@/-]{{1,{LONGEST}}}")

KeyOf = Callable[[Exchange], Hashable]


class Networks(dict[str, str]):
    """What each address is counted as (see `network`), worked out once. Mutable state: bounded, cleared when full."""

    def __missing__(self, address: str) -> str:
        if len(self) >= ADDRESSES:
            self.clear()
        found = self[address] = network(address)
        return found


def network(address: str) -> str:
    """An IPv6 address is its /64, which one subscriber has at least (RFC 6177 §2); a mapped IPv4 address is the IPv4
    one; everything else is as it is."""
    try:
        packed = inet_pton(AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return address
    if packed.startswith(_MAPPED):
        return inet_ntop(AF_INET, packed[len(_MAPPED) :])
    return inet_ntop(AF_INET6, packed[:8] + bytes(8)) + "/64"


NETWORKS = Networks()


def client(exchange: Exchange) -> str:
    """The client's address, as it is counted."""
    address = exchange.client_ip
    return NETWORKS[address] if ":" in address else address


def key_of(parts: Sequence[str]) -> KeyOf:
    """The function that makes the key of a request from what `by` lists."""
    if len(parts) == 1:
        return _part(parts[0])
    functions = tuple(_part(part) for part in parts)
    return lambda exchange: tuple(function(exchange) for function in functions)


def key_text(parts: Sequence[str], key: Any) -> str:
    """A key of `parts` as text without blanks, braces and secrets: header values, and all that is not short and plain,
    are hashed."""
    keys = (key,) if len(parts) == 1 else key
    return "|".join(_text(part, value) for part, value in zip(parts, keys, strict=True))


def _text(part: str, value: Any) -> str:
    if isinstance(value, tuple):
        return "~" + _text("client_ip", value[0])
    if isinstance(value, bytes):
        return "#" + value.hex()
    if not part.startswith("header:") and _PLAIN.fullmatch(value):
        return str(value)
    return "#" + _hashed(value).hex()


def _part(part: str) -> KeyOf:
    if part == "client_ip":
        return client
    if part == "route":
        return lambda exchange: exchange.route_id
    what, _, name = part.partition(":")
    found: Callable[[Exchange], str | None] = {
        "principal": lambda exchange: exchange.principal,
        "consumer": consumer_of,
        "header": lambda exchange: exchange.headers.get(name),
        "claim": lambda exchange: _claimed(exchange, name),
    }[what]

    def counted(exchange: Exchange) -> Hashable:
        value = found(exchange)
        if not value:
            # A space of its own: who leaves a header out is no better off than who sends one.
            return (client(exchange),)
        return value if len(value) <= LONGEST else _hashed(value)

    return counted


def _claimed(exchange: Exchange, name: str) -> str | None:
    value = claim(exchange.claims or {}, name)
    return value if value is None or isinstance(value, str) else orjson.dumps(value).decode()


def _hashed(value: str) -> bytes:
    # The same in every process: they share the buckets.
    return blake2b(value.encode("utf-8", "surrogatepass"), digest_size=16).digest()
