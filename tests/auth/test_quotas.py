"""A quota counts within its period, in shared state, and a flood beyond it stays away from the store."""

from __future__ import annotations

import pytest

from gateway.auth.quotas import Quotas
from gateway.errors import GatewayError, Kind
from gateway.limits.rate import Rate
from gateway.plugin import SharedUnavailable
from gateway.state.memory import MemoryShared
from gateway.testing import FakeClock

DAY = 86_400
MIDNIGHT = 20_000.0 * DAY


class Counting(MemoryShared):
    """Notes what is asked of it. `down`: does not answer."""

    down = False

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.calls: list[tuple[str, float | None]] = []

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        self.calls.append((key, ttl))
        if self.down:
            raise SharedUnavailable("no answer")
        return await super().add(key, amount, ttl)


def quotas(shared: Counting, **rates: str) -> Quotas:
    return Quotas({name: Rate.parse(rate) for name, rate in rates.items()}, shared)


async def refused(counted: Quotas, consumer: str, wall: float) -> float | None:
    """How long the refusal asks to wait, None when there was none."""
    try:
        counted.check(consumer, wall)
        await counted.take(consumer, wall)
    except GatewayError as error:
        return error.retry_after if error.kind is Kind.RATE_LIMITED else -1
    return None


async def test_so_many_pass_in_each_period() -> None:
    counted = quotas(Counting(FakeClock()), shop="3/d")

    assert [await refused(counted, "shop", MIDNIGHT + 100) for _ in range(5)] == [None] * 3 + [DAY - 100] * 2
    assert await refused(counted, "shop", MIDNIGHT + DAY - 1) == 1
    assert [await refused(counted, "shop", MIDNIGHT + DAY) for _ in range(4)] == [None] * 3 + [DAY]


async def test_a_flood_does_not_reach_the_store() -> None:
    shared = Counting(FakeClock())
    counted = quotas(shared, shop="1/m")
    for _ in range(50):
        await refused(counted, "shop", MIDNIGHT)

    assert len(shared.calls) == 2
    assert shared.calls[0] == (f"quota:shop:60.0:{int(MIDNIGHT) // 60}", 60.0)


async def test_each_consumer_has_its_own() -> None:
    counted = quotas(Counting(FakeClock()), shop="1/m", office="2/m")

    assert [await refused(counted, "shop", MIDNIGHT) is None for _ in range(2)] == [True, False]
    assert [await refused(counted, "office", MIDNIGHT) is None for _ in range(3)] == [True, True, False]
    assert (counted.concerns("shop"), counted.concerns("who")) == (True, False)


async def test_two_gateways_count_together() -> None:
    shared = Counting(FakeClock())
    one, two = quotas(shared, shop="3/m"), quotas(shared, shop="3/m")

    told = [await refused(counted, "shop", MIDNIGHT) for counted in (one, two, one, two, one)]
    assert told == [None, None, None, 60, 60]


async def test_counters_of_different_periods_do_not_meet() -> None:
    shared = Counting(FakeClock())
    day, hour = quotas(shared, shop="1/d"), quotas(shared, shop="1/h")

    # The number of the hour in 1970 is that of the day today.
    assert await refused(day, "shop", 20_000.0 * DAY) is None
    assert await refused(hour, "shop", 20_000.0 * 3600) is None


async def test_a_store_that_is_down_is_told() -> None:
    shared = Counting(FakeClock())
    counted = quotas(shared, shop="1/m")
    shared.down = True
    with pytest.raises(SharedUnavailable):
        await counted.take("shop", MIDNIGHT)

    shared.down = False
    assert await refused(counted, "shop", MIDNIGHT) is None
