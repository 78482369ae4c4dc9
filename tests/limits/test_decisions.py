"""Decisions are counted by route; what is observed is not refused."""

import pytest

from gateway.limits.decisions import Decisions
from gateway.plugin import GatewayError, Kind
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_exchange

REFUSAL = GatewayError(Kind.RATE_LIMITED)


def counted(metrics: Metrics) -> dict[tuple[str, ...], float]:
    (family,) = metrics
    return {labels: child.value for labels, child in family.children.items()}  # type: ignore[union-attr]


def test_an_enforced_limit_refuses() -> None:
    metrics = Metrics()
    decisions = Decisions(metrics, "x_total", "Text.", enforces=True)
    with pytest.raises(GatewayError) as caught:
        decisions.over(make_exchange(route="a"), REFUSAL)
    assert caught.value is REFUSAL
    assert counted(metrics) == {("a", "limited"): 1}


def test_an_observed_limit_only_counts() -> None:
    metrics = Metrics()
    decisions = Decisions(metrics, "x_total", "Text.", enforces=False)
    for route in "aab":
        decisions.over(make_exchange(route=route), REFUSAL)
    assert counted(metrics) == {("a", "observed"): 2, ("b", "observed"): 1}


def test_a_counter_is_found_once() -> None:
    metrics = Metrics()
    decisions = Decisions(metrics, "x_total", "Text.", enforces=True)
    assert decisions.allowed["a"] is decisions.allowed["a"]
    assert decisions.allowed["a"] is not decisions.store_error["a"]
    assert set(counted(metrics)) == {("a", "allowed"), ("a", "store_error")}


def test_frontends_are_counted_apart() -> None:
    metrics = Metrics()
    decisions = Decisions(metrics, "x_total", "Text.", enforces=False)
    for frontend in ("", "mobile", "mobile"):
        decisions.over(make_exchange(route="a", frontend=frontend), REFUSAL)
    assert counted(metrics) == {("a", "observed"): 1, ("a", "observed", "mobile"): 2}
