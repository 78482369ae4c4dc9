"""The Date field."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.wire.date import Date


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that is it now: set `now`."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr("gateway.wire.date.time", lambda: clock.now)
    return clock


@pytest.mark.parametrize(
    ("now", "line"),
    [
        (784111777.0, b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        (784111777.999, b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"),
        (1709164800.0, b"Date: Thu, 29 Feb 2024 00:00:00 GMT\r\n"),
    ],
)
def test_line_is_an_imf_fixdate(clock: SimpleNamespace, now: float, line: bytes) -> None:
    clock.now = now
    assert Date().line() == line


def test_line_is_made_once_a_second(clock: SimpleNamespace) -> None:
    date = Date()
    clock.now = 784111777.0
    first = date.line()
    clock.now = 784111777.9
    assert date.line() is first
    clock.now = 784111778.0
    assert date.line() == b"Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n"


def test_clock_that_is_put_back_is_followed(clock: SimpleNamespace) -> None:
    date = Date()
    clock.now = 784111778.0
    date.line()
    clock.now = 784111777.0
    assert date.line() == b"Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
