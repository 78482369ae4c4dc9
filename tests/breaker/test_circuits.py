"""The circuits of a breaker, their metrics and what the log says of them."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from gateway.breaker.circuit import Circuit
from gateway.breaker.circuits import Circuits
from gateway.breaker.options import BreakerOptions
from gateway.exchange import Attempt
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env

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
