"""Limits that several gateways keep together, in a shared store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Sequence

from gateway.limits.headers import Left
from gateway.limits.keys import KeyOf
from gateway.limits.lease import Lease
from gateway.limits.questions import Questions, StoreLimiter
from gateway.limits.verdicts import Verdicts
from gateway.plugin import ADMITTED, Clock, Exchange, Reply, Scripting, SharedUnavailable
from gateway.recent import Recent

# What is done with a request that the store says nothing about.
Otherwise = Callable[[Exchange, SharedUnavailable], None]


class _Limit:
    """One policy, and what this process holds of its buckets. Mutable state: the leases."""

    __slots__ = ("key_of", "leases", "limiter", "place")

    def __init__(self, place: int, limiter: StoreLimiter, key_of: KeyOf) -> None:
        self.place = place
        self.limiter = limiter
        self.key_of = key_of
        self.leases: Recent[Lease] = Recent()

    def asked(self, exchange: Exchange) -> _Asked:
        key = self.key_of(exchange)
        lease = self.leases.get(key)
        if lease is None:
            lease = Lease()
            self.leases.put(key, lease)
        return _Asked(self, key, lease)


class _Asked:
    """One policy about one request."""

    __slots__ = ("key", "lease", "limit")

    def __init__(self, limit: _Limit, key: Hashable, lease: Lease) -> None:
        self.limit = limit
        self.key = key
        self.lease = lease

    def left(self, now: float) -> Left:
        policy = self.limit.limiter.policy
        left = min(self.lease.left + self.lease.held * policy.cost, policy.burst)
        return Left(self.limit.place, left, self.lease.wait(now))


class SharedGate:
    """Every request passes all policies, or takes from none. Most are decided at once: by what a lease holds, or by a
    refusal that lasts; the others ask the store. Mutable state: the leases, and what is being asked."""

    def __init__(
        self,
        limiters: Sequence[StoreLimiter],
        keys: Sequence[KeyOf],
        verdicts: Verdicts,
        store: Scripting,
        clock: Clock,
        otherwise: Otherwise,
    ) -> None:
        """`otherwise` is called for requests that the store gives no answer for, and raises or lets them pass."""
        self._limits = tuple(
            _Limit(place, limiter, key_of) for place, (limiter, key_of) in enumerate(zip(limiters, keys, strict=True))
        )
        self._verdicts = verdicts
        self._questions = Questions(store, limiters[0].script, clock)
        self._now = clock.now
        self._otherwise = otherwise

    def on_request(self, exchange: Exchange) -> Reply | None:
        """ADMITTED where nobody has to be asked. GatewayError RATE_LIMITED."""
        now = self._now()
        asked = [limit.asked(exchange) for limit in self._limits]
        lacking = [one for one in asked if not one.lease.has(now)]
        if lacking:
            over = [one.left(now) for one in lacking if one.lease.refuses(now)]
            if not over:
                return None
            self._verdicts.over(exchange, over)
            return ADMITTED
        for one in asked:
            one.lease.take()
        self._verdicts.passes(exchange, [one.left(now) for one in asked])
        return ADMITTED

    async def admit(self, exchange: Exchange) -> None:
        """Ask the store. GatewayError RATE_LIMITED, or whatever is raised where it gives no answer."""
        now = self._now()
        asked = [limit.asked(exchange) for limit in self._limits]
        held = [one for one in asked if one.lease.has(now)]
        for one in held:
            one.lease.take()
        asking = [one for one in asked if one not in held]
        try:
            answers = await asyncio.gather(
                *(self._questions.ask(one.limit.limiter, one.key, one.lease) for one in asking)
            )
        except SharedUnavailable as error:
            for one in held:
                one.lease.give_back()
            self._verdicts.decisions.store_error[exchange.route_id].inc()
            self._otherwise(exchange, error)
            return
        now = self._now()
        if all(answers):
            self._verdicts.passes(exchange, [one.left(now) for one in asked])
            return
        for one in held:
            one.lease.give_back()
        for one, passes in zip(asking, answers, strict=True):
            if passes:
                self._questions.give_back(one.limit.limiter, one.key, one.lease)
        over = [one.left(now) for one, passes in zip(asking, answers, strict=True) if not passes]
        self._verdicts.over(exchange, over)

    async def settled(self) -> None:
        """Nothing is being asked."""
        await self._questions.settled()
