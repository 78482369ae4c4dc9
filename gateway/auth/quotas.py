"""Quotas: how many requests a consumer may make in each day, hour or other period."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.errors import GatewayError, Kind
from gateway.limits.rate import Rate
from gateway.plugin import Shared


class Quotas:
    """Counts the requests of consumers in shared state: one counter for each consumer and period. Periods are counted
    from 1970, so those of a day begin at midnight UTC.

    Mutable state: `_spent`, when the period ends of each consumer whose quota is known to be used up. A consumer that
    floods is refused by that, and no longer reaches the store.
    """

    __slots__ = ("_rates", "_shared", "_spent")

    def __init__(self, rates: Mapping[str, Rate], shared: Shared) -> None:
        self._rates = dict(rates)
        self._shared = shared
        self._spent: dict[str, float] = {}

    def concerns(self, consumer: str) -> bool:
        """Has this consumer a quota?"""
        return consumer in self._rates

    def check(self, consumer: str, wall: float) -> None:
        """GatewayError RATE_LIMITED where the quota is known to be used up at `wall`, in seconds since 1970."""
        end = self._spent.get(consumer)
        if end is not None:
            if wall < end:
                raise _used_up(end - wall)
            del self._spent[consumer]

    async def take(self, consumer: str, wall: float) -> None:
        """Count one request. GatewayError RATE_LIMITED when it is one too many, SharedUnavailable."""
        rate = self._rates[consumer]
        number = int(wall // rate.seconds)
        count = await self._shared.add(f"quota:{consumer}:{rate.seconds!r}:{number}", ttl=rate.seconds)
        if count > rate.amount:
            end = self._spent[consumer] = (number + 1) * rate.seconds
            raise _used_up(end - wall)


def _used_up(seconds: float) -> GatewayError:
    return GatewayError(Kind.RATE_LIMITED, "the quota is used up", retry_after=seconds)
