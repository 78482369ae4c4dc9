"""How many of something are open in all workers."""

from __future__ import annotations

from typing import Protocol

from gateway.state.board import Seat


class Gauge(Protocol):
    """What shows how many are open in this worker."""

    def inc(self, amount: float = 1) -> None:
        """So many more."""


class OpenEverywhere:
    """Those of one name in all workers. Mutable state: the gauge and the tally of this worker, which other objects for
    the same name have besides."""

    __slots__ = ("_gauge", "_tally")

    def __init__(self, gauge: Gauge, seat: Seat, space: str, name: str) -> None:
        self._gauge = gauge
        self._tally = seat.tally(seat.marks(space).of(name))

    @property
    def value(self) -> int:
        """How many are open now."""
        return self._tally.total()

    def inc(self, amount: float = 1) -> None:
        """So many more in this worker."""
        self._gauge.inc(amount)
        self._tally.put(self._tally.own + int(amount))
