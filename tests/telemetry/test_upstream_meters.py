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


def test_everything_else_is_counted() -> None:
    metrics = Metrics()
    meters = UpstreamMeters(metrics, "catalog")

    meters.hedged()
    meters.hedged()
    meters.shed()
    meters.mirrored("sent")
    meters.mirrored("sent")
    meters.mirrored("dropped")
    meters.ejected("errors")
    meters.retried("503")

    hedges = metrics.counter("gateway_hedges_total", "", ("upstream",))
    shed = metrics.counter("gateway_shed_total", "", ("upstream",))
    mirrored = metrics.counter("gateway_mirrored_total", "", ("upstream", "result"))
    ejections = metrics.counter("gateway_outlier_ejections_total", "", ("upstream", "reason"))
    assert (hedges.labels("catalog").value, shed.labels("catalog").value) == (2, 1)
    assert (mirrored.labels("catalog", "sent").value, mirrored.labels("catalog", "dropped").value) == (2, 1)
    assert ejections.labels("catalog", "errors").value == 1


def test_two_upstreams_are_counted_apart() -> None:
    metrics = Metrics()
    one, other = UpstreamMeters(metrics, "one"), UpstreamMeters(metrics, "other")

    one.shed()
    one.attempted(200, 0.1)

    shed = metrics.counter("gateway_shed_total", "", ("upstream",))
    assert (shed.labels("one").value, shed.labels("other").value) == (1, 0)
    assert (one.duration.count, other.duration.count) == (1, 0)


def test_an_upstream_made_anew_goes_on_counting() -> None:
    metrics = Metrics()

    UpstreamMeters(metrics, "catalog").ejected("connect")
    UpstreamMeters(metrics, "catalog").ejected("connect")

    ejections = metrics.counter("gateway_outlier_ejections_total", "", ("upstream", "reason"))
    assert ejections.labels("catalog", "connect").value == 2
