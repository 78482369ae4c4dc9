"""Ports for servers that are named before they run, or that come back where they were."""

from __future__ import annotations

import random
import socket

# Below what the system gives to connections (32768 on Linux, 49152 on macOS): one of those could take a port in the
# time in which its server is down. The bus of a Redis Cluster, 10000 above, stays below it too.
FIRST, LAST = 12_000, 22_000


def free_port() -> int:
    """A port where nobody listens just now, and that no connection is given."""
    while True:
        port = random.SystemRandom().randint(FIRST, LAST)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
