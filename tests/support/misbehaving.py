"""Services that fail in one way or another, and the policies that cope with them."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Any

from gateway.live import LiveExchange
from gateway.upstreams.retry import RetryPolicy, parse_conditions
from tests.support.gateways import Gateway
from tests.support.raw_upstream import Peer

ALL = ("connect", "reset", "timeout", "5xx", "429")
CHUNKED = b"Transfer-Encoding: chunked"


def retry(*on: str, **options: Any) -> RetryPolicy:
    """After any failure or after those named: two tries without a pause, unless told otherwise."""
    conditions, statuses = parse_conditions(on or ALL)
    return RetryPolicy(conditions=conditions, statuses=statuses, **{"base": 0.0, **options})


def status(code: int, *fields: bytes, body: bytes = b"broken") -> bytes:
    """A whole answer."""
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 %d No\r\n%bContent-Length: %d\r\n\r\n%b" % (code, lines, len(body), body)


def exchange_of(running: Gateway, number: int = -1) -> LiveExchange:
    """The last exchange, or another one."""
    exchange = running.recorder.exchanges[number]
    assert isinstance(exchange, LiveExchange)
    return exchange


class InOrder:
    """A balancer: always the first endpoint that is not avoided."""

    def pick(self, choices: Sequence[Any], exchange: object, now: float, avoid: Container[Any] = ()) -> Any:
        """The first of them."""
        return next((choice for choice in choices if choice not in avoid), None)


async def closing(peer: Peer) -> None:
    """Read the request and hang up."""
    await peer.request()


async def resetting(peer: Peer) -> None:
    """Read the request and reset."""
    await peer.request()
    peer.reset()


async def naming(peer: Peer) -> None:
    """The request's target is the answer."""
    while True:
        target = (await peer.request()).first.split(b" ")[1]
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(target), target))
