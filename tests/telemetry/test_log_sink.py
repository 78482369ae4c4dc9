"""Real files and real pipes: what is written arrives whole, what cannot be is dropped and counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gateway.telemetry import log_sink
from gateway.telemetry.log_sink import LogSinks, WriterSink, checked_place
from gateway.telemetry.metrics import Metrics


def dropped(metrics: Metrics, place: str, reason: str) -> float:
    return metrics.counter("gateway_log_dropped_total", "", ("sink", "reason")).labels(place, reason).value


@pytest.fixture
def pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, int]]:
    """A pipe that stands in for stdout: (what its reader holds, what is written to)."""
    reader, writer = os.pipe()
    monkeypatch.setattr(log_sink, "STDOUT_FD", writer)
    yield reader, writer
    for fd in (reader, writer):
        with contextlib.suppress(OSError):
            os.close(fd)


@pytest.mark.parametrize("place", ("stdout", "file:///var/log/gateway.log", "file:///a%20b"))
def test_places(place: str) -> None:
    assert checked_place(place) == place


@pytest.mark.parametrize("place", ("stderr", "file://a", "file:///a/", "file:", "/var/log/x", "file:///a%00b", ""))
def test_places_that_are_none(place: str) -> None:
    with pytest.raises(ValueError, match="write stdout or file:///PATH"):
        checked_place(place)


async def test_lines_reach_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a log"
    path.write_bytes(b"before\n")
    sink = LogSinks(Metrics()).open(f"file://{tmp_path}/a%20log")

    sink.write(b"one\n", 1)
    sink.write(b"two\nthree\n", 2)
    await sink.close()

    assert path.read_bytes() == b"before\none\ntwo\nthree\n"


async def test_a_place_is_shared_until_its_last_user_is_done(tmp_path: Path) -> None:
    sinks = LogSinks(Metrics())
    place = f"file://{tmp_path}/log"
    first, second = sinks.open(place), sinks.open(place)

    first.write(b"one\n", 1)
    await first.close()
    second.write(b"two\n", 1)
    await second.close()
    third = sinks.open(place)
    third.write(b"three\n", 1)
    await sinks.close()

    assert first is second
    assert third is not first
    assert (tmp_path / "log").read_bytes() == b"one\ntwo\nthree\n"


async def test_a_file_is_reopened_after_it_was_moved(tmp_path: Path) -> None:
    sinks = LogSinks(Metrics())
    path, moved = tmp_path / "log", tmp_path / "log.1"
    sink = sinks.open(f"file://{path}")

    sink.write(b"old\n", 1)
    path.rename(moved)
    sink.write(b"still old\n", 1)
    sinks.reopen()
    sink.write(b"new\n", 1)
    await sinks.close()

    assert (moved.read_bytes(), path.read_bytes()) == (b"old\nstill old\n", b"new\n")


async def test_a_file_that_cannot_be_reopened_is_kept(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sinks = LogSinks(Metrics())
    folder = tmp_path / "logs"
    folder.mkdir()
    sink = sinks.open(f"file://{folder}/log")

    folder.rename(tmp_path / "moved")
    sinks.reopen()
    sink.write(b"one\n", 1)
    await sinks.close()

    assert (tmp_path / "moved/log").read_bytes() == b"one\n"
    assert "cannot be opened anew" in caplog.text


def test_a_file_that_cannot_be_opened_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        LogSinks(Metrics()).open(f"file://{tmp_path}/nowhere/log")


def test_a_named_pipe_without_a_reader_does_not_hold_us(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")

    with pytest.raises(OSError, match="No such device"):
        LogSinks(Metrics()).open(f"file://{tmp_path}/fifo")


async def test_lines_reach_stdout(pipe: tuple[int, int]) -> None:
    sink = LogSinks(Metrics()).open("stdout")

    sink.write(b"one\n", 1)
    await sink.close()

    assert os.read(pipe[0], 100) == b"one\n"


async def test_a_reader_that_stalls_costs_records_but_no_time(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log_sink, "STOP_SECONDS", 0.05)
    metrics = Metrics()
    sink = WriterSink("stdout", metrics, backlog=1 << 20)
    lines = b"x" * 65535 + b"\n"

    # Nobody ever reads: one write that waited would never come back.
    for _ in range(100):
        sink.write(lines, 10)
    await sink.shut()

    assert dropped(metrics, "stdout", "backlog") >= 800
    lost = dropped(metrics, "stdout", "stop")
    assert 0 < lost <= 1000 - dropped(metrics, "stdout", "backlog")
    assert "log records are lost" in caplog.text
    drain(pipe)


async def test_nothing_is_torn_by_a_slow_reader_of_a_non_blocking_pipe(pipe: tuple[int, int]) -> None:
    os.set_blocking(pipe[1], False)
    sink = LogSinks(Metrics()).open("stdout")
    received: list[bytes] = []
    total = 40 * 10_000

    def read() -> None:
        while sum(map(len, received)) < total:
            received.append(os.read(pipe[0], 4096))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(40):
        sink.write(b"y" * 9_999 + b"\n", 1)
    await sink.close()
    reader.join(10)

    assert b"".join(received).split(b"\n") == [b"y" * 9_999] * 40 + [b""]


async def test_a_place_that_refuses_is_told_once_and_counted(
    pipe: tuple[int, int], caplog: pytest.LogCaptureFixture
) -> None:
    metrics = Metrics()
    sink = LogSinks(metrics).open("stdout")
    os.close(pipe[0])

    sink.write(b"one\n", 1)
    sink.write(b"two\n", 2)
    await sink.close()

    assert dropped(metrics, "stdout", "error") == 3
    assert caplog.text.count("takes no log records") == 1


async def test_a_line_that_was_cut_does_not_spoil_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results: list[int | OSError] = [2, OSError(28, "No space left on device")]
    real = os.write

    def write(fd: int, data: bytes) -> int:
        if results and data != b"":
            result = results.pop(0)
            if isinstance(result, OSError):
                raise result
            return real(fd, data[:result])
        return real(fd, data)

    sink = LogSinks(Metrics()).open(f"file://{tmp_path}/log")
    monkeypatch.setattr(os, "write", write)
    sink.write(b"one\n", 1)
    await wait_until(lambda: sink.waiting == 0)
    sink.write(b"two\n", 1)
    await sink.close()

    assert (tmp_path / "log").read_bytes() == b"on\ntwo\n"


async def test_writing_after_the_end_is_a_drop(tmp_path: Path) -> None:
    metrics = Metrics()
    place = f"file://{tmp_path}/log"
    sink = LogSinks(metrics).open(place)
    await sink.close()

    sink.write(b"late\n", 1)

    assert dropped(metrics, place, "backlog") == 1


async def test_a_record_is_there_well_within_its_time(tmp_path: Path) -> None:
    sinks = LogSinks(Metrics())
    sink = sinks.open(f"file://{tmp_path}/log")

    sink.write(b"one\n", 1)
    await wait_until(lambda: (tmp_path / "log").read_bytes() == b"one\n")

    await sinks.close()


def drain(pipe: tuple[int, int]) -> None:
    """Let a writer that is stuck in the pipe go."""
    os.set_blocking(pipe[0], False)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and any(thread.name == "log stdout" for thread in threading.enumerate()):
        try:
            os.read(pipe[0], 1 << 20)
        except BlockingIOError:
            time.sleep(0.001)


async def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline, "it did not come"
        await asyncio.sleep(0.001)
