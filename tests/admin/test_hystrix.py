"""The Hystrix stream has every key that the stock dashboard demands, and ends when the client or the gateway does."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from gateway.admin import handlers
from gateway.admin.handlers import MOST_STREAMS
from tests.support.gateways import request
from tests.support.polling import PATIENCE, soon
from tests.support.runtimes import HEAD, PING, Running, running

# What the dashboard's hystrixCommand.js and hystrixThreadPool.js assert; an event that lacks one is dropped.
COMMAND_KEYS = [
    "type",
    "name",
    "group",
    "isCircuitBreakerOpen",
    "errorPercentage",
    "errorCount",
    "requestCount",
    "rollingCountCollapsedRequests",
    "rollingCountExceptionsThrown",
    "rollingCountFailure",
    "rollingCountFallbackFailure",
    "rollingCountFallbackRejection",
    "rollingCountFallbackSuccess",
    "rollingCountResponsesFromCache",
    "rollingCountSemaphoreRejected",
    "rollingCountShortCircuited",
    "rollingCountSuccess",
    "rollingCountThreadPoolRejected",
    "rollingCountTimeout",
    "rollingCountBadRequests",
    "currentConcurrentExecutionCount",
    "latencyExecute_mean",
    "latencyExecute",
    "latencyTotal_mean",
    "latencyTotal",
    "propertyValue_circuitBreakerRequestVolumeThreshold",
    "propertyValue_circuitBreakerSleepWindowInMilliseconds",
    "propertyValue_circuitBreakerErrorThresholdPercentage",
    "propertyValue_circuitBreakerForceOpen",
    "propertyValue_circuitBreakerForceClosed",
    "propertyValue_executionIsolationStrategy",
    "propertyValue_executionIsolationThreadTimeoutInMilliseconds",
    "propertyValue_executionIsolationThreadInterruptOnTimeout",
    "propertyValue_executionIsolationSemaphoreMaxConcurrentRequests",
    "propertyValue_fallbackIsolationSemaphoreMaxConcurrentRequests",
    "propertyValue_requestCacheEnabled",
    "propertyValue_requestLogEnabled",
    "propertyValue_metricsRollingStatisticalWindowInMilliseconds",
    "reportingHosts",
]
POOL_KEYS = [
    "type",
    "name",
    "currentActiveCount",
    "currentCompletedTaskCount",
    "currentCorePoolSize",
    "currentLargestPoolSize",
    "currentMaximumPoolSize",
    "currentPoolSize",
    "currentQueueSize",
    "currentTaskCount",
    "rollingCountThreadsExecuted",
    "rollingMaxActiveThreads",
    "propertyValue_queueSizeRejectionThreshold",
    "propertyValue_metricsRollingStatisticalWindowInMilliseconds",
    "reportingHosts",
]
PERCENTILES = ["0", "25", "50", "75", "90", "95", "99", "99.5", "100"]

BREAKING = (
    HEAD
    + """upstreams:
  up: {endpoints: ['http://127.0.0.1:9', 'http://127.0.0.1:10'], outliers: off}
routes:
  - {name: api, match: {path: /api}, to: up, plugins: [breaker: {requests: 2, sleep: 60s, fallback: {text: instead}}]}
"""
)


def stream(worker: Running, query: str = "") -> str:
    return f"http://{worker.admin.address}/hystrix.stream{query}"


async def events(worker: Running, count: int, query: str = "?delay=50") -> list[dict[str, Any]]:
    """The first events of a stream."""
    found: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as session, session.get(stream(worker, query)) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/event-stream;charset=UTF-8"
        assert "no-store" in answer.headers["Cache-Control"]
        assert answer.headers.get("Connection") != "close"
        while len(found) < count:
            line = await soon(answer.content.readline())
            if line.startswith(b"data: "):
                found.append(orjson.loads(line.removeprefix(b"data: ")))
            else:
                assert line == b"\n"
    return found


async def test_every_key_is_there(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKING) as worker:
        command, pool, *_ = await events(worker, 4)
        assert set(COMMAND_KEYS) <= set(command)
        assert set(POOL_KEYS) <= set(pool)
        assert (command["type"], command["name"]) == ("HystrixCommand", "api")
        assert (pool["type"], pool["name"]) == ("HystrixThreadPool", "up")
        assert list(command["latencyExecute"]) == list(command["latencyTotal"]) == PERCENTILES
        assert command["propertyValue_executionIsolationStrategy"] == "SEMAPHORE"


async def test_what_is_counted(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKING) as worker, worker.client() as client:
        for _ in range(3):
            answer = await client.ask(request("/api"))
            assert (answer.status, answer.body) == (200, b"instead")
        command, pool = await events(worker, 2)
        assert command["isCircuitBreakerOpen"] is True
        assert (command["requestCount"], command["errorCount"], command["errorPercentage"]) == (2, 2, 100)
        assert (command["rollingCountFailure"], command["rollingCountShortCircuited"]) == (2, 1)
        assert command["rollingCountFallbackSuccess"] == 3
        assert command["currentConcurrentExecutionCount"] == 0
        assert (pool["currentTaskCount"], pool["currentActiveCount"]) == (2, 0)


async def test_nothing_to_show_is_a_ping(tmp_path: Path) -> None:
    async with (
        running(tmp_path, HEAD + PING) as worker,
        aiohttp.ClientSession() as session,
        session.get(stream(worker)) as answer,
    ):
        assert await soon(answer.content.readline()) == b"ping: \n"


async def test_so_many_readers(tmp_path: Path) -> None:
    async with running(tmp_path, BREAKING) as worker, aiohttp.ClientSession() as session:
        url = stream(worker, "?delay=50")
        answers = [await session.get(url) for _ in range(MOST_STREAMS)]
        refused = await session.get(url)
        assert refused.status == 503
        assert "MaxConcurrentConnections reached: 5" in await refused.text()
        for answer in answers:
            answer.close()

        async def again() -> int:
            async with session.get(url) as answer:
                return answer.status

        # The places are free once the writes to those who left have failed.
        async with asyncio.timeout(PATIENCE):
            while await again() != 200:
                await asyncio.sleep(0.02)


@pytest.mark.parametrize("delay", ["", "?delay=", "?delay=soon", "?delay=0"])
async def test_any_delay(tmp_path: Path, delay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert handlers.STREAM_DELAY == 0.5
    monkeypatch.setattr(handlers, "STREAM_DELAY", 0.05)
    async with running(tmp_path, BREAKING) as worker:
        assert len(await events(worker, 2, delay)) == 2


async def test_it_ends_with_the_gateway(tmp_path: Path) -> None:
    async with (
        running(tmp_path, BREAKING) as worker,
        aiohttp.ClientSession() as session,
        session.get(stream(worker, "?delay=50")) as answer,
    ):
        await soon(answer.content.readline())
        await worker.runtime.drain()
        await soon(answer.content.read())
        assert answer.content.at_eof()
