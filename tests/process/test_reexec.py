"""A process that begins anew."""

from __future__ import annotations

import subprocess
import sys

import pytest

from gateway.process import reexec
from gateway.process.reexec import next_environment

PROGRAM = """
import os, socket, sys
from gateway.process.reexec import reexec
again = os.environ.get("AGAIN")
print(os.getpid(), sys.argv[1:], sys.flags.safe_path, again, flush=True)
if again:
    print(socket.socket(fileno=int(again)).getsockname())
else:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.set_inheritable(True)
    print(sock.getsockname(), flush=True)
    reexec({"AGAIN": str(sock.fileno())})
"""


def test_the_same_process_with_the_same_words_and_sockets() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", PROGRAM, "a", "b c"], capture_output=True, text=True, check=True)

    first, listens, second, still = done.stdout.splitlines()
    assert first.endswith("['a', 'b c'] True None")
    assert second.startswith(first.removesuffix("None"))
    assert still == listens


def test_a_program_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reexec.sys, "executable", "/nowhere/gateway")
    with pytest.raises(FileNotFoundError):
        reexec.reexec({})


@pytest.mark.parametrize(
    ("environ", "frozen", "expected"),
    [
        ({"A": "1", "WATCHDOG_PID": "7"}, False, {"A": "1", "WATCHDOG_PID": "7", "B": "2"}),
        ({"A": "1"}, True, {"A": "1", "B": "2", "PYINSTALLER_RESET_ENVIRONMENT": "1"}),
        ({"WATCHDOG_PID": "7"}, True, {"B": "2", "PYINSTALLER_RESET_ENVIRONMENT": "1", "WATCHDOG_PID": "42"}),
        ({"LD_LIBRARY_PATH": "/tmp/unpacked"}, True, {"B": "2", "PYINSTALLER_RESET_ENVIRONMENT": "1"}),
        (
            {"LD_LIBRARY_PATH": "/tmp/unpacked:/opt/lib", "LD_LIBRARY_PATH_ORIG": "/opt/lib"},
            True,
            {"B": "2", "PYINSTALLER_RESET_ENVIRONMENT": "1", "LD_LIBRARY_PATH": "/opt/lib"},
        ),
    ],
)
def test_what_the_next_program_is_told(environ: dict[str, str], frozen: bool, expected: dict[str, str]) -> None:
    before = dict(environ)

    assert next_environment(environ, {"B": "2"}, frozen, 42) == expected
    assert environ == before
