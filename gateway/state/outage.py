"""When a store that gave no answer is asked again. Pure: time is passed in."""

from __future__ import annotations

from math import inf
from typing import Final

# How long a store that gave no answer is left alone, in seconds.
PAUSE: Final = 0.5


class Outage:
    """Whether one store answers. It begins untried, which is like down: the first call has to try it.

    Mutable state: `up`, and when a store that is down may be tried. One try at a time: every `may_try` that said yes is
    followed by one `tried`.
    """

    __slots__ = ("_due", "_pause", "up")

    def __init__(self, pause: float = PAUSE) -> None:
        self.up = False
        self._pause = pause
        self._due = -inf

    def lost(self, now: float) -> None:
        """A call got no answer: the store is down from `now`. Calls that began before that change nothing more."""
        if self.up:
            self.tried(now, False)

    def may_try(self, now: float) -> bool:
        """Is the store down, and has it been left alone for long enough? Who hears yes tries it."""
        if self.up or now < self._due:
            return False
        self._due = inf
        return True

    def tried(self, now: float, answered: bool) -> None:
        """What came of a try."""
        self.up = answered
        self._due = now + self._pause

    def __repr__(self) -> str:
        return f"<Outage {'up' if self.up else 'down'}>"
