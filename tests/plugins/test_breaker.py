"""Requests through a breaker: what it refuses, what it counts, and what answers in place of a failure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from gateway.plugins.breaker import Breaker

from gateway.breaker.circuit import Snapshot
from gateway.errors import GatewayError, Kind
from gateway.exchange import Attempt, Exchange, Reply
from gateway.plugin import Failure, Plugin
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, FakeUpstream, Upstream, make_env, make_exchange, make_head, make_plugin, run
from gateway.wire.head import ResponseHead

RESET = GatewayError(Kind.UPSTREAM_RESET)
TIMEOUT = GatewayError(Kind.RESPONSE_TIMEOUT)
GOOD = Reply(200, {"Content-Length": "4"}, b"good")
BAD = Reply.text(503, "theirs")
NAMES = ("service", "standby")


class Bench:
    """A breaker with its clock and its metrics."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.env = make_env(self.clock, self.metrics, upstreams={"standby": FakeUpstream()})
        self.plugin = make_plugin(Breaker, self.env, **{"requests": 4, **options})

    def ask(self, upstream: Upstream = GOOD, exchange: Exchange | None = None, seconds: float = 0.1) -> ResponseHead:
        return run(self.plugin, exchange or asking(), upstream, seconds)

    def open(self, upstream: Upstream = RESET) -> Bench:
        for _ in range(4):
            self.ask(upstream)
        assert "open" in self.states()
        return self

    def state(self, name: str = "test") -> str:
        return self.plugin.breakers()[name].state

    def states(self) -> set[str]:
        return {circuit.state for circuit in self.plugin.breakers().values()}

    def shown(self, name: str = "test") -> Snapshot:
        return self.plugin.breakers()[name].snapshot(self.clock.now())

    def counted(self, name: str = "test") -> dict[str, int]:
        return {event: count for event, count in self.shown(name)["counts"].items() if count}

    def fallbacks(self) -> dict[tuple[str, ...], float]:
        family = self.metrics.counter("gateway_fallbacks_total", "", ("breaker", "fallback"))
        return {labels: child.value for labels, child in family.children.items()}


def asking(method: str = "GET", path: str = "/", **fields: Any) -> Exchange:
    return make_exchange(method, path, upstream_names=NAMES, **fields)


def raised(bench: Bench, exchange: Exchange | None = None) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        bench.plugin.on_request(exchange or asking())
    return caught.value


# closed, open, half-open


def test_good_answers_pass() -> None:
    bench = Bench()

    for upstream in (GOOD, Reply(404), Reply(499)):
        assert bench.ask(upstream).status == upstream.status

    assert (bench.state(), bench.counted()) == ("closed", {"success": 3})
    assert (bench.shown()["in_flight"], bench.shown()["latency_mean"]) == (0, pytest.approx(0.1))


def test_an_open_breaker_answers_503_with_the_rest_of_the_sleep() -> None:
    bench = Bench().open()
    bench.clock.advance(1.5)
    exchange = asking()

    head = bench.ask(GOOD, exchange)

    assert (head.status, head.headers.get("retry-after")) == (503, "4")
    assert (exchange.outcome, exchange.flag, exchange.attempts, exchange.fallback) == ("breaker_open", "UO", 0, "")
    assert bench.counted() == {"failure": 4, "short_circuited": 1}


def test_it_closes_when_the_upstream_is_well_again() -> None:
    bench = Bench().open()
    bench.clock.advance(5)

    assert bench.ask(GOOD).status == 200

    assert (bench.state(), bench.counted()) == ("closed", {})


def test_it_stays_open_while_the_probe_fails() -> None:
    bench = Bench().open()
    bench.clock.advance(5)
    assert bench.ask(TIMEOUT).status == 504
    assert bench.ask(GOOD).status == 503


def test_one_probe_at_a_time() -> None:
    bench = Bench().open()
    bench.clock.advance(5)
    probe = asking()
    bench.plugin.on_request(probe)
    refused = asking()

    assert raised(bench, refused).kind is Kind.BREAKER_OPEN
    bench.plugin.on_finish(refused)
    assert bench.state() == "half_open"
    assert raised(bench).retry_after == 0
    finish(bench.plugin, probe, "answered", 200)

    assert bench.state() == "closed"


def finish(plugin: Breaker, exchange: Exchange, outcome: str, status: int) -> None:
    exchange.outcome, exchange.status, exchange.ended = outcome, status, plugin.env.clock.now()
    exchange.target = exchange.target or exchange.raw_path
    plugin.on_finish(exchange)


