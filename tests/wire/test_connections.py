"""How many connections there are, here and in all workers."""

from __future__ import annotations

from typing import Any

from gateway.state.board import Board
from gateway.wire.connections import Connections


def opened(connections: Connections, number: int) -> list[Any]:
    """So many that are in no other way a client's."""
    clients: list[Any] = [object() for _ in range(number)]
    for client in clients:
        connections.add(client)
    return clients


def test_alone_they_are_counted_here() -> None:
    connections = Connections()
    first, _ = opened(connections, 2)
    assert (connections.exceed(1), connections.exceed(2)) == (True, False)
    connections.discard(first)
    connections.discard(first)
    assert not connections.exceed(1)


def test_all_workers_count_together() -> None:
    board = Board.create(2)
    seats = [board.take_seat(seat) for seat in range(2)]
    one, other = (Connections(seat.tally(seat.marks("listeners").of("0"))) for seat in seats)
    (first, *_) = opened(one, 3)
    opened(other, 2)
    assert [(each.exceed(4), each.exceed(5)) for each in (one, other)] == [(True, False)] * 2
    one.discard(first)
    one.discard(first)
    assert (len(one), other.exceed(4)) == (2, False)
    board.clear_seat(0)
    assert not other.exceed(2)
