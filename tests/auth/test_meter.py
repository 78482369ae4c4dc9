"""Decisions are counted by plugin and result."""

from gateway.auth.meter import AuthMeter
from gateway.telemetry.metrics import Metrics


def test_every_result_is_there_from_the_start() -> None:
    metrics = Metrics()
    meter = AuthMeter(metrics, "jwt")
    meter.allowed.inc()
    (family,) = metrics

    assert family.name == "gateway_auth_total"
    assert {labels: getattr(child, "value", None) for labels, child in family.children.items()} == {
        ("jwt", "allowed"): 1,
        ("jwt", "denied"): 0,
        ("jwt", "error"): 0,
        ("jwt", "missing"): 0,
        ("jwt", "observed"): 0,
    }
