"""The generic cell rate algorithm: a limit that keeps one number for each key, and knows no windows. Pure: time is
passed in.

That number is the theoretical arrival time (TAT): when the last request that passed would have come, had all of them
come evenly. One that passes moves it on by what it costs; one that would move it further ahead of the clock than the
burst allows is refused and changes nothing. So at most the burst passes at once, and in the long run just the rate.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from math import ceil

from gateway.limits.rate import Rate
from gateway.recent import KEYS, Recent

# Sums of floats miss by a little: a request may come early by this part of what one unit takes, or by so many seconds.
SLACK = 1e-3


@dataclass(frozen=True)
class Policy:
    """One limit. `burst` units pass at once, and each request takes `cost` of them. Times in seconds."""

    name: str
    rate: Rate
    burst: int
    cost: int = 1

    @cached_property
    def emission(self) -> float:
        """How long it takes until one more unit is there."""
        return self.rate.seconds / self.rate.amount

    @property
    def per_second(self) -> int:
        """How many whole units a second brings."""
        return int(self.rate.amount / self.rate.seconds)

    @cached_property
    def step(self) -> float:
        """How long it takes until what one request costs is there."""
        return self.emission * self.cost

    @cached_property
    def space(self) -> float:
        """How far ahead of the clock a TAT may be."""
        return self.emission * self.burst + min(self.emission, 1.0) * SLACK

    def seconds_until_full(self, remaining: int) -> int:
        """In how many whole seconds all units are there, where `remaining` are now."""
        return ceil(round((self.burst - remaining) * self.emission, 6))

    def remaining(self, room: float) -> int:
        """How many units there are in so much room."""
        return max(0, int(room / self.emission))


class LocalLimiter(Recent[float]):
    """One policy in this process's memory.

    Mutable state: the TAT of each key, in the seconds of the `now` that is passed in. A key that was dropped starts
    anew, with the whole burst.
    """

    __slots__ = ("policy", "space", "step")

    def __init__(self, policy: Policy, limit: int = KEYS) -> None:
        super().__init__(limit)
        self.policy = policy
        self.step = policy.step
        self.space = policy.space

    def room(self, key: Hashable, now: float) -> float:
        """How much room is left, in seconds: a request passes where it is at least `step`."""
        tat = self.get(key)
        return self.space if tat is None or tat < now else self.space - (tat - now)

    def take(self, key: Hashable, now: float) -> None:
        """One request passes."""
        tat = self.get(key)
        self.put(key, (now if tat is None or tat < now else tat) + self.step)

    def recall(self, key: Hashable) -> float:
        """The TAT of a key that is not in `young`, and is from now on; 0 for a new one."""
        tat = self._old.get(key, 0.0)
        self.put(key, tat)
        return tat
