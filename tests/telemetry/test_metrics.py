"""Metrics are plain numbers; asking twice gives the same one, asking wrongly is an error at once."""

from __future__ import annotations

import pytest

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
