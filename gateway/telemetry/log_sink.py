"""Where log lines end up: stdout and files, each with one writer thread, so that no reader and no disk stalls the loop.

A sink takes whole lines and never waits. What it cannot take is dropped and counted in
`gateway_log_dropped_total{sink,reason}`: `backlog` when the place is too slow, `error` when it refuses, `stop` when
it was still stuck as the gateway stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import select
import stat
import threading
from collections.abc import Iterator
from queue import Empty, SimpleQueue
from urllib.parse import unquote

from gateway.plugin import Counter, Metrics

log = logging.getLogger("gateway.telemetry")
# How much may wait for a slow place: at 700 bytes a record, a second at 24,000 requests a second.
BACKLOG_BYTES = 16 << 20
WRITE_BYTES = 1 << 20
# How long a stop waits for a place that takes nothing.
STOP_SECONDS = 2.0
STDOUT = "stdout"
STDOUT_FD = 1
FILE = "file://"
MODE = 0o640
# What a sink's queue holds beside lines and their number of records.
STOP = (b"", 0)
REOPEN = (b"", -1)


def checked_place(place: str) -> str:
    """`place` as it is. ValueError unless it is `stdout` or `file:///PATH`."""
    if place == STDOUT:
        return place
    if not place.startswith(f"{FILE}/") or place.endswith("/") or "\0" in unquote(place):
        raise ValueError(f"{place!r} is no place for logs; write stdout or file:///PATH")
    return place


def drop_counter(metrics: Metrics, place: str, reason: str) -> Counter:
    """The counter of records that did not reach `place` for `reason`."""
    text = "Log records that did not reach their sink."
    return metrics.counter("gateway_log_dropped_total", text, ("sink", "reason")).labels(place, reason)


class LogSinks:
    """All open sinks of a process, one for each place. Mutable state: the sinks."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._sinks: dict[str, WriterSink] = {}

    def open(self, place: str) -> WriterSink:
        """The sink for `place`, shared with all who have it open. OSError for a file that cannot be opened."""
        sink = self._sinks.get(checked_place(place))
        if sink is None or not sink.users:
            sink = self._sinks[place] = WriterSink(place, self._metrics)
        sink.users += 1
        return sink

    def reopen(self) -> None:
        """Open every file anew, once what came before is written: its old one was moved away."""
        for sink in self._sinks.values():
            sink.reopen()

    async def close(self) -> None:
        """Write all that is left, whoever still has a sink open."""
        sinks, self._sinks = self._sinks, {}
        await asyncio.gather(*(sink.shut() for sink in sinks.values()))

    def __repr__(self) -> str:
        return f"<LogSinks {' '.join(self._sinks) or '-'}>"


class WriterSink:
    """A place, and the thread that writes to it.

    Mutable state: `users`; and what came and went, in bytes and records, where the loop writes the one and the thread
    the other, so that neither needs a lock. The file descriptor is the thread's.
    """

    def __init__(self, place: str, metrics: Metrics, backlog: int = BACKLOG_BYTES) -> None:
        self.place = place
        self.users = 0
        self._backlog = backlog
        self._refused = drop_counter(metrics, place, "backlog")
        self._stuck = drop_counter(metrics, place, "stop")
        self._came = [0, 0]
        self._shut = False
        self._queue: SimpleQueue[tuple[bytes, int]] = SimpleQueue()
        self._writer = _Writer(place, self._queue, drop_counter(metrics, place, "error"))
        # A daemon, since a write that never returns must not keep the process alive.
        self._thread = threading.Thread(target=self._writer.run, name=f"log {place}", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """How many bytes are not yet written."""
        return self._came[0] - self._writer.bytes_done

    def write(self, data: bytes, records: int) -> None:
        """Take whole lines that hold so many records. Never waits: what cannot be taken is dropped and counted."""
        came = self._came
        if self.waiting + len(data) > self._backlog or self._shut:
            self._refused.inc(records)
            return
        came[0] += len(data)
        came[1] += records
        self._queue.put((data, records))

    def reopen(self) -> None:
        """Open the file anew, once what came before is written. Nothing for stdout."""
        self._queue.put(REOPEN)

    async def close(self) -> None:
        """One user less; the last one waits until all is written."""
        self.users -= 1
        if not self.users:
            await self.shut()

    async def shut(self) -> None:
        """Wait until all is written, at most 2 seconds; what is still stuck then is counted as lost."""
        if self._shut:
            return
        self._shut = True
        self._queue.put(STOP)
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)
        if self._thread.is_alive():
            lost = self._came[1] - self._writer.records_done
            self._stuck.inc(lost)
            log.error("%s took no more: %d log records are lost", self.place, lost)

    def __repr__(self) -> str:
        return f"<WriterSink {self.place} {self.waiting} bytes wait>"


