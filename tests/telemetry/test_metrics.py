"""Metrics are plain numbers; asking twice gives the same one, asking wrongly is an error at once."""

from __future__ import annotations

import pytest

from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import collected
from gateway.telemetry.metrics import Counter, Histogram, Metrics


def test_the_same_name_gives_the_same_metric() -> None:
    metrics = Metrics()

    metrics.counter("a_total", "A.", ("route",)).labels("x").inc()
    metrics.counter("a_total", "A.", ("route",)).labels("x").inc(2)

    assert metrics.counter("a_total", "A.", ("route",)).labels("x").value == 3
    assert repr(metrics) == "<Metrics 1 families>"


def test_a_counter_only_grows() -> None:
    with pytest.raises(ValueError, match="only grows"):
        Counter().inc(-1)


def test_a_gauge_goes_both_ways() -> None:
    gauge = Metrics().gauge("g", "G.").labels()

    gauge.set(5)
    gauge.inc(-2)

    assert gauge.value == 3


@pytest.mark.parametrize(("value", "counts"), ((0.5, [1, 0, 0]), (1.0, [1, 0, 0]), (1.5, [0, 1, 0]), (9.0, [0, 0, 1])))
def test_a_bucket_holds_what_is_at_most_its_bound(value: float, counts: list[int]) -> None:
    histogram = Histogram((1.0, 2.0))

    histogram.observe(value)

    assert (histogram.counts, histogram.sum, histogram.count) == (counts, value, 1)


def test_a_metric_has_one_type_and_one_set_of_labels() -> None:
    metrics = Metrics()
    metrics.counter("a_total", "A.", ("route",))

    with pytest.raises(ValueError, match="other labels"):
        metrics.counter("a_total", "A.")
    with pytest.raises(ValueError, match="another type"):
        metrics.gauge("a_total", "A.", ("route",))


@pytest.mark.parametrize("name", ("requests", "Requests_total", "a-b_total"))
def test_names_follow_the_rules(name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        Metrics().counter(name, "A.")


def test_labels_are_as_many_as_declared() -> None:
    with pytest.raises(ValueError, match="labels"):
        Metrics().counter("a_total", "A.", ("route", "code")).labels("x")


def test_optional_labels_may_be_left_out() -> None:
    metrics = Metrics()
    family = metrics.counter("a_total", "Text.", ("route", "code"), ("frontend",))
    family.labels("page", "200").inc()
    family.labels("page", "200", "mobile").inc(2)
    metrics.histogram("b", "Text.", ("route",), optional=("frontend",)).labels("page", "web").observe(1.0)
    for values in (("page",), ("page", "200", "mobile", "x")):
        with pytest.raises(ValueError, match="has the labels"):
            family.labels(*values)
    text = expose([collected(metrics)])[0].decode()
    assert 'a_total{code="200",route="page"} 1.0' in text
    assert 'a_total{code="200",frontend="mobile",route="page"} 2.0' in text
    assert 'b_count{frontend="web",route="page"} 1.0' in text
    assert metrics.counter("a_total", "", ("route", "code")) is family, "for who only reads it"
    with pytest.raises(ValueError, match="other labels"):
        metrics.counter("a_total", "", ("route", "code"), ("other",))
