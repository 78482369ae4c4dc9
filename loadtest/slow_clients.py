"""Clients that send one byte a second in the head or in the body, or read one byte a second, on raw sockets.

`python -m loadtest.slow_clients --port N -c 5000`: a third of each kind. Says `ready` when all have begun. Those that
are cut come anew until its standard input is closed; then the others go on, and it says `gone` when no one is left.
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
    "reader": b"GET /read HTTP/1.1\r\nHost: x\r\n\r\n",
}
KINDS = tuple(ASKS)


class Client:
    """One connection."""

    def __init__(self, port: int, kind: str) -> None:
        self.kind = kind
        self.socket = socket.socket()
        if kind == "reader":
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(10.0)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(ASKS[kind])
        self.socket.setblocking(False)

    def step(self) -> bool:
        """One byte. False when the connection is at its end, and for a refusal, which is as good."""
        with contextlib.suppress(BlockingIOError):
            try:
                if self.kind == "reader":
                    return self.socket.recv(1) != b""
                self.socket.send(b"x")
                self.socket.recv(4096)
            except BlockingIOError:
                raise
            except OSError:
                return False
            return False
        return True


def play(port: int, count: int) -> None:
    """Until nobody is left, or somebody ends this process."""
    clients = [Client(port, KINDS[number % len(KINDS)]) for number in range(count)]
    print("ready", flush=True)
    renewing, turn = True, 0
    while clients:
        ends = time.monotonic() + 1.0 / STEPS
        left = []
        for number, client in enumerate(clients):
            if (number + turn) % STEPS or client.step():
                left.append(client)
            else:
                client.socket.close()
                left += [Client(port, client.kind)] if renewing else []
        clients = left
        turn += 1
        wait = max(0.0, ends - time.monotonic())
        if renewing:
            renewing = not select.select([sys.stdin], [], [], wait)[0]
        else:
            time.sleep(wait)
    print("gone", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("-c", dest="connections", type=int, default=5000)
    options = parser.parse_args()
    play(options.port, options.connections)


if __name__ == "__main__":
    main()
