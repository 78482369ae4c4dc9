"""A child process that is a copy of this one, and serves."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable

# What the supervisor decides alone. A signal of the terminal's goes to every process of its group.
SUPERVISORS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def fork(run: Callable[[], int]) -> int:
    """The id of a child that runs `run`, whose result is its exit code. OSError where there is no room for one.

    In the child nothing of this process goes on: no signal handler, and none of its event loop. The caller's loop must
    hold no state in the kernel that the child would share (`selectors.PollSelector`), and there must be no threads.
    """
    # A signal that comes before the child has put its own handlers would be taken for one of this process's.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        sys.stdout.flush()
        sys.stderr.flush()
        child = os.fork()
        if not child:
            _serve(run, before)
        return child
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(run: Callable[[], int], mask: set[int]) -> None:
    """The child's life. Never returns."""
    code = 1
    try:
        signal.set_wakeup_fd(-1)
        for number in SUPERVISORS:
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask.difference(SUPERVISORS, [signal.SIGCHLD]))
        code = run()
    except BaseException:
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)
