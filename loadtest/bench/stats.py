"""Medians and spreads, and ratios that are formed round by round before their median is taken."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """A median with the smallest and the largest of its values."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(statistics.median(values), min(values), max(values))


def p99(values: Sequence[float]) -> float:
    """What 99 % of the values keep to."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]


def difference(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The spread of over-under within each round."""
    return Spread.of([above - below for above, below in _rounds(over, under)])


def ratio(over: Sequence[float], under: Sequence[float]) -> Spread:
    """The spread of over/under within each round. Rounds are compared with themselves: a machine that slows down for
    a while slows both sides of the fraction."""
    return Spread.of([above / below for above, below in _rounds(over, under)])


def _rounds(over: Sequence[float], under: Sequence[float]) -> list[tuple[float, float]]:
    if len(over) != len(under):
        raise ValueError(f"{len(over)} rounds cannot be compared with {len(under)}")
    return list(zip(over, under, strict=True))
