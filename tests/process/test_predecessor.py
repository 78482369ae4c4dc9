"""What a supervisor leaves to the one that it becomes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.config.fields import Bind
from gateway.process.predecessor import VARIABLE, Predecessor, leave
from gateway.process.sockets import open_sockets

HERE = Bind("127.0.0.1", 0)
OTHER = Bind("localhost", 0)


@pytest.fixture
def stack() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def listening(stack: contextlib.ExitStack, bind: Bind = HERE, count: int = 1) -> list[socket.socket]:
    return [stack.enter_context(sock) for sock in open_sockets(bind, count)]


def inherited(
    monkeypatch: pytest.MonkeyPatch,
    sockets: list[tuple[str, list[socket.socket]]],
    workers: list[tuple[int, int, socket.socket]] | None = None,
    entries: list[tuple[str, bytes, float | None]] | None = None,
) -> Predecessor:
    """What is found of it, with descriptors of its own, as after exec."""
    copies = [(bind, [sock.dup() for sock in ones]) for bind, ones in sockets]
    others = [(slot, pid, sock.dup()) for slot, pid, sock in workers or []]
    environment = leave(copies, others, entries or [])
    for sock in (*(one for _, ones in copies for one in ones), *(one for *_, one in others)):
        assert sock.get_inheritable()
        sock.detach()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return Predecessor.found()


def addresses(sockets: list[socket.socket]) -> list[object]:
    """Where they listen. They are closed."""
    found = [sock.getsockname() for sock in sockets]
    for sock in sockets:
        sock.close()
    return found


def test_a_process_that_began_as_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    found = Predecessor.found()
    assert (found.listening, found.workers, found.entries) == ([], [], [])


def test_all_of_it_is_found_once(monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    (sock,), (mine, worker) = listening(stack), socket.socketpair()
    entries = [("key", b"value", 7.5), ("stays", b"\0", None)]
    with mine, worker:
        found = inherited(monkeypatch, [(str(HERE), [sock])], [(2, 4711, mine)], entries)
        assert VARIABLE not in os.environ
        assert found.entries == entries
        (old,) = found.workers
        assert (old.slot, old.pid) == (2, 4711)
        ((bind, (there,)),) = found.listening
        assert (bind, there.getsockname()) == (str(HERE), sock.getsockname())
        for one in (there, old.control):
            assert (one.get_inheritable(), one.getblocking()) == (False, False), "no child has it by chance"
        mine.close()
        old.control.close()
        assert worker.recv(1) == b"", "the worker sees the end of it"
        found.close()
    assert Predecessor.found().listening == []


def test_a_memory_that_holds_nothing_takes_no_descriptor() -> None:
    assert json.loads(leave([], [], [])[VARIABLE])["memory"] is None


def test_a_memory_larger_than_any_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(f"key {number}", bytes(1000), None) for number in range(5000)]
    assert inherited(monkeypatch, [], [], entries).entries == entries


def test_what_listens_already_is_taken(monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    one, (admin,) = listening(stack, count=2), listening(stack)
    found = inherited(monkeypatch, [(str(HERE), one), ("admin", [admin])])
    assert addresses(found.take(HERE, 2)) == [sock.getsockname() for sock in one]
    assert addresses(found.take(HERE, 1, "admin")) == [admin.getsockname()]
    (new,) = addresses(found.take(HERE, 1))
    assert new not in (one[0].getsockname(), admin.getsockname()), "each is taken once"
    found.begin()
    assert addresses(found.take(HERE, 1)) == [one[0].getsockname()], "and again when it is tried again"
    found.close()


def test_the_same_bind_twice_is_two_listeners(monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    one, other = listening(stack), listening(stack)
    found = inherited(monkeypatch, [(str(HERE), one), (str(HERE), other)])
    assert [addresses(found.take(HERE, 1)) for _ in range(2)] == [[one[0].getsockname()], [other[0].getsockname()]]
    found.close()


@pytest.mark.parametrize(("before", "now"), [(1, 3), (3, 1), (2, 3)])
def test_another_number_of_workers(
    monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack, before: int, now: int
) -> None:
    """All have the address that it had, however many sockets there are."""
    old = listening(stack, count=before)
    found = inherited(monkeypatch, [(str(HERE), old)])
    taken = found.take(HERE, now)
    found.close()
    assert all(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN) for sock in taken)
    assert addresses(taken) == [old[0].getsockname()] * now


def test_nobody_has_an_address_that_is_new(monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    (sock,) = listening(stack)
    found = inherited(monkeypatch, [(str(HERE), [sock])])
    (new,) = addresses(found.take(OTHER, 1))
    assert new != sock.getsockname()
    with pytest.raises(OSError, match="cannot listen on"):
        found.take(Bind(*sock.getsockname()), 1)
    found.close()


def test_sockets_of_the_service_manager(monkeypatch: pytest.MonkeyPatch, stack: contextlib.ExitStack) -> None:
    given = {name: listening(stack)[0] for name in ("web", "admin", "unused")}
    monkeypatch.setattr(
        "gateway.process.predecessor.activated_sockets", lambda: [(name, sock.dup()) for name, sock in given.items()]
    )
    monkeypatch.delenv(VARIABLE, raising=False)
    found = Predecessor.found()
    bind = Bind(*given["web"].getsockname())
    assert found.adopt_activated([("", bind), ("admin", HERE)]) == ["unused"]
    assert addresses(found.take(bind, 2)) == [given["web"].getsockname()] * 2
    assert addresses(found.take(HERE, 1, "admin")) == [given["admin"].getsockname()]
    found.close()


def test_what_was_taken_stays_open(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    bind = Bind("", 0, str(tmp_path / "socket"))
    (sock,) = open_sockets(bind)
    found = inherited(monkeypatch, [(str(bind), [sock])])
    sock.close()
    (taken,) = found.take(bind, 1)
    found.close()
    with taken, socket.socket(socket.AF_UNIX) as client:
        client.connect(bind.path)
