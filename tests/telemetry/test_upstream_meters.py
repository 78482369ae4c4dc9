"""What is always counted about an upstream."""

from __future__ import annotations

from gateway.telemetry.metrics import Metrics
from gateway.telemetry.upstream_meters import UpstreamMeters


def test_attempts_and_retries_are_counted() -> None:
    metrics = Metrics()
    meters = UpstreamMeters(metrics, "catalog")

    meters.attempted(200, 0.01)
    meters.attempted(200, 0.02)
    meters.attempted(0, 0.5)
    meters.retried("reset")

    requests = metrics.counter("gateway_upstream_requests_total", "", ("upstream", "code"))
    assert (requests.labels("catalog", "200").value, requests.labels("catalog", "0").value) == (2, 1)
    assert metrics.counter("gateway_retries_total", "", ("upstream", "reason")).labels("catalog", "reset").value == 1
    assert meters.duration.count == 3
