"""The buckets of Spring Cloud Gateway in a real Redis: its keys, its numbers, and not its weakness."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from gateway.config.state_specs import RedisSpec
from gateway.limits.gcra import Policy
from gateway.limits.rate import Rate
from gateway.limits.spring_limiter import SpringLimiter
from gateway.process.runtime import SystemClock
from gateway.state.redis import RedisShared
from gateway.telemetry.metrics import Metrics
from tests.support.polling import soon
from tests.support.servers import Server, redis_server

TOKENS = "request_rate_limiter.{items.ada}.tokens"
TIMESTAMP = "request_rate_limiter.{items.ada}.timestamp"
NOW = 1_800_000_000
SLOW = {"timeout": "10s", "connect_timeout": "10s", "prefix": ""}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with redis_server(tmp_path_factory.mktemp("redis")) as running:
        yield running


@pytest.fixture
async def shared(server: Server) -> AsyncIterator[RedisShared]:
    assert server.ask("FLUSHALL") == b"+OK\r\n"
    spec = RedisSpec.model_validate({"url": f"redis://{server.address}/0", **SLOW})
    store = RedisShared(spec, SystemClock(), Metrics())
    yield store
    await soon(store.close())


def make(rate: int, burst: int, cost: int = 1) -> SpringLimiter:
    return SpringLimiter(Policy("default", Rate(rate, 1.0), burst, cost), ("route", "principal"))


async def ask(store: RedisShared, limiter: SpringLimiter, now: int | str, *requests: int) -> list[list[int]]:
    """At a time of the test's choosing."""
    results = []
    for number in requests:
        key, (rate, capacity, _, cost, wanted) = limiter.call(("items", "ada"), number)
        results += await soon(store.run(limiter.script, [(key, (rate, capacity, str(now), cost, wanted))]))
    return results


def test_its_keys_and_arguments() -> None:
    assert make(10, 20, 2).call(("items", "ada"), 3) == (TOKENS, (10, 20, "", 2, 3))
    hidden = SpringLimiter(Policy("default", Rate(1, 1.0), 1), ("route", "header:X-Api-Key"))
    assert "s3cret" not in hidden.call(("items", "s3cret"), 1)[0]


async def test_a_bucket_of_tokens_on_whole_seconds(shared: RedisShared, server: Server) -> None:
    limiter = make(2, 5)
    assert [result[:2] for result in await ask(shared, limiter, NOW, 1, 1, 3, 1)] == [[1, 4], [1, 3], [3, 0], [0, 0]]
    assert await ask(shared, limiter, NOW, 1) == [[0, 0, 1_000_000]]
    assert await ask(shared, limiter, NOW + 1, 3) == [[2, 0, 1_000_000]]
    assert await ask(shared, limiter, NOW + 100, 1) == [[1, 4, 0]]
    assert (server.ask("GET", TOKENS), server.ask("GET", TIMESTAMP)) == (b"$1\r\n4\r\n", b"$10\r\n%d\r\n" % (NOW + 100))
    assert (server.ask("TTL", TOKENS), server.ask("TTL", TIMESTAMP)) == (b":5\r\n", b":5\r\n")


async def test_what_spring_wrote_counts(shared: RedisShared) -> None:
    await shared.set(TOKENS, b"3")
    await shared.set(TIMESTAMP, b"%d" % NOW)
    assert [result[:2] for result in await ask(shared, make(2, 10, 2), NOW, 1, 1)] == [[1, 1], [0, 1]]
    assert (await ask(shared, make(2, 10, 2), NOW + 1, 1))[0][:2] == [1, 1]


async def test_a_clock_that_goes_back_adds_nothing(shared: RedisShared) -> None:
    await ask(shared, make(2, 5), NOW, 5)
    assert (await ask(shared, make(2, 5), NOW - 50, 1))[0][:2] == [0, 0]


async def test_a_bucket_that_fills_at_once_is_not_forgotten(shared: RedisShared, server: Server) -> None:
    limiter = make(10, 2)
    assert [result[0] for result in await ask(shared, limiter, NOW, 1, 1, 1)] == [1, 1, 0]
    assert server.ask("TTL", TOKENS) == b":1\r\n"


async def test_by_the_clock_of_redis_a_wait_ends_with_the_second(shared: RedisShared, server: Server) -> None:
    limiter = make(1, 1)
    before = int(time.time())
    passed, refused = (await ask(shared, limiter, "", 1, 1))[-2:]
    assert passed[0] == 1
    # The second may end between the two.
    assert refused[0] in (0, 1)
    assert 0 <= refused[2] <= 1_000_000
    stamp = int(server.ask("GET", TIMESTAMP).split(b"\r\n")[1])
    assert before <= stamp <= time.time() + 1


async def test_both_keys_are_in_one_place_of_a_cluster(cluster: list[Server]) -> None:
    spec: dict[str, Any] = {"cluster": {"nodes": [node.address for node in cluster]}, **SLOW}
    store = RedisShared(RedisSpec.model_validate(spec), SystemClock(), Metrics())
    limiter = make(1, 5)
    calls = [limiter.call(("items", str(key)), 3) for key in range(20)]
    results = await soon(store.run(limiter.script, calls))
    await soon(store.close())
    assert [result[:2] for result in results] == [[3, 2]] * 20
