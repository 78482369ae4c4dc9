"""Clients that stay: WebSockets that send a message a second, and downloads that read a little a second.

`python -m loadtest.crowd --port N --websockets 500 --downloads 50` prints `ready` once all are open, and at SIGTERM
what became of them, as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import time
from dataclasses import asdict, dataclass, field

from loadtest.bench.stats import p99
from loadtest.long_lived import PATTERN

HANDSHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: bench\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
DOWNLOAD = b"GET /download HTTP/1.1\r\nHost: bench\r\n\r\n"
EVERY = 1.0
# An echo that takes longer is lost.
PATIENCE = 10.0
READ_BYTES = 4096
# Small, so that what is not read stays in the gateway.
RECEIVE_BUFFER = 4096


@dataclass
class Report:
    """What came of them. `closed` are WebSockets that ended or whose handshake was refused, `ended` the clients' ports
    of these, `wrong` messages that came back changed, `broken` downloads that ended, or held another byte than they
    should; `complaints` the first few."""

    open: int = 0
    messages: int = 0
    closed: int = 0
    ended: list[int] = field(default_factory=list)
    wrong: int = 0
    downloads: int = 0
    downloaded: int = 0
    broken: int = 0
    echo_p99_ms: float = 0.0
    complaints: list[str] = field(default_factory=list)

    def complain(self, text: str) -> None:
        if len(self.complaints) < 5:
            self.complaints.append(text)


def frame(payload: bytes) -> bytes:
    """One masked binary message of at most 125 bytes; the mask is all zero (RFC 6455 section 5.3 allows any)."""
    return bytes((0x82, 0x80 | len(payload))) + bytes(4) + payload


async def talk(port: int, number: int, report: Report, latencies: list[float], ready: asyncio.Event) -> None:
    """One WebSocket, until it is cancelled."""
    count = local = 0
    writer: asyncio.StreamWriter | None = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        local = writer.get_extra_info("sockname")[1]
        writer.write(HANDSHAKE)
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise ConnectionError(f"the handshake was answered with {head[:40]!r}")
        report.open += 1
        await ready.wait()
        # Spread over the second, as clients that came one after the other are.
        await asyncio.sleep(number % 100 / 100 * EVERY)
        while True:
            count += 1
            payload = b"%d of %d" % (count, number)
            sent = time.monotonic()
            writer.write(frame(payload))
            async with asyncio.timeout(PATIENCE):
                got = await reader.readexactly(2 + len(payload))
            latencies.append(time.monotonic() - sent)
            report.messages += 1
            if got != bytes((0x82, len(payload))) + payload:
                report.wrong += 1
                report.complain(f"{payload!r} came back as {got!r}")
                raise ConnectionError("it has lost its place")
            await asyncio.sleep(EVERY)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        report.closed += 1
        report.ended.append(local)
        report.complain(f"a WebSocket ended after {count} messages: {error!r}")
    finally:
        _abort(writer)


async def read_slowly(port: int, report: Report, ready: asyncio.Event) -> None:
    """One download, until it is cancelled."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setblocking(False)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    at = 0
    writer: asyncio.StreamWriter | None = None
    try:
        await loop.sock_connect(sock, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=sock, limit=READ_BYTES)
        writer.write(DOWNLOAD)
        async with asyncio.timeout(PATIENCE):
            head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise ConnectionError(f"it was answered with {head[:40]!r}")
        report.downloads += 1
        await ready.wait()
        while True:
            async with asyncio.timeout(PATIENCE):
                data = await reader.readexactly(READ_BYTES)
            begin = at % 256
            if data != PATTERN[begin : begin + READ_BYTES]:
                raise ConnectionError(f"other bytes than it should from {at} on")
            at += READ_BYTES
            report.downloaded += READ_BYTES
            await asyncio.sleep(EVERY)
    except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        report.broken += 1
        report.complain(f"a download ended after {at} bytes: {error!r}")
    finally:
        _abort(writer)
        if writer is None:
            sock.close()


def _abort(writer: asyncio.StreamWriter | None) -> None:
    if writer is not None:
        writer.transport.abort()


async def crowd(port: int, websockets: int, downloads: int) -> Report:
    report, latencies, ready, told = Report(), [], asyncio.Event(), asyncio.Event()  # type: ignore[var-annotated]
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    tasks = []
    for number in range(websockets):
        tasks.append(asyncio.create_task(talk(port, number, report, latencies, ready)))
        if number % 50 == 0:
            await asyncio.sleep(0.02)
    tasks += [asyncio.create_task(read_slowly(port, report, ready)) for _ in range(downloads)]
    while report.open + report.closed < websockets or report.downloads + report.broken < downloads:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    ready.set()
    print("ready", flush=True)
    await told.wait()
    for task in tasks:
        task.cancel()
    for task in tasks:
        with contextlib.suppress(asyncio.CancelledError):
            await task
    report.echo_p99_ms = p99(latencies) * 1000 if latencies else 0.0
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--websockets", type=int, default=500)
    parser.add_argument("--downloads", type=int, default=50)
    options = parser.parse_args()
    work = crowd(options.port, options.websockets, options.downloads)
    try:
        import uvloop

        report = uvloop.run(work)
    except ImportError:
        report = asyncio.run(work)
    print(json.dumps(asdict(report)), flush=True)


if __name__ == "__main__":
    main()
