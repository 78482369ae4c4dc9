"""The circuits of a breaker, their metrics and what the log says of them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from gateway.plugins.breaker import Breaker

from gateway.breaker.circuit import Circuit
from gateway.breaker.circuits import Circuits
from gateway.breaker.options import BreakerOptions, Fallback
from gateway.breaker.shared_circuit import SharedCircuit
from gateway.exchange import Attempt
from gateway.state.board import Board
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin

NOW = 1000.0


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


def made(metrics: Metrics, **options: Any) -> Circuits:
    return Circuits(BreakerOptions(requests=2, **options), make_env(metrics=metrics))


def states(metrics: Metrics) -> dict[str, list[str]]:
    """The states that are shown as 1, by breaker."""
    family = metrics.gauge("gateway_breaker_state", "", ("breaker", "state"))
    shown: dict[str, list[str]] = {}
    for (breaker, state), gauge in family.children.items():
        shown.setdefault(breaker, [])
        if gauge.value:
            shown[breaker].append(state)
    return shown


def fail(circuit: Circuit, times: int = 2) -> None:
    for _ in range(times):
        permit = circuit.allow(NOW)
        assert permit is not None
        circuit.failed(permit, NOW, 0.1, "5xx")


def test_each_thing_has_its_own(metrics: Metrics) -> None:
    circuits = made(metrics)

    assert circuits.of("a") is circuits.of("a")
    assert circuits.of("a") is not circuits.of("b")
    assert {name: circuit.name for name, circuit in circuits.by_name().items()} == {"a": "a", "b": "b"}
    assert states(metrics) == {"a": ["closed"], "b": ["closed"]}
    assert len(metrics.gauge("gateway_breaker_state", "", ("breaker", "state")).children) == 10


def test_a_name_is_one_for_all(metrics: Metrics) -> None:
    circuits = made(metrics, name="all")

    assert circuits.of("a") is circuits.of("b")
    assert list(circuits.by_name()) == ["all"]
    assert states(metrics) == {"all": ["closed"]}


def test_those_that_stay_keep_their_state(metrics: Metrics) -> None:
    circuits = made(metrics)
    circuits.keep(["a", "b"])
    guarding, stays, goes = circuits.guarding, circuits.of("a"), circuits.of("b")
    fail(stays)

    circuits.keep(["a", "c"])

    assert circuits.guarding is guarding
    assert (list(circuits.guarding), circuits.of("a").state) == (["a", "c"], "open")
    assert states(metrics) == {"a": ["open"], "b": [], "c": ["closed"]}
    fail(goes)
    assert goes.state == "open"
    assert states(metrics)["b"] == [], "calls that were under way do not bring it back"


def test_one_that_comes_back_is_shown_again(metrics: Metrics) -> None:
    circuits = made(metrics)
    circuits.keep(["a"])
    circuits.keep([])
    circuits.keep(["a"])

    assert states(metrics) == {"a": ["closed"]}


def test_a_shared_one_stays_while_it_guards_anything(metrics: Metrics) -> None:
    circuits = made(metrics, name="all")
    circuits.keep(["a", "b"])
    fail(circuits.of("a"))

    circuits.keep(["b", "c"])

    assert circuits.of("c").state == "open"
    assert states(metrics) == {"all": ["open"]}


def test_changes_are_shown_and_logged(metrics: Metrics, caplog: pytest.LogCaptureFixture) -> None:
    circuit = made(metrics).of("item")
    with caplog.at_level(logging.INFO):
        fail(circuit)
        assert states(metrics) == {"item": ["open"]}
        permit = circuit.allow(NOW + 5)
        assert permit is not None
        assert states(metrics) == {"item": ["half_open"]}
        circuit.succeeded(permit, NOW + 5, 0.1)
        circuit.force("forced_open", NOW + 6)

    assert states(metrics) == {"item": ["forced_open"]}
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "breaker item is open, it was closed: failure 2"),
        ("INFO", "breaker item is half_open, it was open: failure 2"),
        ("INFO", "breaker item is closed, it was half_open: success 1, failure 2"),
        ("WARNING", "breaker item is forced_open, it was closed: no calls"),
    ]


@pytest.mark.parametrize(
    ("outcome", "status", "count", "event"),
    (
        ("answered", 200, ("5xx",), "success"),
        ("answered", 404, ("5xx",), "success"),
        ("answered", None, ("5xx",), "success"),
        ("answered", 503, ("5xx",), "failure"),
        ("answered", 503, ("timeout",), "success"),
        ("5xx", 503, ("timeout",), "success"),
        ("upstream_reset", None, ("5xx",), "failure"),
        ("response_timeout", None, ("timeout",), "timeout"),
        ("body_timeout", 200, ("timeout",), "timeout"),
        ("queue_full", None, ("connect",), "rejected"),
        ("connect_failed", None, ("connect",), "failure"),
        ("connect_failed", None, ("5xx", "timeout"), None),
        ("client_gone", 200, ("5xx", "timeout", "connect"), None),
        ("superseded", None, ("5xx", "timeout", "connect"), None),
        ("plugin_crashed", 200, ("5xx", "timeout", "connect"), None),
        ("internal", None, ("5xx", "timeout", "connect"), None),
        ("breaker_open", None, ("5xx", "timeout", "connect"), None),
        ("request_timeout", None, ("5xx", "timeout", "connect"), None),
        ("local", None, ("5xx", "timeout", "connect"), None),
        ("fallback", 503, ("5xx", "timeout", "connect"), None),
        ("", None, ("5xx", "timeout", "connect"), None),
    ),
)
def test_what_an_outcome_counts_as(
    metrics: Metrics, outcome: str, status: int | None, count: Any, event: str | None
) -> None:
    circuits = made(metrics, count=count)
    circuit = circuits.of("item")
    permit = circuit.allow(NOW)
    assert permit is not None
    attempt = Attempt(1, "a:1", NOW)
    attempt.status = status

    circuits.settle(permit, outcome, attempt if status else None, NOW, 0.1)

    shown = circuit.snapshot(NOW)
    assert shown["in_flight"] == 0
    assert [name for name, number in shown["counts"].items() if number] == ([event] if event else [])


def test_fallbacks_are_counted(metrics: Metrics) -> None:
    circuits = made(metrics)
    circuit = circuits.of("item")

    circuits.fell_back("item", "stale", True, NOW)
    circuits.fell_back("item", "upstream", False, NOW)
    circuits.fell_back("item", "", False, NOW)
    circuits.fell_back("unknown", "static", True, NOW)

    family = metrics.counter("gateway_fallbacks_total", "", ("breaker", "fallback"))
    assert {labels: child.value for labels, child in family.children.items()} == {
        ("item", "stale"): 1,
        ("item", "upstream"): 1,
        ("unknown", "static"): 1,
    }
    counts = circuit.snapshot(NOW)["counts"]
    assert (counts["fallback_success"], counts["fallback_failure"]) == (1, 2)


# whom they guard


@pytest.mark.parametrize(
    ("scope", "guarded"), (("route", "test"), ("upstream", "service"), ("endpoint", "service/a:1"))
)
def test_what_is_guarded(metrics: Metrics, scope: str, guarded: str) -> None:
    circuits = made(metrics, scope=scope)

    assert circuits.guarded(make_exchange(), Attempt(1, "a:1", NOW)) == guarded
    assert circuits.guarded(make_exchange(), None) == guarded.partition("/")[0]


@pytest.mark.parametrize(
    ("options", "claims"),
    (
        ({}, ["a", "b"]),
        ({"scope": "upstream"}, ["up", "vp"]),
        ({"scope": "endpoint"}, ["up/*", "vp/*"]),
        ({"scope": "upstream", "fallback": Fallback(to="standby")}, ["standby", "up", "vp"]),
        ({"scope": "upstream", "fallback": Fallback(to="standby"), "mode": "observe"}, ["up", "vp"]),
        ({"scope": "endpoint", "name": "all"}, ["all"]),
    ),
)
def test_the_names_they_have(metrics: Metrics, options: dict[str, Any], claims: list[str]) -> None:
    circuits = made(metrics, **options)

    assert circuits.claims({"a": ["up"], "b": ["vp", "up"], "redirect": []}) == claims
    assert circuits.claims({"redirect": []}) == []


def test_endpoints_that_nobody_asks_for_long_are_forgotten(metrics: Metrics) -> None:
    clock = FakeClock(NOW)
    circuits = Circuits(BreakerOptions(requests=2, scope="endpoint"), make_env(clock, metrics))
    for endpoint in ("idle", "asked", "forced", "running"):
        circuits.of(f"up/{endpoint}")
    circuits.of("up/forced").force("forced_open", NOW)
    assert circuits.of("up/running").allow(NOW) is not None
    clock.advance(49)
    permit = circuits.of("up/asked").allow(clock.now())
    assert permit is not None
    circuits.of("up/asked").succeeded(permit, clock.now(), 0.1)
    circuits.serve({"a": ["up"]})
    assert len(circuits.guarding) == 4

    clock.advance(1)
    circuits.serve({"a": ["up"]})

    assert list(circuits.guarding) == ["up/asked", "up/forced", "up/running"]
    assert states(metrics)["up/idle"] == []
    circuits.serve({"a": ["other"]})
    assert circuits.guarding == {}


def refused(circuits: Circuits, name: str, now: float) -> tuple[float | None, bool]:
    error = circuits.refusal(circuits.of(name), now)
    return error.retry_after, error.elsewhere


def test_a_refusal_tells_when_the_soonest_endpoint_may_be_tried(metrics: Metrics) -> None:
    circuits = made(metrics, scope="endpoint")
    for name, at in (("up/a", NOW), ("up/b", NOW + 2), ("other/c", NOW - 3), ("up/gone", NOW - 4)):
        for _ in range(2):
            permit = circuits.of(name).allow(at)
            assert permit is not None
            circuits.of(name).failed(permit, at, 0.1, "5xx")

    assert refused(circuits, "up/b", NOW + 2) == (3, True)
    circuits.of("up/a").force("forced_closed", NOW + 2)
    assert refused(circuits, "up/b", NOW + 2) == (5, True)
    assert refused(circuits, "other/c", NOW) == (2, True)


@pytest.mark.parametrize(
    "options", ({"scope": "route"}, {"scope": "upstream"}, {"scope": "endpoint", "name": "all"}), ids=str
)
def test_a_refusal_that_holds_for_all_endpoints(metrics: Metrics, options: dict[str, Any]) -> None:
    circuits = made(metrics, **options)
    fail(circuits.of("a/1"))

    assert refused(circuits, "a/1", NOW + 1) == (4, False)


def test_a_plugin_behind_it_that_fails_is_none_of_the_upstreams() -> None:
    plugin = make_plugin(Breaker, requests=1)
    exchange = make_exchange()
    plugin.on_request(exchange)
    exchange.outcome, exchange.status = "connect_failed", 502
    plugin.on_finish(exchange)
    (circuit,) = plugin.breakers().values()
    assert (circuit.state, circuit.in_flight, circuit.window.calls) == ("closed", 0, 0)


# several workers


def test_a_change_in_another_worker_is_shown_and_not_told_again(caplog: pytest.LogCaptureFixture) -> None:
    board, clock = Board.create(2), FakeClock(NOW)
    shown = [Metrics(), Metrics()]
    one, other = (
        Circuits(BreakerOptions(requests=2), make_env(clock, metrics, seat=board.take_seat(seat)))
        for seat, metrics in enumerate(shown)
    )
    for circuits in (one, other):
        circuits.keep(["item", "other"])
    seats = [circuits._seat for circuits in (one, other)]
    with caplog.at_level(logging.INFO):
        fail(one.of("item"))
        for seat in seats:
            assert seat is not None
            seat.tick(NOW)
    assert [states(metrics) for metrics in shown] == [{"item": ["open"], "other": ["closed"]}] * 2
    assert [record.getMessage() for record in caplog.records] == ["breaker item is open, it was closed: failure 2"]


def test_what_is_not_kept_leaves_its_record_to_others() -> None:
    seat = Board.create(1).take_seat(0)
    circuits = Circuits(BreakerOptions(), make_env(seat=seat))
    circuits.keep(["a", "b"])
    gone = circuits.of("a")
    circuits.keep(["b"])
    assert [record.exchange for record in seat._mine] == [circuits.of("b").exchange]  # type: ignore[attr-defined]
    fail(gone)


def test_where_no_record_is_left_a_worker_is_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.state.records.RECORDS", 1)
    circuits = Circuits(BreakerOptions(), make_env(seat=Board.create(1).take_seat(0)))
    assert [type(circuits.of(name)) for name in "ab"] == [SharedCircuit, Circuit]


def test_endpoints_of_an_upstream_opened_elsewhere_are_waited_for() -> None:
    board, clock = Board.create(2), FakeClock(NOW)
    options = BreakerOptions(requests=2, scope="endpoint")
    one, other = (Circuits(options, make_env(clock, seat=board.take_seat(seat))) for seat in range(2))
    fail(one.of("up/a"))
    clock.advance(2)
    circuit = other.of("up/b")
    circuit.force("forced_open", clock.now())
    assert other.refusal(circuit, clock.now()).retry_after == 5.0
    other.of("up/a")
    assert other.refusal(circuit, clock.now()).retry_after == 3.0
