"""The memory scenarios: idle connections, and bodies of a gibibyte that move slowly."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from typing import Any

from loadtest.bench.generator import HEADERS
from loadtest.bench.measure import peak_memory, proportional_memory, reset_peak, resident_memory
from loadtest.bench.peers import SMALL, Instance, start
from loadtest.bench.process import HarnessError, free_port
from loadtest.bench.results import MIB, Figure
from loadtest.bench.scenarios import Bench, say

WARM_UP_CONNECTIONS = 200
SLOW_RATE = 1_000_000  # bytes a second
SLOW_STEP = 0.1
RECEIVE_BUFFER = 256 * 1024  # of the slow side, or the kernel would take megabytes before anybody felt the slowness
BLOCK = bytes(256 * 1024)


# Idle connections


def idle(bench: Bench) -> None:
    """Connections that asked once and are kept open: growth of the proportional set size, by connection, full chain."""
    bench.stop_all()
    for peer in bench.peers:
        try:
            each = idle_cost(bench.instance(peer, "full"), bench.plan.idle_connections)
        except (OSError, HarnessError) as error:
            bench.problem(f"idle, {peer}: {error}")
        else:
            bench.results.figures[f"idle.{peer}"] = Figure("idle", each, "KB", f"an idle connection of {peer}")
            say(f"  idle {peer:<10} {each:6.2f} KB a connection")
        bench.stop_all()


def idle_cost(instance: Instance, connections: int) -> float:
    """Kilobytes per idle connection. What the first few hundred connections warm up is no part of it."""
    for connection in open_idle(instance.port, WARM_UP_CONNECTIONS):
        connection.close()
    time.sleep(0.5)
    before = proportional_memory(instance.child.pid)
    held = open_idle(instance.port, connections)
    time.sleep(0.5)
    after = proportional_memory(instance.child.pid)
    for connection in held:
        connection.close()
    return (after - before) / connections / 1000.0


def open_idle(port: int, count: int) -> list[socket.socket]:
    """Opens connections one after the other, each with one request that was answered."""
    headers = "".join(f"{name}: {value}\r\n" for name, value in HEADERS)
    request = f"GET {SMALL} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{headers}\r\n".encode()
    held: list[socket.socket] = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        connection.sendall(request)
        answer = b""
        while not answer.endswith((b"}", b"0\r\n\r\n")):  # the JSON's end, as it is or in a last chunk
            part = connection.recv(65536)
            if not part:
                raise OSError("a connection was closed instead of kept")
            answer += part
        held.append(connection)
    return held


# Slow bodies

Stream = Callable[[int, socket.socket, int, float], Coroutine[Any, Any, int]]


def slow(bench: Bench) -> None:
    """A large download to a slow client and a large upload to a slow upstream, full chain, at the same time on two
    gateways: by how much the largest resident set exceeds the one before."""
    bench.stop_all()
    for name, growth in asyncio.run(_slow(bench)).items():
        bench.results.figures[f"slow.{name}"] = Figure("slow", growth / MIB, "MiB", f"growth by a slow {name}")
        say(f"  slow {name}: {growth / MIB:.1f} MiB")


async def _slow(bench: Bench) -> dict[str, int]:
    streams: dict[str, Stream] = {"download": download, "upload": upload}
    growths = await asyncio.gather(*(_growth(bench, name, stream) for name, stream in streams.items()))
    return dict(zip(streams, growths, strict=True))


async def _growth(bench: Bench, name: str, stream: Stream) -> int:
    listener = listen(free_port())
    try:
        port = listener.getsockname()[1]
        gateway = start(bench.sandbox, "gateway", "full", port, bench.gateway_core, wait="/ping")
        pid = gateway.child.pid
        await _checked(name, stream(gateway.port, listener, 1 << 20, 0.0), 1 << 20)
        reset_peak(pid)
        before = resident_memory(pid)
        size, seconds = bench.plan.stream_bytes, bench.plan.slow_seconds
        await _checked(name, asyncio.wait_for(stream(gateway.port, listener, size, seconds), seconds + 90), size)
        growth = peak_memory(pid) - before
        bench.sandbox.stop(gateway.child)
        return growth
    finally:
        listener.close()


async def _checked(name: str, stream: Coroutine[Any, Any, int], expected: int) -> None:
    try:
        arrived = await stream
    except (OSError, TimeoutError) as error:
        raise HarnessError(f"the slow {name} failed: {error!r}") from error
    if arrived != expected:
        raise HarnessError(f"the slow {name} moved {arrived} of {expected} bytes")


async def download(port: int, listener: socket.socket, size: int, seconds: float) -> int:
    """The client is slow: how many bytes reached it."""
    loop = asyncio.get_running_loop()

    async def upstream() -> None:
        connection, _ = await loop.sock_accept(listener)
        with connection:
            await read_head(connection)
            await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            await pour(connection, size)
            await loop.sock_recv(connection, 1)  # until the gateway has read all and lets go, or the test ends

    serving = asyncio.create_task(upstream())
    try:
        with await connect(port) as client:
            await loop.sock_sendall(client, b"GET /stream/down HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            extra = await read_head(client)
            return len(extra) + await drink(client, size - len(extra), seconds)
    finally:
        serving.cancel()


async def upload(port: int, listener: socket.socket, size: int, seconds: float) -> int:
    """The upstream is slow: how many bytes reached it."""
    loop = asyncio.get_running_loop()

    async def upstream() -> int:
        connection, _ = await loop.sock_accept(listener)
        with connection:
            extra = await read_head(connection)
            arrived = len(extra) + await drink(connection, size - len(extra), seconds)
            await loop.sock_sendall(connection, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return arrived

    serving = asyncio.create_task(upstream())
    try:
        with await connect(port) as client:
            head = b"POST /stream/up HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
            await loop.sock_sendall(client, head)
            await pour(client, size)
            await read_head(client)
        return await serving
    finally:
        serving.cancel()


def listen(port: int) -> socket.socket:
    """A listening socket whose connections have small receive buffers."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    listener.bind(("127.0.0.1", port))
    listener.listen(64)
    listener.setblocking(False)
    return listener


async def connect(port: int) -> socket.socket:
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", port))
    return connection


async def read_head(connection: socket.socket) -> bytes:
    """Reads to the blank line; what came after it. An answer of other than 200 is an error."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = await asyncio.get_running_loop().sock_recv(connection, 65536)
        if not part:
            raise OSError(f"closed before a whole head: {data!r}")
        data += part
    head, _, rest = data.partition(b"\r\n\r\n")
    if head.startswith(b"HTTP/") and head.split(b" ")[1] != b"200":
        raise OSError(f"answered {head.splitlines()[0]!r}")
    return rest


async def pour(connection: socket.socket, size: int) -> None:
    """Sends as fast as the other side takes it."""
    loop = asyncio.get_running_loop()
    while size:
        block = BLOCK[:size]
        await loop.sock_sendall(connection, block)
        size -= len(block)


async def drink(connection: socket.socket, size: int, seconds: float) -> int:
    """Reads a megabyte a second for so many seconds, then as fast as it can; how many bytes came."""
    loop = asyncio.get_running_loop()
    started = time.monotonic()
    arrived = 0
    while arrived < size:
        step = 1 << 20
        if time.monotonic() - started < seconds:
            await asyncio.sleep(SLOW_STEP)
            step = int(SLOW_RATE * (time.monotonic() - started)) - arrived
            if step <= 0:
                continue
        part = await loop.sock_recv(connection, min(step, size - arrived))
        if not part:
            break
        arrived += len(part)
    return arrived
