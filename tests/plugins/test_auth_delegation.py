"""Asking a service who may pass: what it decides is done, and nobody passes without a decision."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.auth_delegation import AuthDelegation

from gateway.errors import Failure, GatewayError, Kind
from gateway.exchange import Exchange, Reply
from gateway.plugin import Plugin, UpstreamReply
from gateway.testing import make_env, make_exchange, make_plugin, run
from tests.support.delegation import CACHE, DENIED, DOWN, GOOD, Answer, Bench, Service, asking

# what is done


def test_who_is_allowed_goes_on_with_an_identity() -> None:
    bench = Bench(UpstreamReply(204, {"x-user-id": "5", "x-roles": "a"}, b""), principal="X-User-Id", timeout="200ms")
    exchange = asking()
    exchange.claims = {"azp": "app"}

    assert bench.ask(exchange).status == 200
    assert exchange.headers.get_all("x-user-id") == ["5"]
    assert exchange.headers.get("x-roles") is None
    assert (exchange.principal, exchange.claims, exchange.attempts) == ("5", {"azp": "app"}, 1)
    assert bench.service.timeouts == {0.2}
    assert bench.counted() == {"allowed": 1}


def test_a_service_that_names_nobody_takes_nothing_away() -> None:
    bench = Bench(UpstreamReply(200, {}, b""), principal="X-User-Id")
    exchange = asking()
    exchange.principal = "known before"

    bench.ask(exchange)

    assert (exchange.principal, exchange.claims) == ("known before", {})


def test_who_is_refused_hears_what_the_service_says() -> None:
    denied = UpstreamReply(302, {"location": "/login", "set-cookie": "a=1, b=2"}, b"go", ("a=1", "b=2"))
    bench = Bench(denied)
    exchange = asking()

    head = bench.ask(exchange)

    assert (head.status, head.body, head.headers.get("location")) == (302, b"go", "/login")
    assert head.headers.get_all("set-cookie") == ["a=1", "b=2"]
    assert (exchange.attempts, exchange.principal, exchange.outcome) == (0, None, "local")
    assert bench.counted() == {"denied": 1}


FAILURES = [
    DOWN,
    GatewayError(Kind.RESPONSE_TIMEOUT),
    GatewayError(Kind.UPSTREAM_RESET),
    GatewayError(Kind.UPSTREAM_BODY_TOO_LARGE),
    LookupError("no upstream 'auth' in this configuration"),
    UpstreamReply(500, {}, b"secret"),
    UpstreamReply(300, {}, b"secret"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=str)
@pytest.mark.parametrize("cache", [None, CACHE])
async def test_nobody_passes_without_a_decision(failure: Answer, cache: object) -> None:
    bench = Bench(failure, status_on_error=502, cache=cache)
    exchange = asking()

    head = await bench.ask_async(exchange)

    assert (head.status, exchange.outcome, exchange.attempts) == (502, "auth_unavailable", 0)
    assert b"refused" not in (head.body or b"")
    assert b"secret" not in (head.body or b"")
    assert bench.counted() == {"error": 1}
    bench.service.judge = GOOD
    assert await bench.user() == "5", "a failure is not kept"


class Rescuer(Plugin):
    """Answers in place of every failure that it is offered."""

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        return Reply.text(200, "instead")


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_no_fallback_stands_in_for_a_decision(failure: Answer) -> None:
    bench = Bench(failure)

    assert run([Rescuer(None, bench.env), bench.plugin], asking()).status == 503


@pytest.mark.parametrize("failure", FAILURES, ids=str)
def test_an_open_door_names_nobody(failure: Answer) -> None:
    bench = Bench(failure, fail="open", copy_on_allow=["X-User-Id", "Authorization"])
    exchange = asking()

    assert bench.ask(exchange).status == 200
    assert (exchange.headers.get("x-user-id"), exchange.headers.get("authorization")) == (None, None)
    assert exchange.principal is None
    assert bench.counted() == {"error": 1}


def test_an_open_door_is_shut_for_who_is_refused() -> None:
    assert Bench(DENIED, fail="open").ask().status == 401


def test_identities_are_the_gateways_alone() -> None:
    plugin = Bench(copy_on_allow=["X-User-Id", "authorization", "X-Roles"]).plugin

    assert list(plugin.identity_headers()) == ["X-User-Id", "X-Roles"]


def test_a_credential_is_replaced_in_every_spelling() -> None:
    bench = Bench(
        UpstreamReply(200, {"authorization": "Bearer inner"}, b""),
        send_headers=["Authorization", "X-Api-Key"],
        copy_on_allow=["Authorization", "X-Api-Key"],
    )
    exchange = make_exchange("GET", "/", {"Authorization": "Bearer t", "X_api-Key": "k1", "X-Api-Key": "k2"})

    bench.ask(exchange)

    assert bench.service.calls[0].headers["X-Api-Key"] == "k2"
    assert list(exchange.headers.items()) == [("Host", "gateway.test"), ("Authorization", "Bearer inner")]


def test_the_body_is_collected_where_the_service_wants_it() -> None:
    plugin = Bench(with_body={"max": "2KiB"}).plugin
    assert (plugin.needs_body, plugin.max_body) == ("request", 2048)
    assert Bench().plugin.needs_body is None


# when it is asked


@pytest.mark.parametrize("cache", [None, CACHE])
async def test_rules_say_when_it_is_asked(cache: object) -> None:
    bench = Bench(DENIED, when=[{"methods": ["GET"]}, {"routes": ["admin"]}], cache=cache)

    assert [
        (await bench.ask_async(asking(method=method, route=route))).status
        for method, route in (("GET", "a"), ("HEAD", "a"), ("POST", "a"), ("POST", "admin"))
    ] == [401, 401, 200, 401]
    assert bench.asked == 3


def test_a_rule_for_a_route_that_is_not_there_is_told(caplog: pytest.LogCaptureFixture) -> None:
    plugin = Bench(when=[{"routes": ["admin", "admn"]}]).plugin

    plugin.routes_served({"admin": ["up"], "other": ["up"]})

    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "'admn'" in caplog.text


@pytest.mark.parametrize(
    ("options", "phases"),
    [
        ({}, {"admit"}),
        ({"cache": {}}, {"on_request", "admit"}),
        ({"when": [{"methods": ["PUT"]}]}, {"on_request", "admit"}),
    ],
)
def test_phases_that_are_not_needed_are_left_out(options: dict[str, Any], phases: set[str]) -> None:
    plugin = Bench(**options).plugin

    assert {
        phase for phase in ("on_request", "admit", "on_response", "on_finish") if plugin.uses_phase(phase)
    } == phases


# the breaker

BREAKER = {"requests": 4, "sleep": "5s"}


async def failed(bench: Bench, times: int = 4) -> None:
    for number in range(times):
        assert await bench.user(asking(str(number))) == 503


@pytest.mark.parametrize(
    "failure", [failure for failure in FAILURES if failure not in (FAILURES[4], FAILURES[6])], ids=str
)
@pytest.mark.parametrize("cache", [None, CACHE])
async def test_a_service_that_fails_is_spared(failure: Answer, cache: object) -> None:
    bench = Bench(failure, breaker=BREAKER, cache=cache)
    await failed(bench)
    assert bench.state == "open"
    bench.clock.advance(1.5)
    exchange = asking()

    head = await bench.ask_async(exchange)

    assert (head.status, head.headers.get("retry-after"), bench.asked) == (503, "4", 4)
    assert (exchange.outcome, exchange.flag) == ("auth_unavailable", "UA")
    assert bench.counted() == {"error": 5}


async def test_it_is_asked_again_when_it_is_well() -> None:
    bench = Bench(DOWN, breaker=BREAKER)
    await failed(bench)
    bench.clock.advance(5)
    assert await bench.user() == 503
    assert (bench.state, bench.asked) == ("open", 5)
    bench.service.judge = DENIED
    bench.clock.advance(5)
    assert await bench.user() == 401
    assert bench.state == "closed", "a refusal is an answer"


async def test_what_is_kept_needs_no_service() -> None:
    bench = Bench(breaker=BREAKER, cache=CACHE)
    assert await bench.user(asking("kept")) == "5"
    bench.service.judge = DOWN
    await failed(bench, 10)
    assert bench.state == "open"

    assert await bench.user(asking("kept")) == "5"


@pytest.mark.parametrize("answer", [DENIED, UpstreamReply(404, {}, b""), UpstreamReply(429, {}, b"")])
async def test_refusals_are_no_failures(answer: UpstreamReply) -> None:
    bench = Bench(answer, breaker=BREAKER)
    for _ in range(10):
        assert await bench.user() == answer.status

    assert bench.state == "closed"


async def test_an_open_door_stays_open_while_the_service_is_spared() -> None:
    bench = Bench(DOWN, breaker=BREAKER, fail="open")
    for _ in range(6):
        assert await bench.user() is None

    assert (bench.state, bench.asked) == ("open", 4)


async def test_a_breaker_that_observes_refuses_nothing() -> None:
    bench = Bench(DOWN, breaker={**BREAKER, "mode": "observe"})
    await failed(bench)
    assert bench.state == "open"
    bench.service.judge = GOOD
    assert await bench.user() == "5"
    assert bench.state == "open"
    bench.plugin.breakers()["auth:auth"].force("forced_open", bench.clock.now())
    assert await bench.user() == 503
    assert bench.asked == 5


async def test_the_operators_word_counts() -> None:
    bench = Bench(breaker=BREAKER)
    bench.plugin.routes_served({"a": ["up"]})
    bench.plugin.breakers()["auth:auth"].force("forced_open", bench.clock.now())
    assert await bench.user() == 503
    bench.plugin.breakers()["auth:auth"].force("auto", bench.clock.now())
    assert await bench.user() == "5"


def test_its_circuit_is_there_while_it_serves() -> None:
    bench = Bench(name="door")
    assert list(bench.plugin.unique_names({})) == ["door"]
    assert list(bench.plugin.breakers()) == []
    bench.plugin.routes_served({"a": ["up"]})
    assert list(bench.plugin.breakers()) == ["door"]
    gauge = bench.metrics.gauge("gateway_breaker_state", "", ("breaker", "state"))
    assert gauge.labels("door", "closed").value == 1
    bench.plugin.routes_served({})
    assert list(bench.plugin.breakers()) == []
    assert gauge.labels("door", "closed").value == 0


# where it comes from


def test_an_unknown_service_is_found_at_once() -> None:
    with pytest.raises(LookupError, match="no upstream 'nowhere'"):
        make_plugin(AuthDelegation, make_env(), upstream="nowhere")


def test_it_is_current_while_its_service_is_there() -> None:
    plugin = Bench().plugin

    assert plugin.is_current(make_env(upstreams={"auth": Service()}))
    with pytest.raises(LookupError):
        plugin.is_current(make_env())
