"""A plugin with a fallback, and services that make it necessary."""

from __future__ import annotations

from typing import Any, NoReturn

from gateway.errors import GatewayError, Kind
from gateway.exchange import Attempt, Exchange, Reply
from gateway.plugin import Failure, Plugin
from tests.support.misbehaving import status
from tests.support.raw_upstream import Peer, Script

INSTEAD = Reply.text(200, "instead")


class Fallback(Plugin):
    """Answers failures with `reply`, or sends their requests to the upstream `to`. `asked` holds what it saw."""

    def __init__(self, reply: Reply | None = None, to: str = "", resends: bool = True, raises: bool = False) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "fallback"
        self.reply, self.to, self.resends, self.raises = reply, to, resends, raises
        self.asked: list[Failure] = []

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        self.asked.append(failure)
        if self.raises:
            raise RuntimeError("no fallback")
        if self.to:
            exchange.set_upstream(self.to)
        return self.reply


class Attempting(Plugin):
    """Calls `act(exchange, attempt)` in on_attempt; what it returns is the answer."""

    def __init__(self, act: Any) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.name = "attempting"
        self._act = act

    def on_attempt(self, exchange: Exchange, attempt: Attempt) -> Reply | None:
        return self._act(exchange, attempt)  # type: ignore[no-any-return]


def refuse(*arguments: object) -> NoReturn:
    """What an open breaker does, in any phase."""
    raise GatewayError(Kind.BREAKER_OPEN)


async def endless(peer: Peer) -> None:
    """A 500 that goes on until it is cut off."""
    await peer.request()
    peer.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"ffff\r\n" + bytes(0xFFFF) + b"\r\n")
        await peer.writer.drain()


async def early(peer: Peer) -> None:
    """Refuse a request by its head alone."""
    await peer.head()
    peer.send(status(500))
    await peer.gone()


def devouring(size: int, *answer: bytes) -> Script:
    """Read so many bytes of a body, then send an answer, or reset."""

    async def script(peer: Peer) -> None:
        await peer.head()
        await peer.reader.readexactly(size)
        for piece in answer:
            peer.send(piece)
        if not answer:
            peer.reset()

    return script
