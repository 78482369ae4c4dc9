"""Between a request and the log sinks: the request appends, and what came is encoded and handed on in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from gateway.plugin import Clock, Counter, LogSink, Metrics
from gateway.telemetry.log_sink import drop_counter

log = logging.getLogger("gateway.telemetry")
# A record reaches its sink within 250 ms: so long it waits here, the rest is the writer's.
FLUSH_SECONDS = 0.1
# So many records are encoded together, while they are still in the processor's cache: kept for a whole flush they cost
# a request 11 us more, since each then works in memory that has gone cold. It takes a third of a millisecond.
SLICE = 64
# So many encoded bytes are handed on at once: each hand-over wakes a thread, which takes its turn from the loop.
HANDED_ON = 256 * 1024

Record = TypeVar("Record")
Schedule = Callable[[float, Callable[[], None]], object]
Encode = Callable[[Record, float], str]


class LogBuffer(Generic[Record]):
    """Records of one format on their way to one or more sinks.

    `encode(record, offset)` gives one line with its newline; `offset` is what makes wall time of monotonic time.
    `schedule(seconds, callback)` is the loop's `call_later`; it is asked only while there is something to write.
    Mutable state: the records that wait, the encoded bytes with how many records they hold, and whether a flush is due.
    """

    def __init__(
        self, encode: Encode[Record], sinks: Sequence[LogSink], clock: Clock, metrics: Metrics, schedule: Schedule
    ) -> None:
        self._encode = encode
        self._sinks = sinks
        self._clock = clock
        self._schedule = schedule
        self._broken = [drop_counter(metrics, sink.place, "encoding") for sink in sinks]
        self._records: list[Record] = []
        self._encoded: list[bytes] = []
        self._bytes = 0
        self._lines = 0
        self._due = False

    def append(self, record: Record) -> None:
        """Take one record."""
        records = self._records
        records.append(record)
        if len(records) >= SLICE:
            self._encode_slice()
        if not self._due:
            self._due = True
            self._schedule(FLUSH_SECONDS, self._flush)

    def drain(self) -> None:
        """Encode and hand on everything now."""
        self._encode_slice()
        self._hand_on()

    def _flush(self) -> None:
        self._due = False
        self.drain()

    def _encode_slice(self) -> None:
        taken, self._records = self._records, []
        offset = self._clock.wall() - self._clock.now()
        encode = self._encode
        try:
            lines = [encode(record, offset) for record in taken]
        except Exception:
            lines = list(self._those_that_encode(taken, offset))
        data = "".join(lines).encode("utf-8", "backslashreplace")
        self._encoded.append(data)
        self._bytes += len(data)
        self._lines += len(lines)
        if self._bytes >= HANDED_ON:
            self._hand_on()

    def _hand_on(self) -> None:
        encoded, self._encoded = self._encoded, []
        lines, self._lines = self._lines, 0
        self._bytes = 0
        if lines:
            data = b"".join(encoded)
            for sink in self._sinks:
                sink.write(data, lines)

    def _those_that_encode(self, records: Iterable[Record], offset: float) -> Iterable[str]:
        for record in records:
            try:
                yield self._encode(record, offset)
            except Exception:
                _count(self._broken, 1)
                log.exception("a log record cannot be encoded")

    def __repr__(self) -> str:
        return f"<LogBuffer {len(self._records) + self._lines} records wait>"


def _count(counters: Iterable[Counter], amount: int) -> None:
    for counter in counters:
        counter.inc(amount)
