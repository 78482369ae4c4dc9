"""Limits in this process's memory: a straight path for one policy, and another way for several at once."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Protocol

from gateway.exchange import Exchange
from gateway.limits.gcra import LocalLimiter, Policy
from gateway.limits.headers import LEVELS, Fields, Left
from gateway.limits.keys import KeyOf
from gateway.limits.verdicts import Verdicts
from gateway.plugin import Clock


class Limiter(Protocol):
    """One policy with what was taken of it. `space` and `step` are the policy's, times in monotonic seconds."""

    policy: Policy
    space: float
    step: float

    def room(self, key: Hashable, now: float) -> float:
        """How much room is left, in seconds: a request passes where it is at least `step`."""

    def take(self, key: Hashable, now: float) -> None:
        """One request passes."""


class SingleGate:
    """One policy. Its arithmetic is written out by those that know where TATs are, for it runs for most requests.

    Mutable state: theirs, and `_ready`, the fields by what remains; cleared when full.
    """

    __slots__ = (
        "_allowed",
        "_cost",
        "_key_of",
        "_most",
        "_now",
        "_ready",
        "_replaces",
        "_step",
        "_tells",
        "_units",
        "_verdicts",
    )

    def __init__(self, policy: Policy, key_of: KeyOf, verdicts: Verdicts, clock: Clock) -> None:
        self._cost = policy.cost
        self._key_of = key_of
        self._verdicts = verdicts
        self._now = clock.now
        self._step = policy.step
        self._most = policy.space - policy.step
        self._units = 1 / policy.emission
        self._allowed = verdicts.decisions.allowed
        self._tells = verdicts.tells
        self._replaces = verdicts.replaces
        self._ready: dict[int, Fields] = {}

    def _fields(self, remaining: int, room: float) -> Fields:
        fields = self._verdicts.headers.fields([Left(0, remaining, self._step - room)])
        if remaining >= self._cost:
            if len(self._ready) >= LEVELS:
                self._ready.clear()
            self._ready[remaining] = fields
        return fields


class LocalGate(SingleGate):
    """One policy in this process's memory. Mutable state: the limiter's."""

    __slots__ = ("_limiter", "_young")

    def __init__(self, policy: Policy, key_of: KeyOf, verdicts: Verdicts, clock: Clock) -> None:
        SingleGate.__init__(self, policy, key_of, verdicts, clock)
        self._limiter = LocalLimiter(policy)
        self._young = self._limiter.young

    def on_request(self, exchange: Exchange) -> None:
        """Take what one request costs. GatewayError RATE_LIMITED."""
        key = self._key_of(exchange)
        now = self._now()
        known = self._young.get(key)
        tat = self._limiter.recall(key) if known is None else known
        if tat < now:
            tat = now
        room = self._most - (tat - now)
        if room < 0:
            self._verdicts.over(exchange, [left(0, self._limiter, room + self._step)])
            return
        self._young[key] = tat + self._step
        counter = self._allowed[exchange.route_id]
        counter.value += 1
        if self._tells:
            remaining = int(room * self._units)
            fields = self._ready.get(remaining) or self._fields(remaining, room)
            if self._replaces:
                self._verdicts.tell(exchange, fields)
            else:
                exchange.told += fields.added


class JointGate:
    """Several policies: every request passes all of them, or takes from none. Mutable state: the limiters'."""

    def __init__(self, limiters: Sequence[Limiter], keys: Sequence[KeyOf], verdicts: Verdicts, clock: Clock) -> None:
        self._limits = list(zip(limiters, keys, strict=True))
        self._verdicts = verdicts
        self._now = clock.now

    def on_request(self, exchange: Exchange) -> None:
        """Take what one request costs from each. GatewayError RATE_LIMITED."""
        now = self._now()
        asked = [(limiter, key_of(exchange)) for limiter, key_of in self._limits]
        rooms = [limiter.room(key, now) for limiter, key in asked]
        over = [place for place, (limiter, _) in enumerate(asked) if rooms[place] < limiter.step]
        if over:
            self._verdicts.over(exchange, [left(place, asked[place][0], rooms[place]) for place in over])
            return
        lefts = []
        for place, (limiter, key) in enumerate(asked):
            limiter.take(key, now)
            lefts.append(left(place, limiter, rooms[place] - limiter.step))
        self._verdicts.passes(exchange, lefts)


def left(place: int, limiter: Limiter, room: float) -> Left:
    """What is left of the policy at `place`, with so much room."""
    return Left(place, limiter.policy.remaining(room), limiter.step - room)
