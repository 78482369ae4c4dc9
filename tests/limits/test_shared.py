"""Limits in a shared store: who is let pass at once, who waits for an answer, and what is taken."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.exchange import Exchange
from gateway.limits.decisions import Decisions
from gateway.limits.gcra import Policy
from gateway.limits.headers import LimitHeaders
from gateway.limits.keys import key_of
from gateway.limits.rate import Rate
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shared import SharedGate
from gateway.limits.verdicts import Verdicts
from gateway.plugin import ADMITTED, GatewayError
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_exchange, make_head
from tests.support.polling import soon, turns
from tests.support.scripting import FakeScripting

FAST = Policy("fast", Rate(1000, 1.0), 100)
TENTH = Policy("tenth", Rate(10, 1.0), 3)
HOUR = Policy("hour", Rate(2, 3600.0), 2)


class Gateway:
    """One process's gate. `failed` are the requests that the store gave no answer for."""

    def __init__(self, store: FakeScripting, *limits: tuple[Policy, str], enforces: bool = True) -> None:
        self.clock = store.clock
        policies = [policy for policy, _ in limits]
        decisions = Decisions(Metrics(), "x_total", "Text.", enforces)
        self.verdicts = Verdicts(policies, LimitHeaders(policies, ("draft",)), decisions)
        self.failed: list[Exchange] = []
        self.at_once = 0
        self.gate = SharedGate(
            [RedisLimiter(policy, (by,)) for policy, by in limits],
            [key_of((by,)) for _, by in limits],
            self.verdicts,
            store,
            store.clock,
            lambda exchange, error: self.failed.append(exchange),
        )

    async def passes(self, exchange: Exchange | None = None) -> bool:
        exchange = exchange or make_exchange()
        try:
            if self.gate.on_request(exchange) is ADMITTED:
                self.at_once += 1
            else:
                await soon(self.gate.admit(exchange))
        except GatewayError:
            return False
        return True

    async def refusal(self) -> GatewayError:
        exchange = make_exchange()
        try:
            if self.gate.on_request(exchange) is None:
                await soon(self.gate.admit(exchange))
        except GatewayError as error:
            return error
        raise AssertionError("it passed")

    async def many(self, number: int) -> int:
        return sum(await asyncio.gather(*(self.passes() for _ in range(number))))

    def counted(self, decision: str) -> float:
        counter: Any = getattr(self.verdicts.decisions, decision)["test"]
        return float(counter.value)


def store() -> FakeScripting:
    return FakeScripting(FakeClock())


async def test_the_burst_passes_and_a_refusal_is_remembered() -> None:
    redis = store()
    gateway = Gateway(redis, (TENTH, "client_ip"))
    assert [await gateway.passes() for _ in range(4)] == [True, True, True, False]
    asked = len(redis.runs)
    assert await gateway.many(100) == 0
    assert len(redis.runs) == asked, "a flood reached the store"
    redis.clock.advance(0.1)
    assert [await gateway.passes() for _ in range(2)] == [True, False]
    assert (gateway.counted("allowed"), gateway.counted("limited")) == (4, 102)


async def test_gateways_count_together() -> None:
    redis = store()
    gateways = [Gateway(redis, (TENTH, "client_ip")) for _ in range(3)]
    assert [await gateway.passes() for gateway in gateways * 2] == [True, True, True, False, False, False]
    other = make_exchange(client_ip="192.0.2.9")
    assert await gateways[0].passes(other)


async def test_a_busy_key_takes_ahead_and_most_of_its_requests_wait_for_nobody() -> None:
    redis = store()
    gateway = Gateway(redis, (FAST, "client_ip"))
    passed = 0
    for _ in range(500):
        redis.clock.advance(0.002)
        passed += await gateway.passes()
    assert passed == 500
    assert gateway.at_once > 400
    assert max(number for _, number in redis.asked) <= 51


@pytest.mark.parametrize("gateways", [1, 2])
async def test_three_times_the_rate_gets_the_rate(gateways: int) -> None:
    """1000/s, of which each turn of a millisecond brings three requests."""
    redis = store()
    several = [Gateway(redis, (FAST, "client_ip")) for _ in range(gateways)]
    assert await several[0].many(200) == 100, "the burst"
    passed = 0
    for turn in range(500):
        redis.clock.advance(0.001)
        passed += await several[turn % gateways].many(3)
    assert 475 <= passed <= 525


async def test_a_lease_ends() -> None:
    redis = store()
    gateway = Gateway(redis, (FAST, "client_ip"))
    assert [await gateway.passes() for _ in range(4)] == [True] * 4
    assert [number for _, number in redis.asked] == [1, 2, 4]
    redis.clock.advance(0.2)
    assert await gateway.passes()
    assert len(redis.asked) == 4, "what was left of the lease should be gone"


