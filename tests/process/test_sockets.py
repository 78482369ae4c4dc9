"""Listening sockets."""

from __future__ import annotations

import contextlib
import socket

import pytest

from gateway.config.fields import Bind
from gateway.process.sockets import open_sockets

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
