"""Child processes."""

from __future__ import annotations

import os
import signal
import sys

import pytest

from gateway.process.forking import SUPERVISORS, fork

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def ended(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("code", [0, 7])
def test_what_it_returns_is_its_exit_code(code: int) -> None:
    assert ended(fork(lambda: code)) == code


def test_what_it_raises_is_said_and_goes_no_further(capfd: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise RuntimeError("oh no")

    assert ended(fork(fails)) == 1
    assert "RuntimeError: oh no" in capfd.readouterr().err


def test_what_is_for_the_supervisor_does_not_end_it() -> None:
    def serve() -> int:
        for number in SUPERVISORS:
            os.kill(os.getpid(), number)
        return 3

    assert ended(fork(serve)) == 3


def test_signals_are_as_they_were() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])

    def serve() -> int:
        return len(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    assert ended(fork(serve)) == len(before)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_what_was_written_before_is_written_once(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("once")
    assert ended(fork(lambda: 0)) == 0
    assert capfd.readouterr().out == "once"
