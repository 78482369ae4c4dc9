"""The plugin as routes have it: what passes, what is refused and how that is told."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import http_sf
import pytest
from gateway.plugins.rate_limit import RateLimit

from gateway.plugin import Env
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin, run, run_async
from tests.support.polling import soon, turns
from tests.support.scripting import FakeScripting


def environment(metrics: Metrics | None = None) -> tuple[Env, FakeScripting]:
    clock = FakeClock()
    store = FakeScripting(clock)
    return replace(make_env(clock=clock, metrics=metrics), shared=store), store


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    (family,) = (family for family in metrics if family.name == "gateway_rate_limit_total")
    return {labels: child.value for labels, child in family.children.items() if child.value}  # type: ignore[union-attr]


def statuses(plugin: RateLimit, number: int, **request: Any) -> list[int]:
    return [run(plugin, make_exchange(**request)).status for _ in range(number)]


async def asked(plugin: RateLimit, number: int, **request: Any) -> list[int]:
    return [(await run_async(plugin, make_exchange(**request))).status for _ in range(number)]


def test_a_limit_by_address() -> None:
    metrics = Metrics()
    plugin = make_plugin(RateLimit, make_env(metrics=metrics), rate="2/m")
    assert statuses(plugin, 4) == [200, 200, 429, 429]
    assert statuses(plugin, 1, client_ip="192.0.2.2") == [200]
    assert statuses(plugin, 3, client_ip="2001:db8::1") == [200, 200, 429]
    assert statuses(plugin, 2, client_ip="2001:db8::ffff:1") == [429, 429]
    assert counted(metrics) == {("test", "allowed"): 5, ("test", "limited"): 5}


def test_a_refusal_says_when_to_come_again_and_not_whose_bucket_is_empty() -> None:
    plugin = make_plugin(RateLimit, rate="2/m", by="header:X-Api-Key", name="keys")
    key = "k3y-of-somebody"
    statuses(plugin, 2, headers={"X-Api-Key": key})
    head = run(plugin, make_exchange(headers={"X-Api-Key": key}))
    assert (head.status, head.headers.get("Retry-After")) == (429, "30")
    fields = {name: head.headers.get_all(name) for name in ("RateLimit-Policy", "RateLimit")}
    assert fields == {"RateLimit-Policy": ['"keys";q=2;w=60'], "RateLimit": ['"keys";r=0;t=30']}
    assert b"the limit keys of 2/m is used up" in (head.body or b"")
    assert key.encode() not in (head.body or b"")


def test_answers_tell_what_is_left() -> None:
    clock = FakeClock()
    plugin = make_plugin(RateLimit, make_env(clock=clock), rate="10/m", burst=3)
    for left, seconds in ((2, 6), (1, 12), (0, 6)):
        head = run(plugin, make_exchange())
        (member,) = http_sf.parse((head.headers.get("RateLimit") or "").encode(), tltype="list")
        assert member == ("default", {"r": left, "t": seconds})


@pytest.mark.parametrize(
    ("headers", "names"),
    [
        (["draft"], {"RateLimit-Policy", "RateLimit"}),
        (["legacy"], {"X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"}),
        (
            ["draft", "legacy"],
            {"RateLimit-Policy", "RateLimit", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"},
        ),
        ([], set()),
    ],
)
def test_clients_read_what_is_chosen(headers: list[str], names: set[str]) -> None:
    plugin = make_plugin(RateLimit, rate="1/s", headers=headers)
    for _ in range(2):
        told = {name for name, _ in run(plugin, make_exchange()).items() if "RateLimit" in name}
        assert told == names
    assert plugin.uses_phase("on_response") == ("legacy" in headers)
    assert not plugin.uses_phase("admit")


def test_several_policies() -> None:
    clock = FakeClock()
    policies = [{"name": "second", "rate": "2/s"}, {"name": "hour", "rate": "3/h", "by": "principal"}]
    plugin = make_plugin(RateLimit, make_env(clock=clock), policies=policies)
    assert statuses(plugin, 3, principal="ada") == [200, 200, 429]
    clock.advance(10)
    assert statuses(plugin, 2, principal="ada") == [200, 429]
    head = run(plugin, make_exchange(principal="ada"))
    assert head.headers.get("RateLimit-Policy") == '"second";q=2;w=1, "hour";q=3;w=3600'
    assert head.headers.get("RateLimit") == '"hour";r=0;t=1190'
    assert head.headers.get("Retry-After") == "1190"
    assert statuses(plugin, 2, principal="grace") == [200, 429], "what was refused has taken a second's place"


def test_observed_it_refuses_nobody() -> None:
    metrics = Metrics()
    plugin = make_plugin(RateLimit, make_env(metrics=metrics), rate="1/h", mode="observe")
    head = run(plugin, make_exchange())
    assert head.headers.get("RateLimit") is None
    assert statuses(plugin, 3) == [200] * 3
    assert counted(metrics) == {("test", "allowed"): 1, ("test", "observed"): 3}


def test_leaving_a_header_out_is_no_way_around() -> None:
    plugin = make_plugin(RateLimit, rate="1/h", by="header:X-Tenant")
    assert statuses(plugin, 2) == [200, 429]
    assert statuses(plugin, 1, headers={"X-Tenant": ""}) == [429]
    assert statuses(plugin, 2, headers={"X-Tenant": "192.0.2.1"}) == [200, 429]


def test_routes_share_a_bucket_unless_it_is_by_route() -> None:
    shared = make_plugin(RateLimit, rate="1/h")
    assert [statuses(shared, 1, route=route) for route in "ab"] == [[200], [429]]
    own = make_plugin(RateLimit, rate="1/h", by=["route", "client_ip"])
    assert [statuses(own, 1, route=route) for route in "aab"] == [[200], [429], [200]]
    assert RateLimit.spans_routes


async def test_in_redis_gateways_count_together() -> None:
    metrics = Metrics()
    env, store = environment(metrics)
    gateways = [make_plugin(RateLimit, env, rate="3/m", store="redis") for _ in range(2)]
    assert [(await asked(gateway, 1))[0] for gateway in gateways * 2] == [200, 200, 200, 429]
    assert counted(metrics) == {("test", "allowed"): 3, ("test", "limited"): 1}
    assert gateways[0].uses_phase("admit")
    for gateway in gateways:
        await gateway.stop()
    assert {key.partition(":")[0] for key, _ in store.asked} == {"rl"}


async def test_it_stops_when_nothing_is_asked_any_more() -> None:
    env, store = environment()
    store.gate = asyncio.Event()
    plugin = make_plugin(RateLimit, env, rate="3/m", store="redis")
    asking = asyncio.create_task(asked(plugin, 1))
    await turns()
    stopping = asyncio.create_task(plugin.stop())
    await turns()
    assert not stopping.done()
    store.gate.set()
    await soon(stopping)
    assert await soon(asking) == [200]


@pytest.mark.parametrize(
    ("decides", "answers", "done"),
    [
        ("local", [200, 200, 429, 429], {"allowed": 2, "limited": 2}),
        ("open", [200] * 4, {"allowed": 4}),
        ("closed", [503] * 4, {"limited": 4}),
    ],
)
async def test_without_redis(decides: str, answers: list[int], done: dict[str, int]) -> None:
    metrics = Metrics()
    env, store = environment(metrics)
    store.down = True
    plugin = make_plugin(RateLimit, env, rate="2/m", store="redis", on_store_error=decides)
    assert await asked(plugin, 4) == answers
    expected = {("test", decision): number for decision, number in done.items()}
    assert counted(metrics) == {**expected, ("test", "store_error"): 4}
    store.down = False
    assert await asked(plugin, 3) == [200, 200, 429]


async def test_closed_says_that_it_is_not_the_clients_fault() -> None:
    env, store = environment()
    store.down = True
    plugin = make_plugin(RateLimit, env, rate="2/m", store="redis", on_store_error="closed")
    head = await run_async(plugin, make_exchange())
    assert b"limiter_unavailable" in (head.body or b"")
    assert head.headers.get("Retry-After") == "1"
    observing = make_plugin(RateLimit, env, rate="2/m", store="redis", on_store_error="closed", mode="observe")
    assert await asked(observing, 3) == [200] * 3


def test_redis_needs_state() -> None:
    with pytest.raises(ValueError, match=r"store: redis needs `state: \{redis: ...\}` at the top of the file"):
        make_plugin(RateLimit, rate="2/m", store="redis")
