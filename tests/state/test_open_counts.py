"""What is open in all workers."""

from __future__ import annotations

from gateway.state.board import Board
from gateway.state.open_counts import OpenEverywhere
from gateway.telemetry.metrics import Gauge


def test_each_gauge_shows_one_worker_and_the_value_is_of_all() -> None:
    board = Board.create(2)
    first, second = (board.take_seat(number) for number in range(2))
    here, there, elsewhere = Gauge(), Gauge(), Gauge()
    before = OpenEverywhere(here, first, "websockets", "chat")
    after = OpenEverywhere(here, first, "websockets", "chat")
    sibling = OpenEverywhere(there, second, "websockets", "chat")
    other = OpenEverywhere(elsewhere, second, "websockets", "news")

    before.inc()
    after.inc()
    sibling.inc()
    assert (here.value, there.value, other.value) == (2, 1, 0)
    assert [one.value for one in (before, after, sibling)] == [3, 3, 3]
    before.inc(-1)

    assert [one.value for one in (before, after, sibling)] == [2, 2, 2]
    board.clear_seat(1)
    assert after.value == 1
