"""Two connections whose bytes go from one to the other as they come: what is passed through is not looked at."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from gateway.wire.deadlines import NEVER, Deadlines
from gateway.wire.transport import opened, reset

if TYPE_CHECKING:
    from gateway.wire.client_settings import ClientSettings, Connection

log = logging.getLogger("gateway.wire")
# How long what is buffered for one side may take to get there when the other side has gone.
LINGER = 10.0


class RelayEnd(asyncio.Protocol):
    """One of the two connections. Mutable state: its transport while it is open, the bytes that came from it, what came
    before the other one was there, and whether its sending side is closed."""

    __slots__ = ("_early", "finished", "other", "received", "relay", "transport")

    other: RelayEnd

    def __init__(self, relay: Relay) -> None:
        self.relay = relay
        self.transport: asyncio.Transport | None = None
        self.received = 0
        self.finished = False
        self._early = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = opened(transport)
        other = self.other
        if self.relay.exchange is None:
            self.transport.abort()
        elif other.transport is None:
            self.transport.pause_reading()
        else:
            self.transport.write(other._early)
            other._early = b""
            if other.finished:
                self.transport.write_eof()
            other.transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        self.received += len(data)
        self.relay.passed()
        other = self.other.transport
        if other is None:
            self._early += data
        else:
            other.write(data)

    def eof_received(self) -> bool:
        self.finished = True
        other = self.other
        if other.transport is None:
            return True
        if other.finished:
            self.relay.close()
            return False
        self.relay.passed()
        other.transport.write_eof()
        return True

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self.relay.passed()
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self.relay.lost(self, error)


class Relay:
    """A connection of a client, and the one to an endpoint that takes its bytes.

    Mutable state: both ends, and the deadline, which each passed slice moves on. `exchange` is itself until it is over;
    `reason` is why that was, "" when both sides were done.
    """

    __slots__ = (
        "_connections",
        "_deadlines",
        "_ended",
        "_idle",
        "check_at",
        "client",
        "deadline",
        "exchange",
        "reason",
        "upstream",
    )

    def __init__(
        self, connections: set[Connection], deadlines: Deadlines, idle: float, ended: Callable[[Relay], None]
    ) -> None:
        """It is one of `connections` until both ends are closed, and `ended` is called. `idle` is in seconds."""
        self.deadline = self.check_at = NEVER
        self.exchange: Relay | None = self
        self.reason = ""
        self.client, self.upstream = RelayEnd(self), RelayEnd(self)
        self.client.other, self.upstream.other = self.upstream, self.client
        self._connections = connections
        self._deadlines = deadlines
        self._idle = idle
        self._ended: Callable[[Relay], None] | None = ended
        connections.add(self)
        deadlines.watch(self, time.monotonic() + idle)

    def passed(self) -> None:
        """Bytes have come, or gone where they were held up."""
        self.deadline = time.monotonic() + self._idle

    def close(self) -> None:
        """Close both ends after what is still to be written."""
        for end in (self.client, self.upstream):
            if end.transport is not None:
                end.transport.close()
        self._deadlines.watch(self, time.monotonic() + LINGER)

    def abort(self, reason: str) -> None:
        """Break both ends, so that neither takes what it got for whole."""
        self.reason = self.reason or reason
        for end in (self.client, self.upstream):
            if end.transport is not None:
                reset(end.transport)
        if self.client.transport is None and self.upstream.transport is None:
            self._end()

    def lost(self, end: RelayEnd, error: Exception | None) -> None:
        """One end is closed: so is the other."""
        if error is not None:
            side = "client" if end is self.client else "upstream"
            self.abort(f"the {side} broke off")
        elif end.other.transport is not None:
            self.close()
        else:
            self._end()

    def expired(self, now: float) -> None:
        """Nothing has passed for too long."""
        self.abort("idle for too long")

    # for the listener

    def adopt(self, settings: ClientSettings) -> None:
        """A reload changes nothing for what is under way."""

    def close_when_idle(self) -> None:
        """It goes on until the time to stop is over."""

    def stopping(self) -> None:
        """As above."""

    def break_off(self) -> None:
        """The time to stop is over."""
        self.abort("the gateway stopped")

    def _end(self) -> None:
        ended, self._ended = self._ended, None
        if ended is None:
            return
        self._deadlines.forget(self)
        self._connections.discard(self)
        self.exchange = None
        try:
            ended(self)
        except Exception:
            log.exception("the end of a connection that was passed through was not handled")

    def __repr__(self) -> str:
        return f"<Relay {self.client.received} bytes in, {self.upstream.received} out>"
