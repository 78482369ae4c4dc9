"""What systemd and the gateway tell each other."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.fields import Bind
from gateway.process import systemd

# What the program in a process of its own does; $$ is its pid, since the shell becomes it.
START = f'LISTEN_PID=$$ exec {sys.executable} -c "$0" "$@"'
ECHO = """
import os, sys
from gateway.process import systemd
given = systemd.activated_sockets()
for name, sock in given:
    print(name or "-", systemd.address_of(sock), sock.get_inheritable())
    sock.setblocking(True)
    connection, _ = sock.accept()
    connection.sendall(b"hello")
    connection.close()
print(sorted(set(os.environ) & {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"}), systemd.activated_sockets())
"""


@pytest.fixture
def manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A datagram socket that stands for systemd's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


def test_notify(manager: socket.socket) -> None:
    systemd.notify(systemd.READY, systemd.main_pid(7), systemd.status("4 workers,\n version 3"))
    assert manager.recv(999) == b"READY=1\nMAINPID=7\nSTATUS=4 workers, version 3"


def test_notify_of_an_abstract_name(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.bind("")  # the system picks an abstract name
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + sock.getsockname()[1:].decode())
        systemd.notify(systemd.STOPPING)
        assert sock.recv(99) == b"STOPPING=1"


def test_a_reload_has_its_time(manager: socket.socket) -> None:
    systemd.notify(systemd.reloading())
    first, second = (line.partition(b"=") for line in manager.recv(99).splitlines())
    assert first == (b"RELOADING", b"=", b"1")
    assert second[0] == b"MONOTONIC_USEC"
    assert 0 < int(second[2]) <= int(systemd.reloading().rpartition("=")[2])


@pytest.mark.parametrize("place", [None, "", "relative", "/nobody/listens/here", "@nobody-listens", "/" + "x" * 200])
def test_nobody_to_notify(monkeypatch: pytest.MonkeyPatch, place: str | None) -> None:
    if place is None:
        monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    else:
        monkeypatch.setenv("NOTIFY_SOCKET", place)
    systemd.notify(systemd.READY)


def test_a_manager_that_reads_nothing_holds_nobody(manager: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "SEND_WITHIN", 0.001)
    for _ in range(50):  # more than the queue of a Unix socket holds
        systemd.notify(systemd.ALIVE)
    assert manager.recv(99) == b"WATCHDOG=1"


@pytest.mark.parametrize(
    ("microseconds", "pid", "expected"),
    [
        ("30000000", "own", 15.0),
        ("30000000", None, 15.0),
        ("30000000", "1", None),
        ("30000000", "", None),
        ("0", "own", None),
        ("soon", "own", None),
        (None, None, None),
    ],
)
def test_watchdog(
    monkeypatch: pytest.MonkeyPatch, microseconds: str | None, pid: str | None, expected: float | None
) -> None:
    for name, value in (("WATCHDOG_USEC", microseconds), ("WATCHDOG_PID", pid)):
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, str(os.getpid()) if value == "own" else value)
    assert systemd.watchdog_interval() == expected


def test_a_one_file_executable_is_the_child_of_what_systemd_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getppid()))
    assert systemd.watchdog_interval() is None
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert systemd.watchdog_interval() == 1.0


def test_activated_sockets_in_a_process_of_its_own(tmp_path: Path) -> None:
    inet, unix = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX)
    with inet, unix:
        unix.bind(str(tmp_path / "admin"))
        unix.listen()
        with _activated(ECHO, [inet, unix], LISTEN_FDNAMES="edge") as process:
            for where in (inet, unix):
                with socket.socket(where.family) as client:
                    client.connect(where.getsockname())
                    assert client.recv(99) == b"hello"
            said, _ = process.communicate(timeout=20)
        assert said.splitlines() == [
            f"edge {inet.getsockname()} False",
            f"- {tmp_path / 'admin'} False",
            "[] []",
        ]


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_takes_no_connections(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as sock, _activated(ECHO, [sock], LISTEN_FDNAMES="edge") as process:
        _, said = process.communicate(timeout=20)
        assert said.endswith("OSError: the activated socket edge takes no connections: use ListenStream=, Accept=no\n")


def test_a_descriptor_that_is_no_socket() -> None:
    with open(os.devnull) as file, _activated(ECHO, [file]) as process:
        _, said = process.communicate(timeout=20)
        assert "OSError: the activated socket 3 cannot be used: " in said


def test_sockets_of_another_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LISTEN_PID", "1")
    monkeypatch.setenv("LISTEN_FDS", "1")
    assert systemd.activated_sockets() == []
    assert "LISTEN_FDS" not in os.environ


def _activated(program: str, files: list[socket.socket] | list[object], **environ: str) -> subprocess.Popen[str]:
    """`program` as systemd starts a service: the descriptors from 3 on, named and counted in the environment."""
    descriptors = [file.fileno() for file in files]  # type: ignore[attr-defined]
    # The shell puts them in their places: first out of the way, then from 3 on.
    moves = [f"exec {200 + index}<&{descriptor}" for index, descriptor in enumerate(descriptors)]
    moves += [f"exec {3 + index}<&{200 + index} {200 + index}<&-" for index in range(len(descriptors))]
    return subprocess.Popen(
        ["bash", "-c", "; ".join([*moves, START]), program],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=descriptors,
        env={**os.environ, "LISTEN_FDS": str(len(descriptors)), **environ},
    )


LISTENER, EVERY, OTHER = Bind("127.0.0.1", 8080), Bind("0.0.0.0", 80), Bind("", 81)
ADMIN, LOCAL, SIX = Bind("127.0.0.1", 9901), Bind("localhost", 82), Bind("::1", 83)
BINDS = [("", LISTENER), ("web", EVERY), ("", OTHER), ("admin", ADMIN), ("", LOCAL), ("", SIX)]


@pytest.mark.parametrize(
    ("name", "address", "expected"),
    [
        ("", ("127.0.0.1", 8080), 0),
        ("aiogate.socket", ("127.0.0.1", 8080), 0),
        ("", ("127.0.0.1", 8081), None),
        ("", ("0.0.0.0", 8080), None),
        ("", ("0.0.0.0", 80), 1),
        ("", ("::", 80), 1),
        ("", ("10.0.0.1", 80), None),
        ("", ("::", 81), 2),
        ("", ("127.0.0.1", 82), 4),
        ("", ("::1", 82), 4),
        ("", ("::1", 83), 5),
        ("admin", ("0.0.0.0", 19901), 3),
        ("admin", "/run/admin", 3),
        ("web", ("127.0.0.1", 8080), 1),
        ("", "/run/edge", None),
    ],
)
def test_assign(name: str, address: systemd.Address, expected: int | None) -> None:
    assert systemd.assign(BINDS, [(name, address)]) == [expected]


def test_the_very_address_goes_before_one_that_is_as_good() -> None:
    both = [("", Bind("0.0.0.0", 80)), ("", Bind("::", 80))]
    assert systemd.assign(both, [("", ("::", 80)), ("", ("0.0.0.0", 80))]) == [1, 0]


def test_an_abstract_name() -> None:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind("\0aiogate-test-of-a-name")
        assert systemd.address_of(sock) == "@aiogate-test-of-a-name"


def test_several_sockets_may_serve_one_bind() -> None:
    assert systemd.assign(BINDS, [("", ("0.0.0.0", 80)), ("", ("0.0.0.0", 80))]) == [1, 1]
