"""A connection inside this process: two transports, and what is written to the one is what the other's protocol reads.

asyncio's rules hold as for a socket: `connection_lost` never comes from within a call of the protocol's own, a protocol
whose writes pile up is told to pause, and a closed end still delivers what was written to it before.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from contextvars import Context
from typing import Any, NoReturn

log = logging.getLogger("gateway.application")
# asyncio's own marks for back-pressure, in bytes.
HIGH, LOW = 64 * 1024, 16 * 1024
# Up to here one joined piece is cheaper for the reader than several.
JOIN = 16 * 1024
BROKEN = "the other end of the pipe was aborted"

Buffer = bytes | bytearray | memoryview


class PipeEnd(asyncio.Transport):
    """One end. Callbacks run in `context`, so that nothing of the writer's own context gets to the reader.

    Mutable state: what waits to be read here, whether reading is paused, whether the writer on this side was told to
    pause, and how far the end has come. An end that is `prompt` hands bytes on within the other end's `write`: only for
    a protocol that never writes or closes while it is given bytes.
    """

    __slots__ = (
        "_closing",
        "_context",
        "_high",
        "_info",
        "_input_ended",
        "_loop",
        "_lost",
        "_low",
        "_paused",
        "_prompt",
        "_protocol",
        "_scheduled",
        "_size",
        "_stuck",
        "_waiting",
        "peer",
    )

    peer: PipeEnd

    def __init__(
        self, protocol: asyncio.Protocol, context: Context, *, prompt: bool = False, info: dict[str, Any] | None = None
    ) -> None:
        """`info` is what `get_extra_info` gives."""
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.Protocol = protocol
        self._context = context
        self._prompt = prompt
        self._info = info or {}
        self._waiting: deque[bytes] = deque()
        self._size = 0
        self._high, self._low = HIGH, LOW
        self._paused = self._scheduled = self._stuck = self._closing = self._lost = self._input_ended = False

    # the protocol of this side calls these

    def write(self, data: Buffer) -> None:
        """Hand bytes to the other end."""
        if self._closing or not data:
            return
        reader = self.peer
        if reader._closing:
            return
        # Whoever wrote them may change them from now on.
        piece = data if type(data) is bytes else bytes(data)
        if reader._prompt and not (reader._paused or reader._waiting):
            reader._deliver(piece)
            return
        reader._waiting.append(piece)
        reader._size += len(piece)
        reader._schedule()
        if reader._size > self._high and not self._stuck:
            self._stuck = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[Buffer]) -> None:
        """Hand several pieces to the other end, as one."""
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        """No: an end is open, or closed."""
        return False

    def close(self) -> None:
        """Read no more, and be lost once the other end has read everything."""
        if not self._closing:
            self._closing, self._paused = True, False
            self._drop_input()
            # What the other end writes from now on goes nowhere: it need not wait.
            self._schedule()
            self.peer._end_input()

    def abort(self) -> None:
        """Be lost now. What the other end has not read is gone, and it is told that it was not all."""
        if not self._lost:
            self._lose(None)
            self.peer._lose(ConnectionResetError(BROKEN))

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        if self._waiting or self._input_ended:
            self._schedule()

    def is_reading(self) -> bool:
        return not (self._paused or self._closing)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """As asyncio has it. ValueError unless high >= low >= 0."""
        if high is None:
            high = HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high!r}) must be >= low ({low!r}) must be >= 0")
        self._high, self._low = high, low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return 0 if self._lost else self.peer._size

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._info.get(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.Protocol:
        return self._protocol

    @property
    def _sendfile_compatible(self) -> NoReturn:
        # asyncio's `loop.sendfile` looks here first; uvloop's raises the same by itself. It is the word for aiohttp to
        # read the file and write it.
        raise NotImplementedError("there is no socket to send a file to")

    # from the other end

    def _schedule(self) -> None:
        if not (self._scheduled or self._paused):
            self._scheduled = True
            self._loop.call_soon(self._flush, context=self._context)

    def _flush(self) -> None:
        """Read what waits, until it is all read or reading is paused."""
        self._scheduled = False
        if self._lost:
            return
        waiting = self._waiting
        while waiting and not (self._paused or self._closing):
            if len(waiting) > 1 and self._size <= JOIN:
                piece = b"".join(waiting)
                waiting.clear()
            else:
                piece = waiting.popleft()
            self._size -= len(piece)
            self._deliver(piece)
        writer = self.peer
        if writer._stuck and self._size <= writer._low:
            writer._stuck = False
            writer._protocol.resume_writing()
        if self._input_ended and not (waiting or self._paused):
            self._both_lost()

    def _deliver(self, piece: bytes) -> None:
        try:
            self._protocol.data_received(piece)
        except Exception:
            log.exception("a protocol failed on what it was given")
            self.abort()

    def _end_input(self) -> None:
        """The other end is closed. Once everything is read, both are lost."""
        self._input_ended = True
        if self._closing:
            self._both_lost()
        else:
            self._schedule()

    # the end

    def _both_lost(self) -> None:
        self._lose(None)
        self.peer._lose(None)

    def _drop_input(self) -> None:
        self._waiting.clear()
        self._size = 0

    def _lose(self, error: Exception | None) -> None:
        if self._lost:
            return
        self._lost = self._closing = True
        self._drop_input()
        self._loop.call_soon(self._tell_lost, error, context=self._context)

    def _tell_lost(self, error: Exception | None) -> None:
        try:
            self._protocol.connection_lost(error)
        except Exception:
            log.exception("a protocol failed on the loss of its connection")
        # Two ends that point at each other would be a cycle. Both are lost when one is.
        del self.peer

    def __repr__(self) -> str:
        state = "lost" if self._lost else "closing" if self._closing else "open"
        return f"<{type(self).__name__} {state} waiting={self._size}>"


def join(first: PipeEnd, second: PipeEnd) -> None:
    """Make one pipe of two ends, and tell both their protocols, `second`'s before `first`'s."""
    first.peer, second.peer = second, first
    for end in (second, first):
        made: Callable[[asyncio.BaseTransport], None] = end._protocol.connection_made
        end._context.run(made, end)
