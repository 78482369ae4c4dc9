"""Metrics as text: Prometheus 0.0.4 or OpenMetrics, as the scraper asks. Cold; works on one `Metrics`, no registry."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from gateway.telemetry.metrics import AnyFamily, Counter, Gauge, Histogram, Metrics

log = logging.getLogger("gateway.telemetry")


def expose(metrics: Metrics, accept: str = "") -> tuple[bytes, str]:
    """All metrics as text, and its content type.

    OpenMetrics where `accept`, the scraper's Accept header, names `application/openmetrics-text`; else Prometheus text.
    """
    encode, content_type = choose_encoder(accept)
    return encode(MetricsCollector(metrics)), content_type


class MetricsCollector(Collector):
    """prometheus_client's view of a `Metrics`."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        """Run what has to run before a scrape, then give every family."""
        for refresh in self._metrics.at_scrape:
            try:
                refresh()
            except Exception:
                # One gauge that cannot be read must not hide all the others.
                log.exception("%r failed before a scrape", refresh)
        for family in list(self._metrics):
            yield _metric(family)


def _metric(family: AnyFamily) -> Metric:
    names = family.label_names
    metric: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
    if family.kind == "counter":
        metric = CounterMetricFamily(family.name, family.text, labels=names)
    elif family.kind == "gauge":
        metric = GaugeMetricFamily(family.name, family.text, labels=names)
    else:
        metric = HistogramMetricFamily(family.name, family.text, labels=names)
    for labels, child in list(family.children.items()):
        if isinstance(child, Histogram):
            assert isinstance(metric, HistogramMetricFamily)
            metric.add_metric(labels, _buckets(child), child.sum)
        elif isinstance(child, Counter | Gauge):
            assert isinstance(metric, CounterMetricFamily | GaugeMetricFamily)
            metric.add_metric(labels, child.value)
    return metric


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    """Upper bound and how many are at most that, the last bound being +Inf."""
    bounds = [*map(floatToGoString, histogram.buckets), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True))
