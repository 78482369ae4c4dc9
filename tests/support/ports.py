"""Ports for servers that are named before they run, or that come back where they were, or that never answer."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator

# Below what the system gives to connections (32768 on Linux, 49152 on macOS): one of those could take a port in the
# time in which its server is down. The bus of a Redis Cluster, 10000 above, stays below it too.
FIRST, LAST = 12_000, 22_000
_given: set[int] = set()


def free_port() -> int:
    """A port where nobody listens just now, and that no connection is given; each only once."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        if port in _given:
            continue
        _given.add(port)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


@contextlib.asynccontextmanager
async def deaf_port() -> AsyncIterator[int]:
    """A port where connecting hangs: the backlog is full and nobody accepts."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.05):
                await loop.sock_connect(filler, sock.getsockname())
        fillers.append(filler)
    yield sock.getsockname()[1]
    for filler in fillers:
        filler.close()
    sock.close()