class _Writer:
    """The thread's side: takes from the queue as much as there is, and writes it in one call where it can."""

    def __init__(self, place: str, queue: SimpleQueue[tuple[bytes, int]], failed: Counter) -> None:
        self.bytes_done = 0
        self.records_done = 0
        self._place = place
        self._queue = queue
        self._failed = failed
        self._healthy = True
        self._torn = False
        self._fd = STDOUT_FD if place == STDOUT else _open(place)
        self._lock = _pipe_lock(self._fd)

    def run(self) -> None:
        order = (b"\n", 1)
        while order != STOP:
            lines, records, order = self._take()
            if lines:
                self._try_to_write(lines, records)
                self.bytes_done += len(lines)
                self.records_done += records
            if order == REOPEN and self._place != STDOUT:
                self._reopen()
        if self._place != STDOUT:
            os.close(self._fd)
        if self._lock is not None:
            os.close(self._lock)

    def _take(self) -> tuple[bytes, int, tuple[bytes, int]]:
        """Lines, how many records they hold, and the order behind them or the last lines."""
        job = self._queue.get()
        pieces, size, records = [], 0, 0
        with contextlib.suppress(Empty):
            while job[0]:
                pieces.append(job[0])
                size += len(job[0])
                records += job[1]
                if size > WRITE_BYTES:
                    break
                job = self._queue.get_nowait()
        return b"".join(pieces), records, job

    def _try_to_write(self, lines: bytes, records: int) -> None:
        try:
            with self._alone():
                self._write(b"\n" + lines if self._torn else lines)
        except OSError as error:
            self._failed.inc(records)
            if self._healthy:
                log.error("%s takes no log records: %s", self._place, error)
            self._healthy = False
        else:
            self._healthy = True
            self._torn = False

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                written = os.write(self._fd, view)
            except BlockingIOError:
                # Whoever shares our stdout may have made it non-blocking.
                poll = select.poll()
                poll.register(self._fd, select.POLLOUT)
                poll.poll()
                continue
            view = view[written:]
            self._torn = view.nbytes > 0

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """A pipe mixes writes of several workers when it is full: one at a time."""
        if self._lock is None:
            yield
            return
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _reopen(self) -> None:
        try:
            fd = _open(self._place)
        except OSError as error:
            log.error("%s cannot be opened anew, the old file is kept: %s", self._place, error)
            return
        os.close(self._fd)
        self._fd = fd
        self._torn = False


def _open(place: str) -> int:
    # Without O_NONBLOCK, a named pipe that nobody reads would hold us here for ever.
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK
    return os.open(unquote(place.removeprefix(FILE)), flags, MODE)


def _pipe_lock(fd: int) -> int | None:
    """A descriptor of our own on the pipe that all workers write to. flock tells descriptors apart by who opened them,
    so the inherited one will not do. None for what is no pipe, or where there is no /proc."""
    try:
        if stat.S_ISFIFO(os.fstat(fd).st_mode):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        pass
    return None
