"""What workers share, in real processes: one is killed, and nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from hashlib import blake2b

import pytest

from gateway.breaker.circuit import Policy
from gateway.breaker.shared_circuit import SharedCircuit
from gateway.limits.board import BoardLimiter
from gateway.limits.gcra import Policy as RatePolicy
from gateway.limits.rate import Rate
from gateway.state.board import Board, Seat
from gateway.testing import FakeClock

NOW = FakeClock().now()


class Child:
    """A forked process: what it has said, and its end."""

    def __init__(self, work: Callable[[Callable[[int], None]], None]) -> None:
        """`work` is given what says a number to the parent."""
        begin, end = os.pipe()
        self.process = os.fork()
        if not self.process:
            with contextlib.suppress(BaseException), os.fdopen(end, "w") as out:
                work(lambda number: print(f"{number:d}", file=out, flush=True))
            os._exit(0)
        os.close(end)
        self._pipe = os.fdopen(begin)

    def said(self) -> int:
        """The next number; ValueError where the child is gone."""
        return int(self._pipe.readline())

    def kill(self) -> None:
        """It is dead when this returns."""
        if self.process:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            self.process = 0
            self._pipe.close()


@contextlib.contextmanager
def children(*works: Callable[[Callable[[int], None]], None]) -> Iterator[list[Child]]:
    started = [Child(work) for work in works]
    try:
        yield started
    finally:
        for child in started:
            child.kill()


def hour(seat: Seat, burst: int) -> BoardLimiter:
    return BoardLimiter(RatePolicy("hour", Rate(1, 3600.0), burst), seat, "hour")


def test_a_limit_is_that_of_all_processes() -> None:
    board = Board.create(4)
    burst, offered = 2000, 2000

    def hammer(number: int) -> Callable[[Callable[[int], None]], None]:
        def work(say: Callable[[int], None]) -> None:
            limiter = hour(board.take_seat(number), burst)
            passed = 0
            for _ in range(offered):
                if limiter.room("key", NOW) >= limiter.step:
                    limiter.take("key", NOW)
                    passed += 1
                # As far from one request to the next as it is in a gateway that is busy.
                blake2b(bytes(16_000))
            say(passed)

        return work

    with children(*[hammer(number) for number in range(4)]) as started:
        passed = sum(child.said() for child in started)
    # Some may take at the very same moment. Each alone would let 2000 pass, 8000 in all.
    assert burst <= passed <= 3 * burst
    assert hour(board.take_seat(0), burst).room("key", NOW) < 3600
    assert hour(board.take_seat(0), burst).room("other", NOW) == pytest.approx(3600 * burst, abs=1)


def test_what_a_killed_worker_had_comes_back() -> None:
    board = Board.create(2)

    def work(say: Callable[[int], None]) -> None:
        seat = board.take_seat(1)
        places = seat.tally(seat.marks("places").of("key"))
        say(sum(places.take(3) for _ in range(5)))
        signal.pause()

    seat = board.take_seat(0)
    places = seat.tally(seat.marks("places").of("key"))
    with children(work) as (child,):
        assert child.said() == 3
        assert not places.take(3)
        child.kill()
        assert not places.take(3), "nobody knows yet that it is dead"
        board.clear_seat(1)
        assert [places.take(3) for _ in range(4)] == [True] * 3 + [False]


def test_a_circuit_that_another_process_opened_and_died() -> None:
    board = Board.create(2)
    policy = Policy(requests=4)

    def circuit(seat: Seat) -> SharedCircuit:
        record = seat.record("items")
        assert record is not None
        return SharedCircuit("items", policy, NOW, record)

    def work(say: Callable[[int], None]) -> None:
        failing = circuit(board.take_seat(1))
        for _ in range(4):
            permit = failing.allow(NOW)
            assert permit is not None
            failing.failed(permit, NOW, 0.1, "5xx")
        say(failing.state == "open")
        signal.pause()

    seat = board.take_seat(0)
    here = circuit(seat)
    with children(work) as (child,):
        assert child.said() == 1
        seat.tick(NOW)
        assert here.state == "open"
        assert here.snapshot(NOW)["counts"]["failure"] == 4
        child.kill()
        board.clear_seat(1)
        seat.tick(NOW)
    assert here.state == "open"
    assert here.snapshot(NOW)["counts"]["failure"] == 0
    assert circuit(board.take_seat(1)).state == "open", "its successor learns it from the others"


def test_seats_are_numbered() -> None:
    board = Board.create(2)
    for wrong in (-1, 2):
        with pytest.raises(ValueError, match=f"there is no seat {wrong}, only 0 to 1"):
            board.take_seat(wrong)
        with pytest.raises(ValueError, match=f"there is no seat {wrong}"):
            board.clear_seat(wrong)
    with pytest.raises(ValueError, match="at least 1 seat"):
        Board.create(0)


def test_clients_cannot_foresee_marks() -> None:
    one, other = Board.create(1).take_seat(0), Board.create(1).take_seat(0)
    assert one.marks("space").of("key") != other.marks("space").of("key")


def test_a_seat_gives_so_many_records(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.records.RECORDS", 2)
    seat = Board.create(1).take_seat(0)
    first = seat.record("a")
    assert first is not None
    assert seat.record("b") is not None
    assert seat.record("c") is None
    first.close()
    assert seat.record("c") is not None


def test_a_tick_reaches_what_has_not_been_closed() -> None:
    seat = Board.create(1).take_seat(0)
    told: list[tuple[str, float]] = []
    for name in ("a", "b"):
        record = seat.record(name)
        assert record is not None
        record.exchange = lambda now, name=name: told.append((name, now))  # type: ignore[misc]
        if name == "b":
            record.close()
    seat.tick(NOW)
    assert told == [("a", NOW)]
