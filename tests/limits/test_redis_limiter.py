"""The script in a real Redis follows the rule, and its keys are no secret."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.config.state_specs import RedisSpec
from gateway.limits.gcra import Policy
from gateway.limits.keys import key_of
from gateway.limits.rate import Rate
from gateway.limits.redis_limiter import RedisLimiter
from gateway.process.runtime import SystemClock
from gateway.state.redis import RedisShared
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_exchange
from tests.support.polling import soon
from tests.support.servers import Server, redis_server

HOUR = Policy("hour", Rate(10, 3600.0), 10)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@contextlib.asynccontextmanager
async def opened(**spec: Any) -> AsyncIterator[RedisShared]:
    store = RedisShared(
        RedisSpec.model_validate({"timeout": "10s", "connect_timeout": "10s", **spec}), SystemClock(), Metrics()
    )
    await store.start()
    try:
        yield store
    finally:
        await soon(store.close())


@pytest.fixture
async def shared(server: Server) -> AsyncIterator[RedisShared]:
    assert server.ask("FLUSHALL") == b"+OK\r\n"
    async with opened(url=f"redis://{server.address}/0") as store:
        yield store


async def ask(store: RedisShared, limiter: RedisLimiter, *requests: int, key: Any = "k") -> list[list[int]]:
    return [(await soon(store.run(limiter.script, [limiter.call(key, number)])))[0] for number in requests]


async def test_the_burst_passes_and_then_the_rate(shared: RedisShared) -> None:
    results = await ask(shared, RedisLimiter(HOUR, ("route",)), 1, 4, 20, 1)
    assert [(passed, left) for passed, left, _ in results] == [(1, 9), (4, 5), (5, 0), (0, 0)]
    assert results[0][2] == results[1][2] == 0
    assert 359_000_000 < results[3][2] <= 360_000_000


async def test_a_request_takes_its_cost_or_nothing(shared: RedisShared) -> None:
    limiter = RedisLimiter(Policy("hour", Rate(10, 3600.0), 10, 4), ("route",))
    assert [result[:2] for result in await ask(shared, limiter, 3, 1)] == [[2, 2], [0, 2]]


async def test_what_is_given_back_is_there_again(shared: RedisShared) -> None:
    limiter = RedisLimiter(HOUR, ("route",))
    assert [result[:2] for result in await ask(shared, limiter, 10, -3, 5)] == [[10, 0], [-3, 3], [3, 0]]
    assert [result[:2] for result in await ask(shared, limiter, -50, 20)] == [[-50, 50], [10, 0]]


async def test_keys_and_policies_do_not_know_each_other(shared: RedisShared) -> None:
    limiter = RedisLimiter(HOUR, ("route",))
    other = RedisLimiter(Policy("hour", Rate(11, 3600.0), 10), ("route",))
    assert (await ask(shared, limiter, 10))[0][0] == 10
    assert (await ask(shared, limiter, 10, key="another"))[0][0] == 10
    assert (await ask(shared, other, 10))[0][0] == 10
    assert (await ask(shared, RedisLimiter(Policy("hour", HOUR.rate, 9), ("route",)), 9))[0][0] == 9
    assert (await ask(shared, RedisLimiter(HOUR, ("principal",)), 10))[0][0] == 10
    dear = RedisLimiter(Policy("hour", Rate(10, 3600.0), 10, 2), ("route",))
    assert (await ask(shared, dear, 1))[0][0] == 0, "routes of other cost should count together"


async def test_a_bucket_that_is_full_takes_no_memory(shared: RedisShared, server: Server) -> None:
    limiter = RedisLimiter(Policy("quick", Rate(1000, 1.0), 3), ("route",))
    await ask(shared, limiter, 3)
    await asyncio.sleep(0)
    remaining = server.ask("PTTL", "aiogate:" + limiter.call("k", 1)[0])
    assert int(remaining[1:]) <= 3
    slow = RedisLimiter(HOUR, ("route",))
    await ask(shared, slow, 1)
    assert 350_000 < int(server.ask("PTTL", "aiogate:" + slow.call("k", 1)[0])[1:]) <= 360_001


async def test_a_clock_that_was_set_back_heals(shared: RedisShared) -> None:
    for amount in range(1, 40):
        limiter = RedisLimiter(Policy("p", Rate(amount, 3600.0), amount), ("route",))
        key, _ = limiter.call("k", 1)
        await shared.set(key, b"9e15")
        passed, left, wait = (await ask(shared, limiter, 1))[0]
        assert (passed, left) == (0, 0)
        assert wait <= limiter.policy.step * 1e6 + 1


async def test_a_high_rate_is_exact(shared: RedisShared) -> None:
    limiter = RedisLimiter(Policy("high", Rate(1_000_000, 60.0), 60_000), ("route",))
    passed = sum(result[0] for result in await ask(shared, limiter, *[1] * 50, 100_000))
    assert 60_000 <= passed < 120_000


async def test_it_counts_in_a_cluster(cluster: list[Server]) -> None:
    async with opened(cluster={"nodes": [node.address for node in cluster]}) as store:
        limiter = RedisLimiter(HOUR, ("principal",))
        results = await soon(store.run(limiter.script, [limiter.call(str(key), 7) for key in range(20)] * 2))
    assert [result[0] for result in results] == [7] * 20 + [3] * 20


def test_the_key_in_the_store() -> None:
    limiter = RedisLimiter(HOUR, ("client_ip",))
    assert re.fullmatch(r"rl:\{hour\.[0-9a-f]{12}:192\.0\.2\.1\}", limiter.call("192.0.2.1", 1)[0])
    assert limiter.call("k", 1)[0] == RedisLimiter(HOUR, ("client_ip",)).call("k", 1)[0]


def test_a_key_holds_no_secret_and_nothing_that_would_move_its_hash_tag() -> None:
    parts = ("header:X-Api-Key", "claim:sub")
    limiter = RedisLimiter(HOUR, parts)
    exchange = make_exchange(headers={"X-Api-Key": "s3cret-key"}, claims={"sub": "}{evil key\r\n"})
    key, _ = limiter.call(key_of(parts)(exchange), 1)
    assert "s3cret" not in key
    assert re.fullmatch(r"rl:\{[A-Za-z0-9._:|#~@/-]+\}", key)