@pytest.mark.parametrize(
    ("upstream", "event"),
    (
        (BAD, "failure"),
        (RESET, "failure"),
        (GatewayError(Kind.CONNECT_FAILED), "failure"),
        (GatewayError(Kind.NO_ENDPOINT), "failure"),
        (GatewayError(Kind.QUEUE_FULL), "rejected"),
        (TIMEOUT, "timeout"),
        (GatewayError(Kind.TOTAL_TIMEOUT), "timeout"),
        (GatewayError(Kind.CLIENT_GONE), None),
        (GatewayError(Kind.PLUGIN_CRASHED), None),
        (GatewayError(Kind.BODY_TOO_LARGE), None),
    ),
)
def test_what_counts(upstream: Upstream, event: str | None) -> None:
    bench = Bench()

    bench.ask(upstream)

    assert bench.counted() == ({event: 1} if event else {})
    assert bench.shown()["in_flight"] == 0


def test_what_does_not_count_is_an_answer_or_nothing() -> None:
    bench = Bench(count=["timeout"])

    bench.ask(BAD)
    bench.ask(RESET)
    bench.ask(TIMEOUT)

    assert bench.counted() == {"success": 1, "timeout": 1}


def test_an_answer_that_broke_off_counts() -> None:
    bench = Bench()
    exchange = asking()
    bench.plugin.on_request(exchange)

    finish(bench.plugin, exchange, "body_timeout", 200)

    assert bench.counted() == {"timeout": 1}


def test_an_answer_that_another_plugin_spoilt_is_none_of_the_upstreams() -> None:
    class Spoil(Plugin):
        def on_response(self, exchange: Exchange, head: Any) -> None:
            head.status = 500

    bench = Bench()
    exchange = asking()

    run([bench.plugin, Spoil(None, bench.env)], exchange, GOOD)

    assert exchange.status == 500
    assert bench.counted() == {"success": 1}


def test_a_reply_of_another_plugin_gives_the_permit_back() -> None:
    class Forbid(Plugin):
        def on_request(self, exchange: Exchange) -> Reply:
            return Reply(403)

    bench = Bench().open()
    bench.clock.advance(5)

    head = run([bench.plugin, Forbid(None, bench.env)], asking())

    assert (head.status, bench.state()) == (403, "half_open")
    assert bench.ask(GOOD).status == 200
    assert bench.state() == "closed"


def test_a_client_that_leaves_gives_the_probes_place_back() -> None:
    bench = Bench().open()
    bench.clock.advance(5)
    bench.ask(GatewayError(Kind.CLIENT_GONE))
    assert bench.state() == "half_open"

    bench.ask(GOOD)

    assert bench.state() == "closed"


def test_slow_answers_are_judged_by_the_time_at_the_upstream() -> None:
    bench = Bench(slow={"over": "2s", "share": "100%"})
    exchange = asking(started=1.0)
    bench.ask(GOOD, exchange, seconds=1.9)
    for _ in range(4):
        bench.ask(GOOD, seconds=2.1)

    assert bench.counted()["slow"] == 4
    assert bench.state() == "closed"


def test_a_request_that_reached_no_upstream_takes_its_whole_time() -> None:
    bench = Bench(slow={})
    exchange = asking(started=bench.clock.now())
    bench.plugin.on_request(exchange)
    bench.clock.advance(3)

    bench.plugin.on_failure(exchange, Failure(503, "queue_timeout", "full"))

    assert bench.counted() == {"rejected": 1, "slow": 1}


def test_observing_refuses_nothing_and_answers_nothing() -> None:
    bench = Bench(mode="observe", fallback={"text": "fallback"}).open()

    assert bench.ask(GOOD).status == 200
    assert bench.ask(BAD).status == 503
    assert bench.counted() == {"failure": 4, "short_circuited": 2}
    assert bench.fallbacks() == {}
    bench.clock.advance(5)
    bench.ask(GOOD)
    assert bench.state() == "closed"
    bench.plugin.breakers()["test"].force("forced_open", bench.clock.now())
    assert bench.ask(GOOD).status == 503, "the operator's word wins"


def test_forced_by_the_operator() -> None:
    bench = Bench()
    bench.ask(GOOD)
    circuit = bench.plugin.breakers()["test"]
    circuit.force("forced_open", bench.clock.now())
    assert (bench.ask(GOOD).status, bench.ask(GOOD).headers.get("retry-after")) == (503, "5")
    circuit.force("auto", bench.clock.now())
    assert bench.ask(GOOD).status == 200


# whom it guards


