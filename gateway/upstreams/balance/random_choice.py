"""By chance."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Container, Iterable, Sequence
from itertools import accumulate

from gateway.exchange import Exchange
from gateway.upstreams.balance.balancer import Choice, E


class RandomChoice:
    """Each as likely as its weight says.

    `draw` gives numbers from [0, 1). Mutable state: the sums of the weights of the choices last seen.
    """

    __slots__ = ("_choices", "_draw", "_sums")

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._choices: Sequence[Choice] = ()
        self._draw = draw
        self._sums: list[int] = []

    def pick(self, choices: Sequence[E], exchange: Exchange | None, now: float, avoid: Container[E] = ()) -> E | None:
        """Any one."""
        if choices is not self._choices:
            self._choices, self._sums = choices, weight_sums(choices)
        if not choices:
            return None
        choice = choices[self._drawn(self._sums)]
        if choice in avoid:
            left = [choice for choice in choices if choice not in avoid]
            return left[self._drawn(weight_sums(left))] if left else None
        return choice

    def pick_two(self, choices: Sequence[E], avoid: Container[E] = ()) -> tuple[E, E] | None:
        """Any one, and then any one of the others; the same twice where there is no other."""
        if choices is not self._choices:
            self._choices, self._sums = choices, weight_sums(choices)
        if not choices:
            return None
        one, other = self._two_drawn(self._sums)
        if choices[one] in avoid or choices[other] in avoid:
            left = [choice for choice in choices if choice not in avoid]
            if not left:
                return None
            one, other = self._two_drawn(weight_sums(left))
            return left[one], left[other]
        return choices[one], choices[other]

    def _drawn(self, sums: list[int]) -> int:
        return bisect(sums, int(self._draw() * sums[-1]))

    def _two_drawn(self, sums: list[int]) -> tuple[int, int]:
        one = self._drawn(sums)
        start = sums[one - 1] if one else 0
        weight = sums[one] - start
        others = sums[-1] - weight
        if not others:
            return one, one
        at = int(self._draw() * others)
        return one, bisect(sums, at if at < start else at + weight)


def weight_sums(choices: Iterable[Choice]) -> list[int]:
    """The weights of the first, the first two, the first three, and so on."""
    return list(accumulate([choice.weight for choice in choices]))
