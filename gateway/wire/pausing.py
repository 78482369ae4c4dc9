"""A connection that is not read while there are reasons for that."""

from __future__ import annotations

import asyncio

from gateway.wire.client_settings import ClientSettings
from gateway.wire.client_stream import ClientStream

# Why reading, or the response, stands still.
PIPELINE, BODY, WRITE = 1, 2, 4


class PausingConnection(ClientStream):
    """Mutable state besides the stream's: the transport, None before and after, and why reading or the response is
    paused."""

    __slots__ = ("_pauses", "transport")

    def __init__(self, settings: ClientSettings) -> None:
        ClientStream.__init__(self, settings)
        self.transport: asyncio.Transport | None = None
        self._pauses = 0

    @property
    def congested(self) -> int:
        """Not 0 while the peer reads too slowly."""
        return self._pauses & WRITE

    def pause_reading(self) -> None:
        """The other side takes no more of the body just now."""
        self._pause(BODY)

    def resume_reading(self) -> None:
        """The other side takes more."""
        self._resume(BODY)

    def _pause(self, reason: int) -> None:
        if self.transport is not None:
            if not self._pauses & (PIPELINE | BODY):
                self.transport.pause_reading()
            self._pauses |= reason

    def _resume(self, reason: int) -> None:
        if self._pauses & reason:
            self._pauses &= ~reason
            if self.transport is not None and not self._pauses & (PIPELINE | BODY):
                self.transport.resume_reading()
