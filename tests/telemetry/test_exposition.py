"""A scrape gets what it asked for, and prometheus_client's own parsers can read it."""

from __future__ import annotations

import prometheus_client
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import collected
from gateway.telemetry.metrics import Metrics

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8,text/plain;version=0.0.4;q=0.5"


@pytest.fixture
def metrics() -> Metrics:
    metrics = Metrics()
    metrics.counter("gateway_requests_total", "Requests.", ("route", "code")).labels('a"\\\n', "200").inc(3)
    metrics.gauge("gateway_active_requests", "Active.").labels().set(2)
    histogram = metrics.histogram("gateway_seconds", "Seconds.", ("route",), (0.1, 1.0)).labels("a")
    for value in (0.05, 0.1, 0.5, 7.0):
        histogram.observe(value)
    return metrics


def test_prometheus_text(metrics: Metrics) -> None:
    text, content_type = expose([collected(metrics)])

    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert b'gateway_requests_total{code="200",route="a\\"\\\\\\n"} 3.0' in text.replace(
        b'route="a\\"\\\\\\n",code="200"', b'code="200",route="a\\"\\\\\\n"'
    )
    assert {family.name for family in parse_text(text.decode())} == {
        "gateway_requests",
        "gateway_active_requests",
        "gateway_seconds",
    }


def test_openmetrics_for_those_who_ask(metrics: Metrics) -> None:
    text, content_type = expose([collected(metrics)], OPENMETRICS)

    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert text.endswith(b"# EOF\n")
    assert len(list(parse_openmetrics(text.decode()))) == 3


@pytest.mark.parametrize("accept", ("", OPENMETRICS))
def test_histograms_are_cumulative_up_to_infinity(metrics: Metrics, accept: str) -> None:
    text, _ = expose([collected(metrics)], accept)

    lines = [line for line in text.decode().splitlines() if line.startswith("gateway_seconds_")]
    assert lines == [
        'gateway_seconds_bucket{le="0.1",route="a"} 2.0',
        'gateway_seconds_bucket{le="1.0",route="a"} 3.0',
        'gateway_seconds_bucket{le="+Inf",route="a"} 4.0',
        'gateway_seconds_count{route="a"} 4.0',
        'gateway_seconds_sum{route="a"} 7.65',
    ]


def test_a_family_without_children_is_named_all_the_same() -> None:
    metrics = Metrics()
    metrics.counter("gateway_retries_total", "Retries.", ("upstream",))

    assert b"# TYPE gateway_retries_total counter" in expose([collected(metrics)])[0]


def test_gauges_are_set_before_a_scrape_and_one_failure_hides_nothing(metrics: Metrics) -> None:
    def fail() -> None:
        raise RuntimeError("gone")

    gauge = metrics.gauge("gateway_idle", "Idle.").labels()
    metrics.at_scrape += [fail, lambda: gauge.set(7)]

    assert b"gateway_idle 7.0" in expose([collected(metrics)])[0]


def test_the_default_registry_is_left_alone(metrics: Metrics) -> None:
    before = prometheus_client.generate_latest().count(b"gateway_")

    expose([collected(metrics)])

    assert prometheus_client.generate_latest().count(b"gateway_") == before == 0
    assert b"python_info" not in expose([collected(metrics)])[0]
