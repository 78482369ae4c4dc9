"""The generator for machines without wrk: keep-alive connections that ask as soon as they were answered, raw sockets.

Speaks just enough HTTP for the bench: answers with Content-Length, or messages of WebSockets in place of requests.
Prints its totals in wrk's words.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from loadtest.bench.stats import p99
from loadtest.websocket_echo import ASKS, echoed, message

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Totals:
    def __init__(self) -> None:
        self.requests = self.unsuccessful = self.read_errors = self.connect_errors = 0
        self.stopping = False
        self.latencies: list[float] = []


class Asker(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, requests: list[bytes], at: int, totals: Totals) -> None:
        self.requests = requests
        self.at = at
        self.totals = totals
        self.head = b""
        self.remaining = 0
        self.asked = 0.0
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop's transports only look like asyncio's
        self.ask()

    def ask(self) -> None:
        if self.totals.stopping or self.transport is None:
            return
        self.at = (self.at + 1) % len(self.requests)
        self.asked = time.monotonic()
        self.transport.write(self.requests[self.at])

    def data_received(self, data: bytes) -> None:
        if self.remaining:
            self.remaining -= len(data)
        else:
            self.head += data
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = LENGTH.search(self.head, 0, end)
            if length is None:
                self.totals.read_errors += 1
                return
            if self.head[9:10] not in b"23":
                self.totals.unsuccessful += 1
            self.remaining = int(length[1]) - (len(self.head) - end - 4)
            self.head = b""
        if self.remaining == 0:
            self.totals.requests += 1
            self.totals.latencies.append(time.monotonic() - self.asked)
            self.ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.totals.stopping:
            self.totals.read_errors += 1


class Talker(Asker):
    """One WebSocket, one message at a time."""

    def __init__(self, requests: list[bytes], at: int, totals: Totals, size: int) -> None:
        super().__init__(requests, at, totals)
        self.size = size

    def data_received(self, data: bytes) -> None:
        if self.remaining:
            self.remaining -= len(data)
            if self.remaining == 0:
                self.totals.requests += 1
                self.totals.latencies.append(time.monotonic() - self.asked)
        else:
            self.head += data
            if not self.head.endswith(b"\r\n\r\n"):
                return
            if not self.head.startswith(b"HTTP/1.1 101 "):
                self.totals.unsuccessful += 1
                return
            self.requests = [message(self.size)]
        if self.remaining == 0:
            self.remaining = echoed(self.size)
            self.ask()


async def load(
    host: str, port: int, requests: list[bytes], connections: int, seconds: float, websocket: int
) -> tuple[Totals, float]:
    totals = Totals()
    loop = asyncio.get_running_loop()
    transports: list[asyncio.BaseTransport] = []
    transport: asyncio.BaseTransport
    started = time.monotonic()
    for number in range(connections):
        asker = Talker(requests, number, totals, websocket) if websocket else Asker(requests, number, totals)
        try:
            transport, _ = await loop.create_connection(lambda asker=asker: asker, host, port)  # type: ignore[misc]
            transports.append(transport)
        except OSError:
            totals.connect_errors += 1
    await asyncio.sleep(seconds)
    took = time.monotonic() - started
    totals.stopping = True
    for transport in transports:
        transport.close()
    return totals, took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-c", dest="connections", type=int, default=32)
    parser.add_argument("-d", dest="seconds", type=float, default=3.0)
    parser.add_argument("-H", dest="headers", action="append", default=[])
    parser.add_argument("--paths", type=Path)
    parser.add_argument("--websocket", type=int, default=0, metavar="SIZE")
    parser.add_argument("url")
    options = parser.parse_args()
    url = urlsplit(options.url)
    paths = options.paths.read_text().split() if options.paths else [url.path]
    headers = "\r\n".join([f"Host: {url.netloc}", *options.headers, *(ASKS if options.websocket else ())])
    requests = [f"GET {path} HTTP/1.1\r\n{headers}\r\n\r\n".encode() for path in paths]
    host, port = url.hostname or "127.0.0.1", url.port or 80
    work = load(host, port, requests, options.connections, options.seconds, options.websocket)
    try:
        import uvloop

        totals, took = uvloop.run(work)
    except ImportError:
        totals, took = asyncio.run(work)
    if totals.latencies:
        print(f"     99%  {p99(totals.latencies) * 1000:.2f}ms")
    print(f"  {totals.requests} requests in {took:.2f}s, 0MB read")
    if totals.read_errors or totals.connect_errors:
        print(f"  Socket errors: connect {totals.connect_errors}, read {totals.read_errors}, write 0, timeout 0")
    if totals.unsuccessful:
        print(f"  Non-2xx or 3xx responses: {totals.unsuccessful}")


if __name__ == "__main__":
    main()