def test_routes_have_breakers_of_their_own() -> None:
    bench = Bench().open()

    assert bench.ask(GOOD, asking(route="other")).status == 200
    assert {name: circuit.state for name, circuit in bench.plugin.breakers().items()} == {
        "test": "open",
        "other": "closed",
    }


def test_a_name_is_one_breaker_for_all_routes() -> None:
    bench = Bench(name="all")
    bench.plugin.routes_served({"test": ["service"], "other": ["service"]})
    bench.open()

    assert bench.ask(GOOD, asking(route="other")).status == 503
    assert list(bench.plugin.breakers()) == ["all"]


def test_every_breaker_is_shown_from_the_start_and_until_its_route_is_gone() -> None:
    bench = Bench()
    bench.plugin.routes_served({"test": ["service"], "b": iter(["service"]), "redirect": []})
    assert list(bench.plugin.breakers()) == ["test", "b"]
    bench.open()

    bench.plugin.routes_served({"test": ["service"], "c": ["service"]})

    assert {name: circuit.state for name, circuit in bench.plugin.breakers().items()} == {"test": "open", "c": "closed"}
    gauges = bench.metrics.gauge("gateway_breaker_state", "", ("breaker", "state")).children
    assert {labels for labels, gauge in gauges.items() if gauge.value} == {("test", "open"), ("c", "closed")}


def test_a_route_without_an_upstream_has_none() -> None:
    bench = Bench()

    bench.ask(GOOD, asking(upstream=""))

    assert bench.plugin.breakers() == {}


def test_a_request_outlives_its_route() -> None:
    bench = Bench()
    exchange = asking()
    bench.plugin.on_request(exchange)
    circuit = bench.plugin.breakers()["test"]
    bench.plugin.routes_served({})

    finish(bench.plugin, exchange, "answered", 200)

    assert (circuit.in_flight, bench.plugin.breakers()) == (0, {})


def test_by_upstream() -> None:
    bench = Bench(scope="upstream")
    bench.plugin.routes_served({"a": ["service", "other"], "b": ["service"]})
    assert set(bench.plugin.breakers()) == {"service", "other"}
    bench.open()

    assert bench.ask(GOOD, asking(route="b")).status == 503
    assert bench.ask(GOOD, asking(route="a", upstream="other")).status == 200
    assert bench.counted("service") == {"failure": 4, "short_circuited": 1}
    bench.plugin.routes_served({"a": ["other"]})
    assert list(bench.plugin.breakers()) == ["other"]


def test_by_endpoint() -> None:
    bench = Bench(scope="endpoint").open(BAD)
    assert list(bench.plugin.breakers()) == ["service/127.0.0.1:9001"]
    elsewhere = Attempt(1, "127.0.0.1:9002", bench.clock.now())

    bench.plugin.on_attempt(asking(), elsewhere)

    assert bench.state("service/127.0.0.1:9002") == "closed"
    bench.plugin.routes_served({"test": ["service"]})
    assert len(bench.plugin.breakers()) == 2
    bench.plugin.routes_served({"test": ["other"]})
    assert bench.plugin.breakers() == {}


def test_an_attempt_that_was_refused_gives_nobodys_permit_back() -> None:
    bench = Bench(scope="endpoint").open()
    name = "service/127.0.0.1:9001"
    bench.clock.advance(5)
    probe, refused = (Attempt(number, "127.0.0.1:9001", bench.clock.now()) for number in (1, 2))
    exchange = asking()
    bench.plugin.on_attempt(exchange, probe)
    with pytest.raises(GatewayError, match="breaker_open"):
        bench.plugin.on_attempt(exchange, refused)
    refused.error = "breaker_open"

    bench.plugin.on_attempt_end(exchange, refused)

    assert (bench.state(name), bench.shown(name)["in_flight"]) == ("half_open", 1)
    probe.status = 200
    bench.plugin.on_attempt_end(exchange, probe)
    assert bench.state(name) == "closed"


@pytest.mark.parametrize(
    ("status", "error", "event"),
    (
        (200, None, "success"),
        (503, None, "failure"),
        (None, "connect_failed", "failure"),
        (200, "body_timeout", "timeout"),
        (503, "client_gone", None),
        (None, "superseded", None),
        (None, "breaker_open", None),
        (None, None, None),
    ),
)
def test_what_an_attempt_counts_as(status: int | None, error: str | None, event: str | None) -> None:
    bench = Bench(scope="upstream")
    exchange, attempt = asking(), Attempt(1, "a:1", bench.clock.now())
    bench.plugin.on_attempt(exchange, attempt)
    attempt.status, attempt.error = status, error
    exchange.upstream = "standby"

    bench.plugin.on_attempt_end(exchange, attempt)

    assert bench.counted("service") == ({event: 1} if event else {})
    assert bench.shown("service")["in_flight"] == 0


