"""A scrape gets what it asked for, and prometheus_client's own parsers can read it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from math import inf
from typing import Any, cast

import prometheus_client
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import Data, collected
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


class Peer(Collector):
    """The same metrics, as prometheus_client would have them."""

    def __init__(self, data: Data) -> None:
        self._data = data

    def collect(self) -> Iterator[Metric]:
        for name, family in self._data.items():
            labels = family["labels"]
            metric: Any
            if family["kind"] == "histogram":
                metric = HistogramMetricFamily(name, family["text"], labels=labels)
                bounds = [*map(floatToGoString, family["buckets"]), "+Inf"]
                for values, (*counts, total) in cast(Any, family["children"]).items():
                    metric.add_metric(values, list(zip(bounds, accumulate(counts), strict=True)), total)
            else:
                made = CounterMetricFamily if family["kind"] == "counter" else GaugeMetricFamily
                metric = made(name, family["text"], labels=labels)
                for values, value in family["children"].items():
                    metric.add_metric(values, value[1] if isinstance(value, tuple) else value)
            yield metric


TEXTS = st.text(st.sampled_from('ab\\"\n é{},='), max_size=4)
NUMBERS = st.floats(0, 1e12) | st.integers(0, 10**15) | st.sampled_from([0.1, 999999.0, 1e6, 1234567, 1e21, 1e-9])


@pytest.mark.parametrize("accept", ("", OPENMETRICS))
@settings(max_examples=25)
@given(st.data())
def test_the_text_is_prometheus_clients_own(accept: str, data: st.DataObject) -> None:
    metrics = Metrics()
    for values in data.draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=3)):
        metrics.counter("a_total", data.draw(TEXTS), ("zone", "code")).labels(*values).inc(data.draw(NUMBERS))
        gauge = metrics.gauge("b", "B.", ("zone",)).labels(values[0])
        gauge.set(data.draw(NUMBERS.map(lambda number: -number) | NUMBERS | st.sampled_from([inf, -inf])))
        histogram = metrics.histogram("c", "C.", ("a", "zone"), (0.5, 2.0, 1e7), ("host",))
        for number in data.draw(st.lists(NUMBERS, max_size=3)):
            histogram.labels(*values).observe(number)
            histogram.labels(*values, "h").observe(number)
    found = collected(metrics)
    encode, content_type = choose_encoder(accept)

    assert expose([found], accept) == (encode(Peer(found)), content_type)


def test_workers_are_added_up(metrics: Metrics) -> None:
    found = collected(metrics)

    text = expose([found, found])[0].decode()

    assert "gateway_active_requests 4.0" in text
    assert 'gateway_seconds_bucket{le="0.1",route="a"} 4.0' in text
    assert text.count("# TYPE gateway_seconds histogram") == 1
