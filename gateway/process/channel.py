"""Messages between the supervisor and a worker, over a pair of sockets that nobody else has.

A message is the length of what follows (4 bytes, big-endian) and a pickle: both sides are the same program, and one
forked the other.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import pickle
import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

log = logging.getLogger("gateway.process")
LENGTH = struct.Struct("!I")

Answer = Callable[..., Any]


class Gone(Exception):
    """The other side is not there any more, or did not answer in time."""


class Refusal(Exception):
    """The other side says no. The text says why."""


class Channel(asyncio.Protocol):
    """One end. What the other side asks for is one of `answers`, plain or async functions by their names.

    Mutable state: the transport while it is open, bytes of a message that is not all here, who waits for which answer,
    and messages that are held back while the other side begins anew.
    """

    def __init__(self, answers: dict[str, Answer], on_close: Callable[[], None]) -> None:
        """`on_close` is called once, when the other side has gone."""
        self._answers = answers
        self._on_close = on_close
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._held: list[bytes] | None = None

    @property
    def is_open(self) -> bool:
        """Is the other side there?"""
        return self._transport is not None

    async def ask(self, what: str, *arguments: Any, timeout: float | None = None) -> Any:  # noqa: ASYNC109
        """What the other side answers. Gone when it cannot, or does not in `timeout` seconds; Refusal when it says
        no."""
        if self._transport is None:
            raise Gone
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._send(("ask", number, what, arguments))
        try:
            async with asyncio.timeout(timeout):
                return await answer
        except TimeoutError:
            raise Gone from None
        finally:
            self._waiting.pop(number, None)

    def tell(self, what: str, *arguments: Any) -> None:
        """Ask for something, whatever comes of it. Does nothing when the other side has gone."""
        self._send(("ask", 0, what, arguments))

    def hold(self) -> None:
        """From here on keep what is to be said: what is on its way would be lost with who reads it."""
        self._held = []

    def release(self) -> None:
        """Say all of it."""
        held, self._held = self._held, None
        if held and self._transport is not None:
            self._transport.writelines(held)

    @property
    def is_quiet(self) -> bool:
        """Is all said, and every question answered that has come?"""
        return not self._answering and (self._transport is None or not self._transport.get_write_buffer_size())

    def close(self) -> None:
        """End it: the other side sees that as the end of this one."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(Gone())
        self._on_close()

    def data_received(self, data: bytes) -> None:
        received = self._received
        received += data
        while len(received) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(received)
            end = LENGTH.size + size
            if len(received) < end:
                return
            message = pickle.loads(memoryview(received)[LENGTH.size : end].tobytes())
            del received[:end]
            self._take(message)

    def _take(self, message: tuple[Any, ...]) -> None:
        kind, number, *rest = message
        if kind == "ask":
            task = asyncio.get_running_loop().create_task(self._reply(number, *rest))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
            return
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            if kind == "answer":
                answer.set_result(rest[0])
            else:
                answer.set_exception(Refusal(rest[0]))

    async def _reply(self, number: int, what: str, arguments: tuple[Any, ...]) -> None:
        try:
            result = self._answers[what](*arguments)
            if isinstance(result, Awaitable):
                result = await result
            message = "answer", number, result
        except Refusal as refusal:
            message = "refusal", number, str(refusal)
        except Exception as error:
            log.exception("%r was not answered", what)
            message = "refusal", number, f"{type(error).__name__}: {error}"
        if number:
            self._send(message)

    def _send(self, message: tuple[Any, ...]) -> None:
        if self._transport is not None:
            data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
            if self._held is not None:
                self._held.append(LENGTH.pack(len(data)) + data)
            else:
                self._transport.write(LENGTH.pack(len(data)) + data)

    def __repr__(self) -> str:
        return f"<Channel {'open' if self.is_open else 'closed'} waiting={len(self._waiting)}>"