# fallbacks


@pytest.mark.parametrize("scope", ("route", "upstream", "endpoint"))
def test_a_literal_answer_in_place_of_failures_and_of_refusals(scope: str) -> None:
    bench = Bench(scope=scope, fallback={"status": 200, "json": {"items": []}})
    name = {"route": "test", "upstream": "service", "endpoint": "service/127.0.0.1:9001"}[scope]
    for upstream in (BAD, RESET, TIMEOUT, RESET, GOOD):
        exchange = asking()
        head = bench.ask(upstream, exchange)
        assert (head.status, head.body, head.headers.get("gateway-fallback")) == (200, b'{"items":[]}', "static")
        assert exchange.fallback == "static"

    assert (bench.state(name), bench.fallbacks()) == ("open", {(name, "static"): 5})
    assert bench.counted(name) == {"failure": 3, "timeout": 1, "short_circuited": 1, "fallback_success": 5}


def test_what_does_not_count_has_no_fallback() -> None:
    bench = Bench(count=["timeout"], fallback={"text": "fallback"})

    assert bench.ask(BAD).status == 503
    assert bench.ask(RESET).status == 502
    assert bench.ask(Reply(404)).status == 404
    assert bench.ask(TIMEOUT).body == b"fallback"


def test_an_endpoint_breaker_without_an_attempt() -> None:
    bench = Bench(scope="endpoint", fallback={"text": "fallback"})

    reply = bench.plugin.on_failure(asking(), Failure(503, "no_endpoint", "connect"))

    assert reply is not None
    assert (bench.plugin.breakers(), bench.fallbacks()) == ({}, {("service", "static"): 1})


def test_the_last_good_answer() -> None:
    bench = Bench(fallback={"stale": {"for": "60s"}, "status": 503, "text": "nothing"})
    assert bench.ask(RESET).body == b"nothing"
    bench.ask(GOOD)
    bench.clock.advance(10)

    exchange = asking("HEAD")
    head = bench.ask(BAD, exchange)

    assert (head.status, head.body, exchange.fallback) == (200, b"good", "stale")
    assert (head.headers.get("gateway-fallback"), head.headers.get("age")) == ("stale", "10")
    assert bench.ask(RESET, asking(path="/other")).body == b"nothing"
    bench.clock.advance(51)
    assert bench.ask(RESET).body == b"nothing"


def test_a_fallback_with_nothing_to_give() -> None:
    bench = Bench(fallback={"stale": {}})
    exchange = asking()

    head = bench.ask(RESET, exchange)

    assert (head.status, head.headers.get("gateway-fallback"), exchange.fallback) == (502, None, "")
    assert (bench.counted(), bench.fallbacks()) == ({"failure": 1, "fallback_failure": 1}, {})


def by_upstream(**answers: Reply | GatewayError) -> Upstream:
    return lambda exchange: answers[exchange.upstream]


def test_another_upstream_takes_over() -> None:
    bench = Bench(fallback={"to": "standby"})
    upstream = by_upstream(service=BAD, standby=GOOD)
    for _ in range(6):
        exchange = asking()
        head = bench.ask(upstream, exchange)
        assert (head.status, head.headers.get("gateway-fallback"), exchange.fallback) == (200, "upstream", "upstream")

    assert (bench.state(), bench.fallbacks()) == ("open", {("test", "upstream"): 6})
    assert bench.counted() == {"failure": 4, "short_circuited": 2, "fallback_success": 6}


@pytest.mark.parametrize(
    ("standby", "status", "counted"),
    (
        (Reply(500), 500, {"fallback_failure": 1}),
        (RESET, 502, {"fallback_failure": 1}),
        (GatewayError(Kind.CLIENT_GONE), 499, {}),
    ),
)
def test_a_standby_that_fails_is_no_failure_of_the_route(
    standby: Reply | GatewayError, status: int, counted: dict[str, int]
) -> None:
    bench = Bench(fallback={"to": "standby"})

    assert bench.ask(by_upstream(service=BAD, standby=standby)).status == status

    assert bench.counted() == {"failure": 1, **counted}


def test_a_probe_that_falls_back_decides_all_the_same() -> None:
    bench = Bench(fallback={"to": "standby"}).open()
    bench.clock.advance(5)
    bench.ask(by_upstream(service=TIMEOUT, standby=GOOD))
    assert bench.state() == "open"


