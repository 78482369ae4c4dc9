"""Child processes, ports and the temporary directory: what must be gone again when the bench ends."""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import IO, Self

import gateway

ROOT = Path(__file__).resolve().parents[2]
GATEWAY = Path(gateway.__file__).parents[1]
PR_SET_PDEATHSIG = 1
PORTS = range(20000, 32000)  # below the kernel's ephemeral range, so no outgoing connection takes one in between


class HarnessError(Exception):
    """The bench itself could not do its work: a peer that does not start, a generator that reports errors."""


def cores() -> tuple[int, int]:
    """The core of the gateways and the core of generator and backend; one and the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[1 % len(usable)]


def free_port() -> int:
    """A loopback port that nobody listens on and no outgoing connection will be given."""
    for port in random.sample(PORTS, 200):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise HarnessError("no free port found")


def raise_file_limit() -> int:
    """As many open files as the hard limit allows, for this process and its children; the number it is."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@dataclass
class Child:
    """A running process, its process group and where its complaints go."""

    name: str
    process: subprocess.Popen[bytes]
    errors: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    def complaint(self) -> str:
        text = self.errors.read_text(errors="replace").strip()
        return text[-2000:] or "(nothing on standard error)"

    def require_alive(self) -> None:
        if self.process.poll() is not None:
            raise HarnessError(f"{self.name} ended with {self.process.returncode}: {self.complaint()}")


class Sandbox:
    """A context: a directory in memory and the children started in it. Leaving it ends them all, by any exit but
    SIGKILL (and after that the kernel does it: every child asks for SIGTERM when its parent dies)."""

    def __init__(self) -> None:
        memory = Path("/dev/shm")
        self.directory = Path(tempfile.mkdtemp(prefix="aiogate-bench-", dir=memory if memory.is_dir() else None))
        self.children: list[Child] = []
        self.handlers: dict[signal.Signals, Callable[[int, FrameType | None], object] | int | None] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGTERM, signal.SIGHUP):
            self.handlers[number] = signal.signal(number, _leave)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.stop(*self.children)
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)
            for number, handler in self.handlers.items():
                signal.signal(number, handler)

    def folder(self, name: str) -> Path:
        """A fresh folder below the temporary directory."""
        path = self.directory / f"{name.replace(' ', '-')}-{len(list(self.directory.iterdir()))}"
        path.mkdir()
        return path

    def start(
        self, name: str, command: list[str], core: int | Collection[int] | None, output: IO[bytes] | None = None
    ) -> Child:
        """Starts a command in a process group of its own, pinned to a core or some; its output goes to `output` or
        nowhere."""
        errors = self.folder(name) / "stderr"
        # The gateway that is measured is the one that is imported here, compiled or not.
        environment = {**os.environ, "PYTHONPATH": f"{GATEWAY}{os.pathsep}{ROOT}", "PYTHONUNBUFFERED": ""}
        with errors.open("wb") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output or subprocess.DEVNULL,
                stderr=stderr,
                cwd=ROOT,
                env=environment,
                start_new_session=True,
                preexec_fn=_prepare(core),  # noqa: PLW1509 (there are no threads here)
            )
        child = Child(name, process, errors)
        self.children.append(child)
        return child

    def stop(self, *children: Child) -> None:
        """SIGTERM, a little patience, then SIGKILL, each to the whole group."""
        for child in children:
            _signal_group(child, signal.SIGTERM)
        deadline = time.monotonic() + 2.0
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.process.wait(max(0.0, deadline - time.monotonic()))
            _signal_group(child, signal.SIGKILL)  # also what is left of a group whose leader has gone
            child.process.wait()
            if child in self.children:
                self.children.remove(child)


def _signal_group(child: Child, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _leave(number: int, frame: FrameType | None) -> None:
    sys.exit(128 + number)


def _prepare(core: int | Collection[int] | None) -> Callable[[], None]:
    """What a child does between fork and exec: its core, and its wish to die with its parent."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None

    def prepare() -> None:
        if libc is not None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM)  # not SIGKILL: nginx could not end its workers then
        if core is not None:
            os.sched_setaffinity(0, {core} if isinstance(core, int) else core)

    return prepare


def wait_for_status(
    port: int, path: str, child: Child, seconds: float = 30.0, expect: int = 200, secure: bool = False
) -> float:
    """Asks until the answer has the expected status; how many seconds that took."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        child.require_alive()
        if ask(port, path, secure) == expect:
            return time.monotonic() - started
        time.sleep(0.005)
    raise HarnessError(f"{child.name} did not answer {path} with {expect} in {seconds:g} s: {child.complaint()}")


def ask(port: int, path: str, secure: bool = False) -> int | None:
    """The status of one GET on a connection of its own, None when there was no answer; certificates do not matter."""
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n".encode()
    try:
        plain = socket.create_connection(("127.0.0.1", port), timeout=2.0)
        with plain, unverified().wrap_socket(plain) if secure else plain as connection:
            connection.sendall(request)
            head = connection.recv(64)
    except OSError:
        return None
    parts = head.split(b" ", 2)
    return int(parts[1]) if len(parts) > 1 and parts[1][:3].isdigit() else None


def unverified() -> ssl.SSLContext:
    """For the bench's own certificate, which nobody else signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
