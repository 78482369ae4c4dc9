"""This process begins anew, as the program that is installed by now: same pid, same descriptors, same words."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import NoReturn

RESET = "PYINSTALLER_RESET_ENVIRONMENT"
LIBRARIES, LIBRARIES_BEFORE = "LD_LIBRARY_PATH", "LD_LIBRARY_PATH_ORIG"


def reexec(more: Mapping[str, str]) -> NoReturn:
    """Become what was started, with `more` in the environment. Descriptors that are inheritable stay open. OSError when
    the program cannot be started; then nothing has changed."""
    frozen = bool(getattr(sys, "frozen", False))
    environ = next_environment(os.environ, more, frozen, os.getpid())
    # The words for the interpreter are among them, unless there is none apart: a one-file executable is its own.
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environ)


def next_environment(environ: Mapping[str, str], more: Mapping[str, str], frozen: bool, pid: int) -> dict[str, str]:
    """What the next program is told, where this process has the number `pid`.

    A one-file executable has to be unpacked anew, since it may be another one by now. This process does that, and the
    gateway is its child; so the watchdog, too, is told of this one.
    """
    told = {**environ, **more}
    if frozen:
        told[RESET] = "1"
        told.pop(LIBRARIES, None)
        if LIBRARIES_BEFORE in told:
            told[LIBRARIES] = told.pop(LIBRARIES_BEFORE)
        if "WATCHDOG_PID" in told:
            told["WATCHDOG_PID"] = str(pid)
    return told
