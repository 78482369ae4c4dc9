"""Limits in whole gateways: over real connections, and with a Redis that is killed, frozen and comes back."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import http_sf
import pytest
from gateway.plugins.rate_limit import RateLimit

from gateway.config.state_specs import RedisSpec
from gateway.plugin import ADMITTED, GatewayError
from gateway.process.runtime import SystemClock
from gateway.state.redis import RedisShared
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env, make_exchange, make_plugin
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.polling import PATIENCE, eventually, soon
from tests.support.raw_upstream import RawUpstream, answering, held_until, upstream
from tests.support.runtimes import HEAD, Running, running
from tests.support.servers import Server, redis_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with redis_server(tmp_path / "redis") as started:
        yield started


def route(plugins: str, service: RawUpstream | None = None) -> str:
    limited = f"plugins: [{plugins}]}}\n"
    if service is None:
        return f"routes:\n  - {{name: all, respond: {{text: pong}}, {limited}"
    up = f"{{endpoints: ['http://127.0.0.1:{service.port}']}}"
    return f"upstreams: {{up: {up}}}\nroutes:\n  - {{name: all, to: up, {limited}"


def state(server: Server) -> str:
    # Longer than what is usual: a machine that is busy is no outage.
    return f"state: {{redis: {{url: 'redis://{server.address}/0', timeout: 1s, connect_timeout: 1s}}}}\n"


@contextlib.asynccontextmanager
async def worker(folder: Path, *parts: str) -> AsyncIterator[Running]:
    folder.mkdir(exist_ok=True)
    async with running(folder, HEAD + "".join(parts)) as started:
        yield started
        await eventually(lambda: started.runtime.proxy.active == 0)


async def ask(worker: Running, *fields: bytes, **options: Any) -> Message:
    async with worker.client() as client:
        return await client.ask(request("/x", *fields, **options))


async def statuses(worker: Running, number: int) -> list[int]:
    async with worker.client() as client:
        return [(await client.ask(request())).status for _ in range(number)]


async def counted(worker: Running) -> dict[str, int]:
    lines = (await worker.get("/metrics")).body.decode().splitlines()
    found = [line.rpartition(" ") for line in lines if line.startswith("gateway_rate_limit_total{")]
    return {line.partition('decision="')[2].partition('"')[0]: int(float(value)) for line, _, value in found}


async def test_a_limit_over_real_connections(tmp_path: Path) -> None:
    async with worker(tmp_path, route("rate_limit: {rate: 3/h, headers: [draft, legacy]}")) as gateway:
        answers = [await ask(gateway) for _ in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        left = [http_sf.parse(answer.get("ratelimit").encode(), tltype="list") for answer in answers]  # type: ignore[union-attr]
        assert left[:2] == [[("default", {"r": 2, "t": 1200})], [("default", {"r": 1, "t": 2400})]]
        refused = answers[-1]
        assert refused.get("content-type") == "application/problem+json"
        assert int(refused.get("retry-after") or 0) >= left[-1][0][1]["t"] > 1100
        assert refused.get("x-ratelimit-remaining") == "0"
        assert await counted(gateway) == {"allowed": 3, "limited": 2}


async def test_buckets_outlive_a_reload_that_leaves_the_limit_as_it_is(tmp_path: Path) -> None:
    text = HEAD + route("rate_limit: {rate: 2/h}")
    async with running(tmp_path, text) as gateway:
        assert await statuses(gateway, 1) == [200]
        gateway.write(text.replace("pong", "other"))
        await soon(gateway.runtime.reload())
        assert (await ask(gateway)).body == b"other"
        assert await statuses(gateway, 1) == [429]
        gateway.write(text.replace("2/h", "1/h"))
        await soon(gateway.runtime.reload())
        assert await statuses(gateway, 2) == [200, 429]


async def test_routes_with_the_same_options_count_together(tmp_path: Path) -> None:
    limits = {"a": "{rate: 2/h}", "b": "{rate: 2/h}", "c": "{rate: 2/h, by: [route, client_ip]}", "d": "{rate: 1/h}"}
    routes = (
        f"  - {{name: {name}, match: {{path: /{name}}}, respond: {{text: pong}}, plugins: [rate_limit: {limit}]}}\n"
        for name, limit in limits.items()
    )
    async with worker(tmp_path, "routes:\n", *routes) as gateway, gateway.client() as client:
        asked = "abbadccc"
        answers = [(await client.ask(request(f"/{name}"))).status for name in asked]
        assert answers == [200, 200, 429, 429, 200, 200, 200, 429]
        page = (await gateway.get("/metrics")).body.decode()
        assert 'gateway_rate_limit_total{decision="allowed",route="a"} 1' in page
        assert 'gateway_rate_limit_total{decision="limited",route="b"} 1' in page


async def test_two_gateways_count_together(tmp_path: Path, server: Server) -> None:
    text = state(server), route("rate_limit: {rate: 6/h, by: header:X-Api-Key, store: redis}")
    async with worker(tmp_path / "a", *text) as one, worker(tmp_path / "b", *text) as two:
        passed = [(await ask(gateway, b"X-Api-Key: s3cret-of-ada")).status for gateway in (one, two) * 4]
        assert passed == [200] * 6 + [429] * 2
        assert (await ask(two, b"X-Api-Key: another")).status == 200
        keys = server.ask("KEYS", "*")
        assert keys.count(b"rl:{default.") == 2
        assert b"s3cret" not in keys
        assert b"another" not in keys


async def test_several_policies_in_redis(tmp_path: Path, server: Server) -> None:
    policies = "{name: client, rate: 5/h}, {name: all, rate: 3/h, by: route}"
    text = state(server), route(f"rate_limit: {{policies: [{policies}], store: redis}}")
    async with worker(tmp_path / "a", *text) as gateway:
        assert await statuses(gateway, 6) == [200] * 3 + [429] * 3
        answer = await ask(gateway)
        assert answer.get("ratelimit-policy") == '"client";q=5;w=3600, "all";q=3;w=3600'
        assert (answer.get("ratelimit") or "").startswith('"all";r=0;t=')


async def test_in_the_buckets_of_spring(tmp_path: Path, server: Server) -> None:
    spring = f"state: {{redis: {{url: 'redis://{server.address}/0', timeout: 1s, prefix: ''}}}}\n"
    text = spring, route("rate_limit: {rate: 1/s, burst: 4, cost: 2, store: redis, algorithm: spring}")
    async with worker(tmp_path / "a", *text) as gateway:
        answer = await ask(gateway)
        assert answer.status == 200
        told = {name: answer.get(f"x-ratelimit-{name}") for name in ("replenish-rate", "burst-capacity")}
        assert told == {"replenish-rate": "1", "burst-capacity": "4"}
        assert answer.get("x-ratelimit-requested-tokens") == "2"
        assert answer.get("x-ratelimit-remaining") == "2"
        keys = server.ask("KEYS", "*")
        assert b"request_rate_limiter.{all.127.0.0.1}.tokens" in keys
        assert b"request_rate_limiter.{all.127.0.0.1}.timestamp" in keys


async def decided_by_redis(gateway: Running) -> None:
    """Return once a request passes that only Redis can have let pass."""
    async with asyncio.timeout(PATIENCE):
        while True:
            before = await counted(gateway)
            if await statuses(gateway, 1) == [200] and (await counted(gateway))["store_error"] == before["store_error"]:
                return
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("harm", ["kill", "freeze"])
@pytest.mark.parametrize(
    ("decides", "answers"), [("local", [200] * 40 + [429] * 3), ("open", [200] * 43), ("closed", [503] * 43)]
)
async def test_redis_goes_and_comes_back(
    decides: str, answers: list[int], harm: str, tmp_path: Path, server: Server
) -> None:
    limit = f"rate_limit: {{rate: 40/h, store: redis, on_store_error: {decides}}}"
    async with worker(tmp_path / "a", state(server), route(limit)) as gateway:
        assert await statuses(gateway, 2) == [200, 200]
        assert await counted(gateway) == {"allowed": 2}
        getattr(server, harm)()
        assert await statuses(gateway, 43) == answers
        done = await counted(gateway)
        assert done["store_error"] == 43
        assert done.get("limited", 0) == len([status for status in answers if status != 200])
        server.start() if harm == "kill" else server.thaw()
        await decided_by_redis(gateway)


async def test_a_redis_that_is_not_there_at_the_start(tmp_path: Path, server: Server) -> None:
    server.kill()
    async with worker(tmp_path / "a", state(server), route("rate_limit: {rate: 2/h, store: redis}")) as gateway:
        assert await statuses(gateway, 3) == [200, 200, 429]
        assert await counted(gateway) == {"allowed": 2, "limited": 1, "store_error": 3}
        server.start()
        await decided_by_redis(gateway)


@pytest.mark.parametrize("gateways", [1, 2])
async def test_three_times_the_rate_gets_the_rate(gateways: int, server: Server) -> None:
    """Offered as time goes by, so that a machine that stands still for a moment offers the more then. What it loses by
    that is not bounded here: a clock that is moved by hand does it, in tests/limits/test_shared.py."""
    spec = RedisSpec.model_validate({"url": f"redis://{server.address}/0", "timeout": "10s", "connect_timeout": "10s"})
    stores = [RedisShared(spec, SystemClock(), Metrics()) for _ in range(gateways)]
    envs = [replace(make_env(), clock=SystemClock(), shared=store) for store in stores]
    plugins = [make_plugin(RateLimit, env, rate="400/s", burst=100, store="redis") for env in envs]
    at_once = passed = 0

    async def offer(plugin: RateLimit) -> None:
        nonlocal at_once, passed
        exchange = make_exchange()
        with contextlib.suppress(GatewayError):
            if plugin.on_request(exchange) is ADMITTED:
                at_once += 1
            else:
                await plugin.admit(exchange)
            passed += 1

    offered, tasks, started = 0, set[asyncio.Task[None]](), time.monotonic()
    while (offering := time.monotonic() - started) < 0.5:
        while offered < 1200 * offering:
            tasks.add(asyncio.create_task(offer(plugins[offered % gateways])))
            offered += 1
        await asyncio.sleep(0.002)
        tasks = {task for task in tasks if not task.done()}
    await soon(asyncio.gather(*tasks))
    elapsed = time.monotonic() - started
    for plugin, store in zip(plugins, stores, strict=True):
        await soon(plugin.stop())
        await soon(store.close())

    assert 100 < passed < 110 + 1.02 * 400 * elapsed
    assert at_once, "no leases"


async def test_so_many_at_once(tmp_path: Path) -> None:
    go_on = asyncio.Event()
    async with (
        upstream(held_until(go_on)) as service,
        worker(tmp_path, route("concurrency_limit: {limit: 2}", service)) as gateway,
    ):
        async with gateway.client() as one, gateway.client() as gone:
            one.send(request())
            gone.send(request())
            await eventually(lambda: len(service.requests) == 2)
            assert await statuses(gateway, 2) == [429, 429]
        # Both have hung up: their places are free.
        await eventually(lambda: gateway.runtime.proxy.active == 0)
        async with gateway.client() as one, gateway.client() as two:
            one.send(request())
            two.send(request())
            await eventually(lambda: len(service.requests) == 4)
            go_on.set()
            assert [(await client.response()).status for client in (one, two)] == [200, 200]


async def test_bodies_that_are_too_long(tmp_path: Path) -> None:
    async with (
        upstream(answering) as service,
        worker(tmp_path, route("request_size: {body: 1KiB}", service)) as gateway,
    ):
        assert (await ask(gateway, method="POST", body=b"x" * 1024)).status == 200
        assert (await ask(gateway, method="POST", body=b"x" * 1025)).status == 413
        declared = await ask(gateway, b"Content-Length: 1000000", method="POST")
        assert declared.status == 413, "it should not wait for the body"
        async with gateway.client() as client:
            client.send(request("/x", b"Transfer-Encoding: chunked", method="POST"))
            client.send(b"200\r\n" + b"x" * 512 + b"\r\n")
            client.send(b"201\r\n" + b"x" * 513 + b"\r\n0\r\n\r\n")
            assert (await client.response()).status == 413
        async with gateway.client() as client:
            chunks = b"200\r\n" + b"x" * 512 + b"\r\n"
            sent = request("/x", b"Transfer-Encoding: chunked", method="POST") + chunks * 2 + b"0\r\n\r\n"
            assert (await client.ask(sent)).status == 200


async def test_targets_and_heads_that_are_too_long(tmp_path: Path) -> None:
    async with (
        worker(tmp_path, route("request_size: {target: 100B, headers: 200B}")) as gateway,
        gateway.client() as one,
    ):
        assert (await one.ask(request("/" + "a" * 99))).status == 200
        assert (await one.ask(request("/" + "a" * 100))).status == 414
        assert (await one.ask(request("/x", b"X: " + b"y" * 200))).status == 431
        assert (await one.ask(request("/x", b"X: " + b"y" * 100))).status == 200
