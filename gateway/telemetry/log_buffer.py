"""Between a request and the log sinks: the request appends, and what came is encoded and handed on in batches."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Generic, TypeVar

from gateway.plugin import Clock, Counter, LogSink, Metrics
from gateway.telemetry.log_sink import drop_counter

log = logging.getLogger("gateway.telemetry")
# A record reaches its sink within 250 ms: so long it waits here, the rest is for the encoding and the writer.
FLUSH_SECONDS = 0.1
RECORDS = 32_768
# So many records are encoded before the loop gets a turn: about half a millisecond.
SLICE = 200
# So many lines are handed on at once.
LINES = 4000

Record = TypeVar("Record")
Schedule = Callable[[float, Callable[[], None]], object]
Encode = Callable[[Record, float], str]


class LogBuffer(Generic[Record]):
    """Records of one format on their way to one or more sinks.

    `encode(record, offset)` gives one line with its newline; `offset` is what makes wall time of monotonic time.
    `schedule(seconds, callback)` is the loop's `call_later`; it is asked only while there is something to write.
    Mutable state: the records, the batch that is being encoded, its lines, and whether a flush is due.
    """

    def __init__(
        self,
        encode: Encode[Record],
        sinks: Sequence[LogSink],
        clock: Clock,
        metrics: Metrics,
        schedule: Schedule,
        limit: int = RECORDS,
    ) -> None:
        self._encode = encode
        self._sinks = sinks
        self._clock = clock
        self._schedule = schedule
        self._limit = limit
        self._full = [drop_counter(metrics, sink.place, "buffer") for sink in sinks]
        self._broken = [drop_counter(metrics, sink.place, "encoding") for sink in sinks]
        self._records: list[Record] = []
        self._batch: list[Record] = []
        self._lines: list[str] = []
        self._due = False

    def append(self, record: Record) -> None:
        """Take one record. When the buffer is full it is dropped and counted."""
        records = self._records
        if len(records) >= self._limit:
            _count(self._full, 1)
            return
        records.append(record)
        if not self._due:
            self._due = True
            self._schedule(FLUSH_SECONDS, self._flush)

    def drain(self) -> None:
        """Encode and hand on everything now."""
        while self._batch or self._records:
            self._next_slice()

    def _flush(self) -> None:
        self._next_slice()
        if self._batch:
            self._schedule(0, self._flush)
        elif self._records:
            self._schedule(FLUSH_SECONDS, self._flush)
        else:
            self._due = False

    def _next_slice(self) -> None:
        if not self._batch:
            self._batch, self._records = self._records, []
        taken, self._batch = self._batch[:SLICE], self._batch[SLICE:]
        offset = self._clock.wall() - self._clock.now()
        encode = self._encode
        try:
            lines = [encode(record, offset) for record in taken]
        except Exception:
            lines = list(self._those_that_encode(taken, offset))
        self._lines += lines
        if self._lines and (not self._batch or len(self._lines) >= LINES):
            # Few large writes: each wakes a thread, which takes its turn from the loop.
            data = "".join(self._lines).encode("utf-8", "backslashreplace")
            for sink in self._sinks:
                sink.write(data, len(self._lines))
            self._lines = []

    def _those_that_encode(self, records: Iterable[Record], offset: float) -> Iterable[str]:
        for record in records:
            try:
                yield self._encode(record, offset)
            except Exception:
                _count(self._broken, 1)
                log.exception("a log record cannot be encoded")

    def __repr__(self) -> str:
        return f"<LogBuffer {len(self._records) + len(self._batch)} records wait>"


def _count(counters: Iterable[Counter], amount: int) -> None:
    for counter in counters:
        counter.inc(amount)
