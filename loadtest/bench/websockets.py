"""WebSockets: what a message that is echoed costs, and what ten thousand idle clients and two thousand sockets hold."""

from __future__ import annotations

import socket
import sys
import time

from loadtest.bench.generator import Target
from loadtest.bench.measure import proportional_memory
from loadtest.bench.memory import WARM_UP_CONNECTIONS, open_idle
from loadtest.bench.peers import SMALL, Instance, start
from loadtest.bench.process import HarnessError, free_port, wait_for_status
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, Cell, rotate, say
from loadtest.websocket_echo import ASKS, echoed, message

SIZE = 64
WARM_UP_SOCKETS = 100
ROUTE = "  - {name: echo, match: {path: /echo}, to: backend, upgrade: [websocket]}"


def websockets(bench: Bench) -> None:
    """Messages of 64 bytes to and fro, beside HAProxy; then memory, of the gateway alone. Full chain."""
    bench.stop_all()
    port = free_port()
    echo = bench.sandbox.start(
        "echo", [sys.executable, "-m", "loadtest.websocket_echo", "--port", str(port)], bench.load_core
    )
    wait_for_status(port, SMALL, echo)
    cells = []
    for peer in ("gateway", "haproxy"):
        if peer in bench.peers:
            instance = start(bench.sandbox, peer, "full", port, bench.gateway_core, routes=ROUTE)
            cells.append(Cell(peer, instance, Target(instance.port, ("/echo",), websocket=SIZE)))
    rotate(bench, "websockets", cells, bench.plan.seconds)
    bench.sandbox.stop(*(cell.instance.child for cell in cells))
    _memory(bench, start(bench.sandbox, "gateway", "full", port, bench.gateway_core, routes=ROUTE))
    bench.sandbox.stop(echo)


def _memory(bench: Bench, instance: Instance) -> None:
    pid = instance.child.pid
    warm = [*open_idle(instance.port, WARM_UP_CONNECTIONS), *open_sockets(instance.port, WARM_UP_SOCKETS)]
    for connection in warm:
        connection.close()
    time.sleep(0.5)
    sizes = [proportional_memory(pid)]
    held: list[socket.socket] = []
    for opened, count in ((open_idle, bench.plan.idle_connections), (open_sockets, bench.plan.websockets)):
        held += opened(instance.port, count)
        time.sleep(0.5)
        sizes.append(proportional_memory(pid))
    for connection in held:
        connection.close()
    bench.sandbox.stop(instance.child)
    figures = bench.results.figures
    idle = (sizes[1] - sizes[0]) / bench.plan.idle_connections / 1000.0
    each = (sizes[2] - sizes[1]) / bench.plan.websockets / 1000.0
    beside = f"beside {bench.plan.idle_connections} idle connections and {bench.plan.websockets} WebSockets"
    figures["websockets.idle"] = Figure("websockets", idle, "KB", f"an idle connection, {beside}")
    figures["websockets.each"] = Figure("websockets", each, "KB", f"a WebSocket with both its connections, {beside}")
    say(f"  {idle:.2f} KB an idle connection, {each:.2f} KB a WebSocket")


def open_sockets(port: int, count: int) -> list[socket.socket]:
    """Opens WebSockets one after the other, each with one message that was echoed."""
    asks = "\r\n".join(("GET /echo HTTP/1.1", f"Host: 127.0.0.1:{port}", *ASKS, "", "")).encode()
    held = []
    for _ in range(count):
        connection = socket.create_connection(("127.0.0.1", port), timeout=10.0)
        connection.sendall(asks)
        head = _until(connection, b"\r\n\r\n", 0)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise HarnessError(f"a WebSocket was answered with {head[:80]!r}")
        connection.sendall(message(SIZE))
        _until(connection, b"", echoed(SIZE))
        held.append(connection)
    return held


def _until(connection: socket.socket, end: bytes, size: int) -> bytes:
    data = b""
    while not data.endswith(end) or len(data) < max(1, size):
        part = connection.recv(65536)
        if not part:
            raise HarnessError("a WebSocket was closed")
        data += part
    return data
