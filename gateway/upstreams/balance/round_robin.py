"""Which endpoint is next. Pure: no clock, no sockets."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd
from typing import Protocol, TypeVar


class Weighted(Protocol):
    """Something to choose from."""

    @property
    def weight(self) -> int: ...


Choice = TypeVar("Choice", bound=Weighted)


class RoundRobin:
    """Each in turn, by weight and smoothly: 5-1-1 gives a a b a c a a, never five in a row at the start.

    The mutable state is the cycle worked out for the choices last seen, and the place in it.
    """

    def __init__(self) -> None:
        self._weights: tuple[int, ...] = ()
        self._cycle: tuple[int, ...] = ()
        self._at = 0

    def pick(self, choices: Sequence[Choice], usable: Callable[[Choice], bool]) -> Choice | None:
        """The next usable one, or None."""
        weights = tuple([choice.weight for choice in choices])
        if weights != self._weights:
            self._weights = weights
            self._cycle = smooth_cycle(weights)
            self._at = 0
        for _ in self._cycle:
            choice = choices[self._cycle[self._at]]
            self._at = (self._at + 1) % len(self._cycle)
            if usable(choice):
                return choice
        return None


def smooth_cycle(weights: tuple[int, ...]) -> tuple[int, ...]:
    """One round of smooth weighted round robin: positions, each as often as its weight (divided by the common
    divisor). A weight of 0 never comes up."""
    divisor = gcd(*weights) or 1
    shares = [weight // divisor for weight in weights]
    total = sum(shares)
    current = [0] * len(shares)
    cycle: list[int] = []
    for _ in range(total):
        for position, share in enumerate(shares):
            current[position] += share
        best = max(range(len(shares)), key=current.__getitem__)
        current[best] -= total
        cycle.append(best)
    return tuple(cycle)
