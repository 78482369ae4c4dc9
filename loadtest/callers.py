"""Connections that ask as soon as they were answered, and connect anew when they end: which requests fail, and where.

For what goes on while processes of the gateway come and go. Raw sockets, answers with Content-Length only.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import cast

from loadtest.own_generator import LENGTH

STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
# An answer that takes longer is none.
PATIENCE = 10.0
CLOSE = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


@dataclass
class Failure:
    """A request that had no answer, or another than 2xx. `local` is the client's port, `kept` says that its connection
    had served before, `at` is the time of the end, by time.monotonic()."""

    local: int
    kept: bool
    why: str
    at: float


@dataclass
class Account:
    """What all callers saw. `refused` are connections that could not be opened."""

    requests: int = 0
    connections: int = 0
    refused: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)
    stopping: bool = False


class Caller(asyncio.Protocol):
    """One connection. Mutable state: its answer as far as it has come, how many came before, and `ended`."""

    def __init__(self, request: bytes, account: Account) -> None:
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._account = account
        self._transport: asyncio.WriteTransport | None = None
        self._local = 0
        self._data = b""
        self._remaining = -1
        self._answered = 0
        self._asked = 0.0
        self._waiting = False
        self._closes = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's transports only look like asyncio's
        self._local = transport.get_extra_info("sockname")[1]
        self._account.connections += 1
        self._ask()

    def _ask(self) -> None:
        assert self._transport is not None
        if self._account.stopping or self._closes:
            self._transport.close()
            return
        self._waiting = True
        self._asked = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        self._data += data
        if self._remaining < 0:
            end = self._data.find(b"\r\n\r\n")
            if end < 0:
                return
            length, status = LENGTH.search(self._data, 0, end + 2), STATUS.match(self._data)
            number = int(status[1]) if status else 0
            self._account.statuses[number] += 1
            if not 200 <= number < 300:
                self._fail(f"answered with {number}")
            self._closes = CLOSE.search(self._data, 0, end + 4) is not None
            self._remaining = end + 4 + (int(length[1]) if length else 0)
        if len(self._data) < self._remaining:
            return
        self._data, self._remaining, self._waiting = b"", -1, False
        self._answered += 1
        self._account.requests += 1
        self._account.latencies.append(time.monotonic() - self._asked)
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if self._waiting and not self._account.stopping:
            self._fail(f"closed with {len(self._data)} bytes of the answer" if error is None else str(error))
        if not self.ended.done():
            self.ended.set_result(None)

    def _fail(self, why: str) -> None:
        self._account.failures.append(Failure(self._local, self._answered > 0, why, time.monotonic()))


async def call(port: int, path: str, account: Account, connections: int) -> None:
    """So many callers, until `account.stopping`."""
    request = b"GET %b HTTP/1.1\r\nHost: bench\r\n\r\n" % path.encode()

    async def caller() -> None:
        loop = asyncio.get_running_loop()
        while not account.stopping:
            try:
                _, protocol = await loop.create_connection(lambda: Caller(request, account), "127.0.0.1", port)
            except OSError:
                account.refused += 1
                await asyncio.sleep(0.01)
                continue
            await protocol.ended

    await asyncio.gather(*(caller() for _ in range(connections)))


async def knock(port: int, path: str, account: Account) -> None:
    """A new connection for each request, one after the other, until `account.stopping`."""
    request = b"GET %b HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n" % path.encode()
    while not account.stopping:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            account.refused += 1
            continue
        account.connections += 1
        local = writer.get_extra_info("sockname")[1]
        try:
            writer.write(request)
            async with asyncio.timeout(PATIENCE):
                answer = await reader.read()
            why = "" if answer.startswith(b"HTTP/1.1 2") else f"answered with {answer[:20]!r}"
        except OSError as error:
            why = str(error)
        writer.close()
        account.requests += 1
        if why:
            account.failures.append(Failure(local, False, why, time.monotonic()))
        await asyncio.sleep(0.002)
