"""Limits in this process's memory: a straight path for one policy, and another way for several at once."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.limits.gcra import LocalLimiter, Policy
from gateway.limits.headers import LEVELS, Fields, Left
from gateway.limits.keys import KeyOf
from gateway.limits.verdicts import Verdicts
from gateway.plugin import Clock, Exchange


class LocalGate:
    """One policy. Its arithmetic is written out, for this runs for most requests.

    Mutable state: the limiter's, and `_ready`, the fields by what remains; cleared when full.
    """

    def __init__(self, policy: Policy, key_of: KeyOf, verdicts: Verdicts, clock: Clock) -> None:
        self._limiter = LocalLimiter(policy)
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

    def on_request(self, exchange: Exchange) -> None:
        """Take what one request costs. GatewayError RATE_LIMITED."""
        key = self._key_of(exchange)
        limiter = self._limiter
        now = self._now()
        tat = limiter.young.get(key)
        if tat is None:
            tat = limiter.recall(key)
        if tat < now:
            tat = now
        room = self._most - (tat - now)
        if room < 0:
            self._verdicts.over(exchange, [_left(0, limiter, room + self._step)])
            return
        limiter.young[key] = tat + self._step
        self._allowed[exchange.route_id].value += 1
        if self._tells:
            remaining = int(room * self._units)
            fields = self._ready.get(remaining) or self._fields(remaining, room)
            if self._replaces:
                self._verdicts.tell(exchange, fields)
            else:
                exchange.told += fields.added

    def _fields(self, remaining: int, room: float) -> Fields:
        fields = self._verdicts.headers.fields([Left(0, remaining, self._step - room)])
        if remaining >= self._limiter.policy.cost:
            if len(self._ready) >= LEVELS:
                self._ready.clear()
            self._ready[remaining] = fields
        return fields


class JointGate:
    """Several policies: every request passes all of them, or takes from none. Mutable state: the limiters'."""

    def __init__(self, policies: Sequence[Policy], keys: Sequence[KeyOf], verdicts: Verdicts, clock: Clock) -> None:
        self._limits = [(LocalLimiter(policy), key_of) for policy, key_of in zip(policies, keys, strict=True)]
        self._verdicts = verdicts
        self._now = clock.now

    def on_request(self, exchange: Exchange) -> None:
        """Take what one request costs from each. GatewayError RATE_LIMITED."""
        now = self._now()
        asked = [(limiter, key_of(exchange)) for limiter, key_of in self._limits]
        rooms = [limiter.room(key, now) for limiter, key in asked]
        over = [place for place, (limiter, _) in enumerate(asked) if rooms[place] < limiter.step]
        if over:
            self._verdicts.over(exchange, [_left(place, asked[place][0], rooms[place]) for place in over])
            return
        lefts = []
        for place, (limiter, key) in enumerate(asked):
            limiter.take(key, now)
            lefts.append(_left(place, limiter, rooms[place] - limiter.step))
        self._verdicts.passes(exchange, lefts)


def _left(place: int, limiter: LocalLimiter, room: float) -> Left:
    return Left(place, limiter.policy.remaining(room), limiter.step - room)