def test_attempts_at_the_standby_are_its_own() -> None:
    bench = Bench(scope="upstream", fallback={"to": "standby"})
    bench.plugin.routes_served({"test": ["service"]})
    assert set(bench.plugin.breakers()) == {"service", "standby"}

    bench.ask(by_upstream(service=RESET, standby=GOOD))

    assert bench.counted("service") == {"failure": 1, "fallback_success": 1}
    assert bench.counted("standby") == {"success": 1}


def test_a_request_that_could_not_be_sent_again_says_nothing_of_a_fallback() -> None:
    bench = Bench(fallback={"to": "standby"})
    exchange = asking()
    bench.plugin.on_request(exchange)
    bench.plugin.on_failure(exchange, Failure(502, "upstream_reset", "reset"))
    # Part of its body is gone: the gateway takes it back.
    exchange.upstream, exchange.fallback = "service", ""
    head = make_head(502)
    bench.plugin.on_response(exchange, head)
    assert head.headers.get("gateway-fallback") is None

    finish(bench.plugin, exchange, "upstream_reset", 502)

    assert (bench.counted(), bench.fallbacks()) == ({"failure": 1, "fallback_failure": 1}, {})


def test_another_breaker_that_is_open_is_answered_for_and_not_counted() -> None:
    bench = Bench(fallback={"to": "standby"})
    exchange = asking()
    bench.plugin.on_request(exchange)

    bench.plugin.on_failure(exchange, Failure(503, "breaker_open", ""))

    assert (exchange.upstream, bench.counted(), bench.shown()["in_flight"]) == ("standby", {}, 0)
    finish(bench.plugin, exchange, "fallback", 200)
    assert bench.counted() == {"fallback_success": 1}


def test_stale_answers_are_the_routes_and_not_the_standbys() -> None:
    bench = Bench(fallback={"to": "standby", "stale": {}})
    bench.ask(by_upstream(service=BAD, standby=GOOD))

    head = bench.ask(by_upstream(service=BAD, standby=Reply(200, {"Content-Length": "5"}, b"again")))

    assert (head.body, head.headers.get("gateway-fallback")) == (b"again", "upstream")


# what it is made of


def phases(**options: Any) -> Iterator[str]:
    plugin = Bench(**options).plugin
    every = ("on_request", "admit", "on_attempt", "on_attempt_end", "on_failure", "on_response", "on_finish")
    return (phase for phase in every if plugin.uses_phase(phase))


@pytest.mark.parametrize(
    ("options", "needed"),
    (
        ({}, "on_request on_failure on_response on_finish"),
        ({"fallback": {"text": "a"}}, "on_request on_failure on_response on_finish"),
        ({"fallback": {"stale": {}}}, "on_request on_failure on_response on_finish"),
        ({"fallback": {"to": "standby"}}, "on_request on_failure on_response on_finish"),
        ({"fallback": {"to": "standby"}, "mode": "observe"}, "on_request on_failure on_response on_finish"),
        ({"scope": "upstream"}, "on_attempt on_attempt_end"),
        ({"scope": "endpoint", "fallback": {"text": "a"}}, "on_attempt on_attempt_end on_failure"),
        (
            {"scope": "upstream", "fallback": {"stale": {}}},
            "on_attempt on_attempt_end on_failure on_response on_finish",
        ),
        (
            {"scope": "upstream", "fallback": {"to": "standby"}},
            "on_attempt on_attempt_end on_failure on_response on_finish",
        ),
    ),
)
def test_it_uses_no_phase_that_it_does_not_need(options: dict[str, Any], needed: str) -> None:
    assert " ".join(phases(**options)) == needed


def test_only_another_upstream_needs_the_body_again() -> None:
    assert Bench(fallback={"to": "standby"}).plugin.resends
    assert not Bench(fallback={"to": "standby"}, mode="observe").plugin.resends
    assert not Bench(fallback={"stale": {}}).plugin.resends


def test_a_stale_answer_meets_the_plugins_behind_as_it_came() -> None:
    class Adds(Plugin):
        def on_response(self, exchange: Exchange, head: Any) -> None:
            head.headers.add("X-A", "b")

    bench = Bench(fallback={"stale": {}})
    chain = [bench.plugin, Adds(None, bench.env)]
    run(chain, asking(), GOOD)

    assert run(chain, asking(), BAD).headers.get_all("x-a") == ["b"]


def test_a_fallback_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="no upstream 'standbi'"):
        Bench(fallback={"to": "standbi"})
    with pytest.raises(ValueError, match="'no.json' cannot be read"):
        make_plugin(Breaker, replace(make_env(), folder=tmp_path), fallback={"file": "no.json"})
