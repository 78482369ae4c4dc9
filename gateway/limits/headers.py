"""How clients are told of limits: the fields of draft-ietf-httpapi-ratelimit-headers-11, and older ones.

    RateLimit-Policy: "default";q=100;w=60
    RateLimit: "default";r=42;t=35

`q` is the burst, which is all that passes at once and the most that `r`, what is left, comes to; `w` is how many
seconds it takes until an empty bucket is full again, rounded up. `t` is how long until what was taken is there again,
all of it; but where the next request would be refused, until one passes: the window may not end later than Retry-After
(§6), and until then a client "can use no more" (§4.1.2). In between there is always a little more than `r` and `t`
say, since a bucket fills all the time. Units are those of `cost`.

`X-RateLimit-Limit`, `-Remaining` and `-Reset` are the same as q, r and t, of the policy that has the least left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from gateway.limits.gcra import Policy
from gateway.limits.options import Style

# How many levels are kept ready, before they are made anew.
LEVELS = 10_000


class Fields(NamedTuple):
    """Fields to write: `added` to what a service said, since they are lists, or in its place."""

    added: tuple[tuple[str, str], ...]
    replaced: tuple[tuple[str, str], ...]


class Left(NamedTuple):
    """What is left of the policy at `place` among all: so many units; the next request passes in `wait` seconds."""

    place: int
    remaining: int
    wait: float


class LimitHeaders:
    """The fields for each level, as text that is made once. Mutable state: those made so far, cleared when full."""

    __slots__ = ("_costs", "_draft", "_legacy", "_policies", "_quotas", "_ready", "_spring")

    def __init__(self, policies: Sequence[Policy], styles: Sequence[Style], spring: bool = False) -> None:
        """`spring`: the older fields are those of Spring Cloud Gateway."""
        self._policies = tuple(policies)
        self._costs = [policy.cost for policy in policies]
        self._draft = "draft" in styles
        self._legacy = "legacy" in styles and not spring
        self._spring = "legacy" in styles and spring
        self._quotas = ", ".join(
            f'"{policy.name}";q={policy.burst};w={policy.seconds_until_full(0)}' for policy in policies
        )
        self._ready: dict[tuple[tuple[int, int, int], ...], Fields] = {}

    def __bool__(self) -> bool:
        """Is there anything to tell?"""
        return self._draft or self._legacy or self._spring

    @property
    def replaces(self) -> bool:
        """Do some stand in place of what a service said?"""
        return self._legacy or self._spring

    def fields(self, lefts: Iterable[Left]) -> Fields:
        """What to tell of what is left."""
        costs = self._costs
        # Where the next request passes, what remains says all.
        levels = tuple(
            [
                (place, remaining, 0 if remaining >= costs[place] else max(1, ceil(wait)))
                for place, remaining, wait in lefts
            ]
        )
        known = self._ready.get(levels)
        if known is None:
            if len(self._ready) >= LEVELS:
                self._ready.clear()
            known = self._ready[levels] = self._made(levels)
        return known

    def _made(self, known: Iterable[tuple[int, int, int]]) -> Fields:
        levels = [
            (place, remaining, seconds or self._policies[place].seconds_until_full(remaining))
            for place, remaining, seconds in known
        ]
        added: tuple[tuple[str, str], ...] = ()
        replaced: tuple[tuple[str, str], ...] = ()
        if self._draft:
            left = (f'"{self._policies[place].name}";r={remaining};t={seconds}' for place, remaining, seconds in levels)
            added = ("RateLimit-Policy", self._quotas), ("RateLimit", ", ".join(left))
        place, remaining, seconds = min(levels, key=self._strictness)
        policy = self._policies[place]
        if self._legacy:
            replaced = (
                ("X-RateLimit-Limit", str(policy.burst)),
                ("X-RateLimit-Remaining", str(remaining)),
                ("X-RateLimit-Reset", str(seconds)),
            )
        elif self._spring:
            replaced = (
                ("X-RateLimit-Remaining", str(remaining)),
                ("X-RateLimit-Replenish-Rate", str(policy.per_second)),
                ("X-RateLimit-Burst-Capacity", str(policy.burst)),
                ("X-RateLimit-Requested-Tokens", str(policy.cost)),
            )
        return Fields(added, replaced)

    def _strictness(self, level: tuple[int, int, int]) -> tuple[int, int]:
        place, remaining, seconds = level
        return remaining // self._policies[place].cost, -seconds
