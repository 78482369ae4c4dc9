"""What a process holds of a bucket that lies in a shared store: a few requests ahead, and a refusal for as long as it
lasts. Pure: time is passed in.

A key that is asked for often is worth a lease: what it used of late is taken for the next moments at once, so that most
of its requests wait for nobody. It is never more than was seen, or a process with little to do would take from the
others what it does not use. What is left of a lease when it ends is lost.
"""

from __future__ import annotations

from math import inf

# How long a lease holds, how much of the rate it takes ahead, and how long a refusal lasts at least, in seconds.
LASTS = 0.1
AHEAD = 0.05
PAUSE = 0.01


class Lease:
    """One key's. `left` are the units that the store had when it was last asked.

    Mutable state: `held` requests that may pass until `_ends`; how many passed since `_since`, and in the same time
    before; how many questions are under way; whether the store had too little, and when the next request passes there.
    """

    __slots__ = ("_before", "_empty", "_ends", "_next_at", "_passed", "_since", "_under_way", "held", "left")

    def __init__(self) -> None:
        self.held = 0
        self.left = 0
        self._ends = -inf
        self._passed = 0
        self._before = 0.0
        self._since = -inf
        self._under_way = 0
        self._empty = False
        self._next_at = -inf

    def has(self, now: float) -> bool:
        """May a request pass without asking?"""
        return self.held > 0 and now < self._ends

    def take(self) -> None:
        """One that may pass does."""
        self.held -= 1
        self._passed += 1

    def give_back(self) -> None:
        """One that passed goes nowhere."""
        self.held += 1
        self._passed -= 1

    def refuses(self, now: float) -> bool:
        """Is it known that the store would refuse?"""
        return self._empty and now < self._next_at

    def wait(self, now: float) -> float:
        """In how many seconds the next request passes, as far as the store told."""
        return max(0.0, self._next_at - now)

    def ask(self, waiting: int, most: int, now: float) -> int:
        """For how many requests to ask, when so many wait; `most` is the most to take ahead."""
        span = now - self._since
        if span >= AHEAD:
            self._before = self._passed * AHEAD / span
            self._passed = 0
            self._since = now
        ahead = 0 if self._under_way else min(most, int(max(self._before, self._passed)))
        self._under_way += 1
        return waiting + ahead

    def answered(self, waiting: int, granted: int, left: int, wait: float, now: float) -> None:
        """The store let `granted` pass, of whom `waiting` go at once, and has so many units left; one more passes in
        `wait` seconds."""
        self._under_way -= 1
        self._empty = granted < waiting
        self._next_at = now + wait
        self._passed += min(granted, waiting)
        self.left = left
        if granted > waiting:
            self.held = granted - waiting + (self.held if now < self._ends else 0)
            self._ends = now + LASTS

    def unanswered(self) -> None:
        """The store gave no answer."""
        self._under_way -= 1
