"""Records wait, are encoded in slices, and go to every sink; the request only appends."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from gateway.telemetry.log_buffer import FLUSH_SECONDS, HANDED_ON, SLICE, LogBuffer
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, FakeSinks


class Later:
    """Stands in for the loop's call_later."""

    def __init__(self) -> None:
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, callback: Callable[[], None]) -> None:
        self.calls.append((seconds, callback))

    def run(self) -> float:
        """Run the next callback; how long it had to wait."""
        seconds, callback = self.calls.pop(0)
        callback()
        return seconds


sys.set_int_max_str_digits(0)


def encode(record: int, offset: float) -> str:
    if record < 0:
        raise ValueError("negative")
    return f"{record}\n"


class Bench:
    def __init__(self) -> None:
        self.sinks = FakeSinks()
        self.later = Later()
        self.metrics = Metrics()
        opened = [self.sinks.open("a"), self.sinks.open("b")]
        self.buffer = LogBuffer(encode, opened, FakeClock(), self.metrics, self.later)

    def dropped(self, reason: str) -> list[float]:
        family = self.metrics.counter("gateway_log_dropped_total", "", ("sink", "reason"))
        return [family.labels(place, reason).value for place in ("a", "b")]


def test_a_record_reaches_every_sink_at_the_next_flush() -> None:
    bench = Bench()

    bench.buffer.append(1)
    bench.buffer.append(2)
    assert bench.sinks.written == {"a": b"", "b": b""}
    assert len(bench.later.calls) == 1

    assert bench.later.run() == FLUSH_SECONDS <= 0.1
    assert bench.sinks.written == {"a": b"1\n2\n", "b": b"1\n2\n"}


def test_nothing_is_scheduled_while_there_is_nothing_to_write() -> None:
    bench = Bench()

    assert bench.later.calls == []
    bench.buffer.append(1)
    bench.later.run()
    assert bench.later.calls == []
    bench.buffer.append(2)
    bench.later.run()
    assert bench.sinks.written["a"] == b"1\n2\n"


def test_records_are_encoded_in_slices_and_written_by_the_flush_in_their_order() -> None:
    bench = Bench()
    for number in range(2 * SLICE + 1):
        bench.buffer.append(number)
    assert bench.sinks.written["a"] == b""
    assert len(bench.later.calls) == 1

    assert bench.later.run() == FLUSH_SECONDS

    assert bench.later.calls == []
    assert bench.sinks.written["a"].splitlines() == [b"%d" % number for number in range(2 * SLICE + 1)]


def test_many_bytes_are_handed_on_before_the_flush() -> None:
    bench = Bench()
    long = 10**5000
    for _ in range(SLICE * (HANDED_ON // (SLICE * 5000) + 1)):
        bench.buffer.append(long)
    assert len(bench.sinks.written["a"]) >= HANDED_ON


def test_a_record_that_cannot_be_encoded_takes_no_other_with_it(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    for number in (1, -1, 2):
        bench.buffer.append(number)
    bench.buffer.drain()

    assert bench.sinks.written["a"] == b"1\n2\n"
    assert bench.dropped("encoding") == [1, 1]
    assert "cannot be encoded" in caplog.text


def test_drain_writes_everything_at_once() -> None:
    bench = Bench()
    for number in range(SLICE + 5):
        bench.buffer.append(number)
    bench.later.run()

    bench.buffer.drain()

    assert bench.sinks.written["a"].count(b"\n") == SLICE + 5
    assert repr(bench.buffer) == "<LogBuffer 0 records wait>"
