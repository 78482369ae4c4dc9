"""Limits that the workers of a gateway keep together, in the memory that they share: see `gateway.state.board`."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

from gateway.exchange import Exchange
from gateway.limits.gcra import Policy
from gateway.limits.keys import KeyOf
from gateway.limits.local import SingleGate, left
from gateway.limits.verdicts import Verdicts
from gateway.plugin import Clock

if TYPE_CHECKING:
    from gateway.state.board import Seat


class BoardLimiter:
    """One policy in shared memory, where it counts with those of the same `space` in other workers. Mutable state: the
    memory, and the marks of keys of late."""

    __slots__ = ("marks", "policy", "space", "step", "table")

    def __init__(self, policy: Policy, seat: Seat, space: str) -> None:
        self.policy = policy
        self.step = policy.step
        self.space = policy.space
        self.marks = seat.marks(space)
        self.table = seat.rates

    def room(self, key: Hashable, now: float) -> float:
        """How much room is left, in seconds: a request passes where it is at least `step`."""
        return self.space - max(self.table.tats[self._slot(key, now)] - now, 0.0)

    def take(self, key: Hashable, now: float) -> None:
        """One request passes."""
        slot, tats, step = self._slot(key, now), self.table.tats, self.step
        if tats[slot] > now:
            tats[slot] += step
        else:
            tats[slot] = now + step

    def _slot(self, key: Hashable, now: float) -> int:
        return self.table.find(self.marks.of(key), now)


class BoardGate(SingleGate):
    """One policy in shared memory. Mutable state: the limiter's."""

    __slots__ = ("_find", "_first", "_limiter", "_marks", "_slots", "_tats", "_young")

    def __init__(self, limiter: BoardLimiter, key_of: KeyOf, verdicts: Verdicts, clock: Clock) -> None:
        SingleGate.__init__(self, limiter.policy, key_of, verdicts, clock)
        self._limiter = limiter
        self._marks = limiter.marks
        self._young = limiter.marks.young
        self._find = limiter.table.find
        self._slots = limiter.table.marks
        self._tats = limiter.table.tats
        self._first = limiter.table.first

    def on_request(self, exchange: Exchange) -> None:
        """Take what one request costs. GatewayError RATE_LIMITED."""
        key = self._key_of(exchange)
        mark = self._young.get(key) or self._marks.of(key)
        slot = mark & self._first
        now = self._now()
        if self._slots[slot] != mark:
            slot = self._find(mark, now)
        tats, step = self._tats, self._step
        ahead = tats[slot] - now
        if ahead > 0:
            room = self._most - ahead
            if room < 0:
                self._verdicts.over(exchange, [left(0, self._limiter, room + step)])
                return
            # Read once more: what others have taken since is not lost, and the time for that is shortest.
            tats[slot] += step
        else:
            room = self._most
            tats[slot] = now + step
        counter = self._allowed[exchange.route_id]
        counter.value += 1
        if self._tells:
            remaining = int(room * self._units)
            fields = self._ready.get(remaining) or self._fields(remaining, room)
            if self._replaces:
                self._verdicts.tell(exchange, fields)
            else:
                exchange.told += fields.added
