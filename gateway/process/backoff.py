"""How soon a worker that has died is replaced. Pure: time is passed in."""

from __future__ import annotations

LONGEST = 30.0
# One that lived so long did not die of its start.
PROVEN = 60.0


class Backoff:
    """Of one slot. The first death is followed at once; a worker that dies young again waits 1 s, 2 s, 4 s and so on,
    30 s at most. Mutable state: how many died young, one after the other."""

    def __init__(self) -> None:
        self._young = 0

    def pause(self, lived: float) -> float:
        """Seconds until the next one, after one that `lived` for so many."""
        if lived >= PROVEN:
            self._young = 0
        self._young += 1
        return 0.0 if self._young == 1 else float(min(2 ** (self._young - 2), LONGEST))

    def __repr__(self) -> str:
        return f"<Backoff after {self._young}>"
