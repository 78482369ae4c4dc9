"""How many places each key has taken: in this process, or in all workers of a gateway together."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Protocol

from gateway.recent import Recent

if TYPE_CHECKING:
    from gateway.state.board import Seat
    from gateway.state.tallies import Tally


class Places(Protocol):
    """Places by key."""

    def take(self, key: Hashable, most: int) -> bool:
        """Take one, where fewer than `most` are taken."""

    def take_anyway(self, key: Hashable) -> None:
        """Take one however many are taken."""

    def give_back(self, key: Hashable) -> None:
        """Give one back that was taken here."""


def make_places(seat: Seat | None, space: str) -> Places:
    """Those of this process, or with a seat those of all workers, who count together what has the same `space`."""
    return LocalPlaces() if seat is None else BoardPlaces(seat, space)


class LocalPlaces(dict[Hashable, int]):
    """Those of this process. Mutable state: how many places each key has taken, if any."""

    def take(self, key: Hashable, most: int) -> bool:
        """Take one, where fewer than `most` are taken."""
        taken = self.get(key, 0)
        if taken >= most:
            return False
        self[key] = taken + 1
        return True

    def take_anyway(self, key: Hashable) -> None:
        """Take one however many are taken."""
        self[key] = self.get(key, 0) + 1

    def give_back(self, key: Hashable) -> None:
        """Give one back that was taken here."""
        taken = self[key] - 1
        if taken:
            self[key] = taken
        else:
            del self[key]


class BoardPlaces(dict[Hashable, "Tally"]):
    """Those of all workers, who count together what has the same `space`. Mutable state: the tally of each key that has
    taken places in this worker, and those of late."""

    def __init__(self, seat: Seat, space: str) -> None:
        super().__init__()
        self._seat = seat
        self._marks = seat.marks(space)
        self._idle: Recent[Tally] = Recent()

    def __missing__(self, key: Hashable) -> Tally:
        tally = self._idle.get(key)
        if tally is None:
            tally = self._seat.tally(self._marks.of(key))
            self._idle.put(key, tally)
        return tally

    def take(self, key: Hashable, most: int) -> bool:
        """Take one, where fewer than `most` are taken."""
        tally = self[key]
        if not tally.take(most):
            return False
        self[key] = tally
        return True

    def take_anyway(self, key: Hashable) -> None:
        """Take one however many are taken."""
        tally = self[key] = self[key]
        tally.put(tally.own + 1)

    def give_back(self, key: Hashable) -> None:
        """Give one back that was taken here."""
        tally = self[key]
        tally.put(tally.own - 1)
        if not tally.own:
            del self[key]
