"""How many requests may be at an upstream at a time. Pure: time is passed in.

A limit is fixed, or follows the latency: AIMD compares it with a number of seconds, the gradient with what is usual.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, log, sqrt
from typing import TYPE_CHECKING, Protocol

from gateway.routing.actions import Importance

if TYPE_CHECKING:
    from gateway.state.tallies import Tally

# Requests of little importance leave this part of the limit to the others.
RESERVED = 0.25
# What is left of a limit that falls, besides what its algorithm says: the queue that it let in must empty.
BACKOFF = 0.9

# A round of the gradient is at least so many answers, else chance alone would make it fall.
ROUND = 100
TOLERANCE = 1.5
STEEPEST = 0.5
SMOOTHING = 0.3
# A fall has helped when it made the latency smaller than this part of what it was.
HELPED = 0.8
# So that the logarithm has something to work on.
SHORTEST = 1e-6


class Limit(Protocol):
    """A number that follows what is observed."""

    value: float

    def observe(self, seconds: float, in_flight: int, failed: bool) -> None:
        """One request is over after `seconds`, with so many under way; `failed`: it broke off or took too long."""


@dataclass(slots=True)
class Fixed:
    """Always the same."""

    value: float

    def observe(self, seconds: float, in_flight: int, failed: bool) -> None:
        """Nothing follows from it."""


class Aimd:
    """Additive increase, multiplicative decrease: an answer that comes late lowers the limit by a tenth, and a round
    trip without one raises it by 1 while it is used. Mutable state: `value`, and how many answers to pass over."""

    def __init__(self, start: int, smallest: int, largest: int, latency: float) -> None:
        """An answer that takes longer than `latency` seconds is late."""
        self.value = float(start)
        self._smallest = smallest
        self._largest = largest
        self._latency = latency
        self._passed_over = 0

    def observe(self, seconds: float, in_flight: int, failed: bool) -> None:
        if self._passed_over:
            self._passed_over -= 1
        elif failed or seconds > self._latency:
            self.value = max(self._smallest, self.value * BACKOFF)
            # What was under way is late for the same reason: one queue lowers the limit once.
            self._passed_over = in_flight
        elif in_flight * 2 >= self.value:
            # Each of `value` answers adds its part of 1. Unused room proves nothing, so it stays.
            self.value = min(self._largest, self.value + 1 / self.value)


class Gradient:
    """Follows what the service can work on at once, which it tells from the latency: more only wait for each other.

    Answers are looked at in rounds, of as many as the limit lets through. A round raises a limit that is used by its
    square root. One that takes TOLERANCE times the usual latency lowers it by the ratio of the two, the gradient. The
    usual latency is learnt where there is no queue: while the limit is not used, and right after a fall that helped.
    When two falls in a row do not help, then the service itself is slower, and this is the usual latency from then on.

    An average of the past in place of the usual latency, as in Netflix's Gradient2, would learn the queue: under load
    that lasts, the limit rises to its end. Averages are of logarithms, so that a few slow answers do not count for all.

    Mutable state: `value`, the usual latency (0 while unknown), the round under way, and what the last one came to.
    """

    def __init__(self, start: int, smallest: int, largest: int) -> None:
        self.value = float(start)
        self._smallest = smallest
        self._largest = largest
        self._usual = 0.0
        self._answers = self._failures = self._most = 0
        self._logarithms = 0.0
        self._passed_over = 0
        self._fell = False
        # The latency between two falls.
        self._before = 0.0

    def observe(self, seconds: float, in_flight: int, failed: bool) -> None:
        if self._passed_over:
            # It was under way when the limit fell, and tells of the time before.
            self._passed_over -= 1
            return
        self._answers += 1
        self._most = max(self._most, in_flight)
        if failed:
            self._failures += 1
        else:
            self._logarithms += log(max(seconds, SHORTEST))
        if self._answers >= ROUND and (self._answers >= self.value or not self._usual):
            self._end_round(in_flight)

    def _end_round(self, in_flight: int) -> None:
        answered = self._answers - self._failures
        latency = exp(self._logarithms / answered) if answered else self._usual
        failing = self._failures > answered
        used = self._most * 2 >= self.value
        self._answers = self._failures = self._most = 0
        self._logarithms = 0.0
        self._learn(latency, used)
        fell, self._fell, self._before = self._fell, False, 0.0
        if not used or not self._usual:
            return
        gradient = min(self._usual / latency, STEEPEST if failing else 1.0)
        if gradient * TOLERANCE >= 1:
            self.value = min(self._largest, self.value + sqrt(self.value))
            return
        self.value = max(self._smallest, self.value * max(STEEPEST, gradient) * BACKOFF)
        self._passed_over = in_flight
        self._fell = True
        if fell:
            self._before = latency

    def _learn(self, latency: float, used: bool) -> None:
        usual = self._usual
        in_vain = self._before and latency > HELPED * self._before
        if not usual or in_vain or latency * TOLERANCE < usual:
            self._usual = latency
        elif not used or (self._fell and latency <= usual * TOLERANCE):
            self._usual += SMOOTHING * (latency - usual)


class Limiter:
    """Lets requests through up to a limit. Mutable state: `in_flight`, how many were `refused`, and the limit's."""

    __slots__ = ("in_flight", "limit", "refused")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.in_flight = 0
        self.refused = 0

    @property
    def is_fixed(self) -> bool:
        """Does the limit never change?"""
        return isinstance(self.limit, Fixed)

    def take(self, importance: Importance) -> bool:
        """Is there room for one more? High importance is never refused, low one leaves a quarter to the others."""
        if importance != "high" and self.in_flight >= self.most(importance):
            self.refused += 1
            return False
        self.in_flight += 1
        return True

    def most(self, importance: Importance) -> int:
        """How many requests there may be when one of low or normal importance is let through, that one included."""
        limit = max(1, int(self.limit.value))
        return limit if importance != "low" else max(1, int(limit * (1 - RESERVED)))

    def give_back(self, seconds: float, failed: bool | None) -> None:
        """One is over; `failed` None teaches nothing, since the client left or another was faster."""
        if failed is not None:
            self.limit.observe(seconds, self.in_flight, failed)
        self.in_flight -= 1


class SharedLimiter(Limiter):
    """A fixed limit that all workers of a gateway keep together. Mutable state: besides, its tally at the board.

    A limit that adapts is each worker's own: all learn from the same service, and each from what it lets through.
    """

    __slots__ = ("_tally",)

    def __init__(self, limit: Fixed, tally: Tally) -> None:
        super().__init__(limit)
        self._tally = tally

    def take(self, importance: Importance) -> bool:
        """Is there room for one more, whichever worker the others are in?"""
        if importance == "high":
            self._tally.put(self.in_flight + 1)
        elif not self._tally.take(self.most(importance)):
            self.refused += 1
            return False
        self.in_flight += 1
        return True

    def give_back(self, seconds: float, failed: bool | None) -> None:
        super().give_back(seconds, failed)
        self._tally.put(self.in_flight)
