"""Clients that send one byte a second in the head or in the body, or read one byte a second, on raw sockets.

`python -m loadtest.slow_clients --port N -c 5000`: a third of each kind. Says `ready` when all have begun. Those that
are cut come anew until its standard input is closed; then it waits until all have been cut, or `--patience` is over,
and prints how many are left and how long the one lived that lived longest.
"""

from __future__ import annotations

import argparse
import contextlib
import select
import socket
import sys
import time

STEPS = 20  # of a second, each with its share of the clients
ASKS = {
    "head": b"GET /small HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "body": b"POST /slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    "reader": b"GET /size/1m HTTP/1.1\r\nHost: x\r\n\r\n",
}
KINDS = tuple(ASKS)


class Client:
    """One connection. `since` is when it began."""

    def __init__(self, port: int, kind: str) -> None:
        self.kind = kind
        self.socket = socket.socket()
        if kind == "reader":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10.0)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(ASKS[kind])
        self.socket.setblocking(False)
        self.since = time.monotonic()

    def step(self) -> bool:
        """One byte. False when the connection is at its end."""
        with contextlib.suppress(BlockingIOError):
            try:
                if self.kind == "reader":
                    return self.socket.recv(1) != b""
                self.socket.send(b"x")
                # A refusal is as good as the end.
                return self.socket.recv(4096) == b"never"
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    return False
                raise
        return True


def play(port: int, count: int, patience: float) -> tuple[int, float]:
    """(left, seconds that the one lived longest that was cut after standard input had been closed)."""
    clients = [Client(port, KINDS[number % len(KINDS)]) for number in range(count)]
    print("ready", flush=True)
    renewing, longest, turn = True, 0.0, 0
    until = float("inf")
    while clients and time.monotonic() < until:
        ends = time.monotonic() + 1.0 / STEPS
        for at in range(turn % STEPS, len(clients), STEPS):
            client = clients[at]
            if not client.step():
                client.socket.close()
                if renewing:
                    clients[at] = Client(port, client.kind)
                else:
                    longest = max(longest, time.monotonic() - client.since)
                    client.kind = ""
        if not renewing:
            clients = [client for client in clients if client.kind]
        turn += 1
        wait = max(0.0, ends - time.monotonic())
        if renewing and select.select([sys.stdin], [], [], wait)[0]:
            renewing, until = False, time.monotonic() + patience
        elif not renewing:
            time.sleep(wait)
    return len(clients), longest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("-c", dest="connections", type=int, default=5000)
    parser.add_argument("--patience", type=float, default=60.0)
    options = parser.parse_args()
    left, longest = play(options.port, options.connections, options.patience)
    print(f"left {left}, the last one went after {longest:.1f} s", flush=True)


if __name__ == "__main__":
    main()
