"""Listening sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from gateway.config.fields import Bind
from gateway.process.sockets import open_sockets, remove_socket_file

HERE = Bind("127.0.0.1", 0)


def test_port_0_becomes_a_real_one() -> None:
    (one,) = open_sockets(HERE)
    with one:
        assert one.getsockname()[1] > 0


@pytest.mark.parametrize("count", [1, 3])
def test_an_address_that_is_taken(count: int) -> None:
    (one,) = open_sockets(HERE)
    with one, pytest.raises(OSError, match=r"^cannot listen on 127.0.0.1:\d+: address already in use$"):
        open_sockets(Bind(*one.getsockname()), count)


def test_what_is_shared_by_a_gateway_is_not_shared_with_another() -> None:
    with contextlib.ExitStack() as stack:
        for one in (first := open_sockets(HERE, 2)):
            stack.enter_context(one)
        with pytest.raises(OSError, match="already in use"):
            open_sockets(Bind(*first[0].getsockname()), 2)


def test_connections_are_divided_among_sockets_of_one_address() -> None:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in open_sockets(HERE, 4)]
        assert len({one.getsockname() for one in sockets}) == 1
        for _ in range(200):
            stack.enter_context(socket.create_connection(sockets[0].getsockname()))
        assert all(_accepts(one) for one in sockets)


def _accepts(sock: socket.socket) -> bool:
    try:
        sock.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_a_unix_socket_is_shared_by_all_and_leaves_a_file(tmp_path: Path) -> None:
    bind = Bind("", 0, f"{tmp_path}/s", 0o640)
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(one) for one in open_sockets(bind, 3)]
        assert stat.S_IMODE(os.stat(bind.path).st_mode) == 0o640
        stack.enter_context(socket.socket(socket.AF_UNIX)).connect(bind.path)
        assert [_accepts(one) for one in sockets] == [True, False, False]
        with pytest.raises(OSError, match=r"^cannot listen on unix:.*/s: address already in use$"):
            open_sockets(bind)
        remove_socket_file(bind)
        assert os.path.exists(bind.path), "somebody listens on it"
    assert os.path.exists(bind.path)
    for one in open_sockets(bind):
        one.close()
    remove_socket_file(bind)
    assert not os.path.exists(bind.path)
    remove_socket_file(bind)


def test_another_kind_of_file_stays(tmp_path: Path) -> None:
    bind = Bind("", 0, f"{tmp_path}/s")
    (tmp_path / "s").write_text("mine")
    with pytest.raises(OSError, match="a file stands there that is no socket"):
        open_sockets(bind)
    remove_socket_file(bind)
    assert (tmp_path / "s").read_text() == "mine"
    with pytest.raises(OSError, match="no such file or directory"):
        open_sockets(Bind("", 0, f"{tmp_path}/none/s"))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has abstract names")
def test_an_abstract_name_leaves_nothing() -> None:
    bind = Bind.parse("unix:@aiogate-test-sockets")
    for _ in range(2):
        (one,) = open_sockets(bind)
        with one, pytest.raises(OSError, match="already in use"):
            open_sockets(bind)
    remove_socket_file(bind)
