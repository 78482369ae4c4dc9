"""Requests at a steady rate, however fast they are answered: what a limit lets through, second by second."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass, field

from loadtest.own_generator import LENGTH

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


@dataclass
class Tally:
    """What came back. `admitted` counts answers with 200 by the second, from the start, in which they came."""

    sent: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    admitted: Counter[int] = field(default_factory=Counter)
    slowest: float = 0.0

    def per_second(self, seconds: int) -> list[int]:
        """Admitted in each whole second but the first, in which a burst passes, and the last."""
        return [self.admitted[second] for second in range(1, seconds - 1)]


class Sender(asyncio.Protocol):
    """One connection. Requests wait in the kernel while earlier ones are answered."""

    def __init__(self, request: bytes, tally: Tally, started: float) -> None:
        self._request = request
        self._tally = tally
        self._started = started
        self._pending: list[float] = []
        self._data = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def send(self) -> None:
        """One more request."""
        if self._transport is not None and not self._transport.is_closing():
            self._tally.sent += 1
            self._pending.append(time.monotonic())
            self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        while (end := self._data.find(b"\r\n\r\n")) >= 0:
            length = LENGTH.search(self._data, 0, end + 2)
            size = end + 4 + (int(length[1]) if length else 0)
            if len(self._data) < size:
                return
            status = STATUS.match(self._data)
            self._data = self._data[size:]
            self._answered(int(status[1]) if status else 0)

    def _answered(self, status: int) -> None:
        tally, now = self._tally, time.monotonic()
        tally.statuses[status] += 1
        if status == 200:
            tally.admitted[int(now - self._started)] += 1
        tally.slowest = max(tally.slowest, now - self._pending.pop(0))


async def offer(port: int, path: str, rate: int, seconds: int, connections: int = 60) -> Tally:
    """Offer `rate` requests a second to `path` on loopback for so many seconds."""
    tally, started = Tally(), time.monotonic()
    request = b"GET %b HTTP/1.1\r\nHost: bench\r\n\r\n" % path.encode()
    loop = asyncio.get_running_loop()
    senders = []
    for _ in range(connections):
        _, sender = await loop.create_connection(lambda: Sender(request, tally, started), "127.0.0.1", port)
        senders.append(sender)
    due = 0
    while (passed := time.monotonic() - started) < seconds:
        while due < passed * rate:
            senders[due % connections].send()
            due += 1
        await asyncio.sleep(0.002)
    for _ in range(500):
        if sum(tally.statuses.values()) >= tally.sent:
            break
        await asyncio.sleep(0.01)
    for sender in senders:
        if sender._transport is not None:
            sender._transport.abort()
    return tally
