"""One coarse ticker for every time limit of a worker: no timer per request.

A watched object has `deadline` (monotonic seconds) and `check_at`, the time of the slot it stands in. Moving a
deadline later costs two attribute writes: the slot comes up, sees the new deadline, and moves the object on.
"""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

TICK = 0.1
NEVER = float("inf")


class Watched(Protocol):
    """Something with a time limit."""

    deadline: float
    check_at: float

    def expired(self, now: float) -> None:
        """The deadline is over. Called at most `TICK` late."""


class Deadlines:
    """The ticker of a worker. Owns `_slots`: what is to be looked at, by the time to look."""

    def __init__(self) -> None:
        self._slots: dict[int, dict[Watched, None]] = {}
        self._done = int(time.monotonic() / TICK)
        self._handle: asyncio.TimerHandle | None = None

    def watch(self, watched: Watched, deadline: float) -> None:
        """Call `watched.expired` once `deadline` is over, unless it is moved before."""
        watched.deadline = deadline
        if deadline < watched.check_at:
            self._schedule(watched)

    def forget(self, watched: Watched) -> None:
        """No deadline any more; nothing keeps the object alive here."""
        watched.deadline = NEVER
        if watched.check_at != NEVER:
            slot = self._slots.get(round(watched.check_at / TICK))
            if slot is not None:
                slot.pop(watched, None)
            watched.check_at = NEVER

    def _schedule(self, watched: Watched) -> None:
        if watched.check_at != NEVER:
            earlier = self._slots.get(round(watched.check_at / TICK))
            if earlier is not None:
                earlier.pop(watched, None)
        number = max(int(watched.deadline / TICK) + 1, self._done + 1)
        watched.check_at = number * TICK
        self._slots.setdefault(number, {})[watched] = None

    def sweep(self, now: float) -> None:
        """Look at every slot that is over."""
        last = int(now / TICK)
        while self._done < last:
            self._done += 1
            slot = self._slots.pop(self._done, None)
            for watched in slot or ():
                watched.check_at = NEVER
                if watched.deadline <= now:
                    watched.deadline = NEVER
                    watched.expired(now)
                elif watched.deadline != NEVER:
                    self._schedule(watched)

    def start(self) -> None:
        """Tick from now on, on the running loop."""
        self._done = int(time.monotonic() / TICK)
        self._handle = asyncio.get_running_loop().call_later(TICK, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = asyncio.get_running_loop().call_later(TICK, self._tick)
        self.sweep(time.monotonic())

    def __repr__(self) -> str:
        return f"<Deadlines {sum(map(len, self._slots.values()))} watched>"