async def test_several_policies_take_all_or_nothing() -> None:
    redis = store()
    gateway = Gateway(redis, (TENTH, "client_ip"), (HOUR, "route"))
    assert [await gateway.passes() for _ in range(3)] == [True, True, False]
    await soon(gateway.gate.settled())
    other = Gateway(redis, (TENTH, "client_ip"))
    assert await other.passes(), "what was refused has taken from the other policy"
    assert not await other.passes()


async def test_several_policies_give_back_what_a_lease_held() -> None:
    redis = store()
    second = Policy("second", Rate(1, 1.0), 4)
    gateway = Gateway(redis, (FAST, "client_ip"), (second, "route"))
    assert [await gateway.passes() for _ in range(6)] == [True] * 4 + [False] * 2
    (lease,) = gateway.gate._limits[0].leases.young.values()
    await soon(gateway.gate.settled())
    (tat,) = (tat for key, tat in redis.tats.items() if "fast" in key)
    taken = round(tat / 1e3 - redis.clock.now() * 1e3)
    assert taken - lease.held == 4


async def test_a_known_refusal_takes_from_no_other_policy() -> None:
    redis = store()
    gateway = Gateway(redis, (TENTH, "client_ip"), (HOUR, "route"))
    await gateway.many(5)
    await soon(gateway.gate.settled())
    asked = len(redis.runs)
    redis.clock.advance(60)
    assert await gateway.many(20) == 0
    assert len(redis.runs) == asked


async def test_without_an_answer_somebody_else_decides() -> None:
    redis = store()
    gateway = Gateway(redis, (TENTH, "client_ip"))
    redis.down = True
    assert await gateway.many(5) == 5
    assert len(gateway.failed) == 5
    assert gateway.counted("store_error") == 5
    redis.down = False
    assert [await gateway.passes() for _ in range(4)] == [True, True, True, False]
    assert len(gateway.failed) == 5


async def test_without_an_answer_a_lease_keeps_what_it_held() -> None:
    redis = store()
    gateway = Gateway(redis, (FAST, "client_ip"), (HOUR, "route"))
    gateway.gate.on_request(make_exchange())
    assert await gateway.passes()
    (lease,) = gateway.gate._limits[0].leases.young.values()
    lease.answered(0, 5, 50, 0.0, redis.clock.now())
    redis.down = True
    assert await gateway.passes()
    assert (len(gateway.failed), lease.held) == (1, 5)


async def test_a_client_that_goes_away_while_the_store_is_asked() -> None:
    redis = store()
    redis.gate = asyncio.Event()
    gateway = Gateway(redis, (TENTH, "client_ip"))
    tasks = [asyncio.create_task(gateway.passes()) for _ in range(3)]
    await turns()
    tasks[0].cancel()
    redis.gate.set()
    assert await soon(asyncio.gather(*tasks[1:])) == [True, True]
    assert await gateway.passes(), "what it did not use is there for the next"
    assert gateway.at_once == 1


async def test_observed_everything_passes_and_is_counted() -> None:
    redis = store()
    gateway = Gateway(redis, (TENTH, "client_ip"), enforces=False)
    assert await gateway.many(10) == 10
    assert await gateway.many(10) == 10
    assert (gateway.counted("allowed"), gateway.counted("observed")) == (3, 17)


async def test_what_is_left_is_told() -> None:
    redis = store()
    gateway = Gateway(redis, (TENTH, "client_ip"))
    told = []
    for _ in range(5):
        exchange, head = make_exchange(), make_head()
        await gateway.passes(exchange)
        gateway.verdicts.replace(exchange, head)
        head.add_all(exchange.told)
        told.append(head.headers.get("RateLimit"))
    assert told == [f'"tenth";r={left};t=1' for left in (2, 1, 0, 0, 0)]


async def test_a_refusal_says_when_to_come_again() -> None:
    redis = store()
    gateway = Gateway(redis, (HOUR, "client_ip"))
    await gateway.many(2)
    waits = []
    for _ in range(2):
        waits.append((await gateway.refusal()).retry_after)
        redis.clock.advance(800)
    assert waits == pytest.approx([1800, 1000], abs=1)


async def test_leases_are_bounded() -> None:
    redis = store()
    gateway = Gateway(redis, (TENTH, "principal"))
    gateway.gate._limits[0].leases._half = 10
    for number in range(100):
        assert await gateway.passes(make_exchange(principal=str(number)))
    assert len(gateway.gate._limits[0].leases) <= 20


async def test_an_error_that_is_no_outage_fails_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = store()

    async def broken(*_: Any) -> list[Any]:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(redis, "run", broken)
    gateway = Gateway(redis, (TENTH, "client_ip"))
    with pytest.raises(RuntimeError, match="a fault of ours"):
        await gateway.passes()
