"""The less busy of two."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence

from gateway.exchange import Exchange
from gateway.upstreams.balance.balancer import E
from gateway.upstreams.balance.random_choice import RandomChoice


class LeastRequest:
    """Power of two choices: of two drawn by weight, the one with fewer attempts in flight relative to its weight.

    Two are enough, and unlike the least of all they do not send everyone to the same one (Mitzenmacher, 2001). `draw`
    gives numbers from [0, 1).
    """

    __slots__ = ("_random",)

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._random = RandomChoice(draw)

    def pick(self, choices: Sequence[E], exchange: Exchange | None, now: float, avoid: Container[E] = ()) -> E | None:
        """The less busy one. When both are idle, or equally busy, the one that was drawn first."""
        pair = self._random.pick_two(choices, avoid)
        if pair is None:
            return None
        one, other = pair
        # One request at a time would never reach the lighter of two idle ones, were they compared.
        if not one.in_flight and not other.in_flight:
            return one
        return one if (one.in_flight + 1) * other.weight <= (other.in_flight + 1) * one.weight else other
