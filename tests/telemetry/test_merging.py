"""Several workers' metrics as one."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import Data, Packed, collected, fold, lasting, merge, packed
from gateway.telemetry.metrics import Merge, Metrics

# Sums of these are exact.
AMOUNTS = st.integers(0, 10**9).map(lambda number: number / 4)
ROUTES = st.sampled_from(["a", "b", "c"])
LIMITS = st.sampled_from(["sum", "max", "min"])


@st.composite
def workers(draw: st.DrawFn) -> Data:
    """What a worker may have collected."""
    metrics = Metrics()
    counter = metrics.counter("calls_total", "Calls.", ("route",), ("frontend",))
    for route, amount in draw(st.dictionaries(ROUTES, AMOUNTS)).items():
        counter.labels(route).inc(amount)
    for how in ("sum", "max", "min"):
        gauge = metrics.gauge(f"gauge_{how}", "A gauge.", ("route",), merge=how)
        for route, amount in draw(st.dictionaries(ROUTES, AMOUNTS)).items():
            gauge.labels(route).set(-amount)
    buckets = draw(st.sets(st.sampled_from([0.25, 0.5, 1.0, 2.0]), min_size=1))
    histogram = metrics.histogram("seconds", "Seconds.", ("route",), buckets=tuple(sorted(buckets)))
    for route, amounts in draw(st.dictionaries(ROUTES, st.lists(AMOUNTS, max_size=3))).items():
        for amount in amounts:
            histogram.labels(route).observe(amount)
    return collected(metrics)


def counts(data: Data) -> dict[tuple[str, tuple[str, ...]], float]:
    """Everything that only grows, a histogram's number of values and their sum included."""
    found: dict[tuple[str, tuple[str, ...]], float] = {}
    for name, family in data.items():
        for labels, value in family["children"].items():
            if family["kind"] == "counter":
                assert isinstance(value, float | int)
                found[name, labels] = value
            elif family["kind"] == "histogram":
                assert isinstance(value, tuple)
                *by_bucket, total = value
                found[f"{name}_count", labels] = sum(by_bucket)
                found[f"{name}_sum", labels] = total
    return found


def metrics_of(name: str, **children: float) -> Data:
    metrics = Metrics()
    for label, amount in children.items():
        metrics.counter(name, "Text.", ("route",)).labels(label).inc(amount)
    return collected(metrics)


@settings(max_examples=25)
@given(st.lists(workers(), min_size=1, max_size=4))
def test_sums_are_exact(parts: list[Data]) -> None:
    whole = counts(merge(parts))
    singles = [counts(part) for part in parts]
    assert whole == {key: sum(one.get(key, 0) for one in singles) for key in {key for one in singles for key in one}}


@settings(max_examples=25)
@given(workers(), workers(), workers())
def test_the_order_does_not_matter(one: Data, two: Data, three: Data) -> None:
    assert merge([one, two]) == merge([two, one])
    assert merge([merge([one, two]), three]) == merge([one, merge([two, three])]) == merge([one, two, three])


@settings(max_examples=25)
@given(workers())
def test_a_worker_alone_is_as_it_is(one: Data) -> None:
    assert merge([one]) == one == dict(Packed(packed(one))) == pickle.loads(pickle.dumps(one))


@settings(max_examples=25)
@given(st.lists(workers(), min_size=1, max_size=5), st.data())
def test_counts_never_go_down_whoever_ends(parts: list[Data], data: st.DataObject) -> None:
    departed: Data = {}
    before = counts(merge(parts))
    for ending in data.draw(st.permutations(range(len(parts)))):
        departed = fold(departed, parts[ending])
        parts[ending] = {}
        now = counts(merge([*parts, departed]))
        assert now == before, "all that was counted goes on counting"


@settings(max_examples=25)
@given(workers(), workers())
def test_gauges_of_the_dead_are_gone(one: Data, two: Data) -> None:
    assert {name for name, family in fold(one, two).items()} == {"calls_total", "seconds"}
    assert set(lasting(one)) == {"calls_total", "seconds"}


@pytest.mark.parametrize(("how", "value"), [("sum", 9.0), ("max", 5.0), ("min", 1.0)])
def test_gauges_are_merged_by_what_they_mean(how: Merge, value: float) -> None:
    parts = []
    for number in (3.0, 1.0, 5.0):
        metrics = Metrics()
        metrics.gauge("g", "G.", merge=how).labels().set(number)
        parts.append(collected(metrics))
    assert merge(parts)["g"]["children"][()] == (how, value)


def test_one_child_may_mean_something_else() -> None:
    parts = []
    for number in (3, 2):
        metrics = Metrics()
        family = metrics.gauge("endpoints", "E.", ("state",), merge="max")
        family.labels("ejected").set(number)
        family.labels("available").set(number)
        family.labels("available").merge = "min"
        parts.append(collected(metrics))
    assert merge(parts)["endpoints"]["children"] == {("ejected",): ("max", 3), ("available",): ("min", 2)}


def test_other_buckets_keep_what_they_know() -> None:
    """What was counted at a bound stays at that bound."""
    parts = []
    for buckets in ((1.0, 4.0), (2.0,)):
        metrics = Metrics()
        histogram = metrics.histogram("seconds", "S.", buckets=buckets).labels()
        for value in (0.5, 3.0, 9.0):
            histogram.observe(value)
        parts.append(collected(metrics))
    family = merge(parts)["seconds"]
    assert family["buckets"] == (1.0, 2.0, 4.0)
    assert family["children"][()] == (1, 1, 1, 3, 25.0)


def test_labels_that_may_be_left_out_are_no_difference() -> None:
    old, new = Metrics(), Metrics()
    old.counter("a_total", "A.", ("route",)).labels("x").inc(1)
    family = new.counter("a_total", "A.", ("route",), ("frontend",))
    family.labels("x").inc(2)
    family.labels("x", "web").inc(4)
    for parts in ([collected(old), collected(new)], [collected(new), collected(old)]):
        found = merge(parts)["a_total"]
        assert (found["labels"], found["children"]) == (("route", "frontend"), {("x",): 3, ("x", "web"): 4})


def other(kind: str) -> Data:
    """A family of the same name that does not fit to `metrics_of`."""
    metrics = Metrics()
    if kind == "labels":
        metrics.counter("a_total", "A.", ("code", "route")).labels("200", "x").inc(7)
    else:
        metrics.gauge("a_total", "A.", ("route",)).labels("x").set(7)
    return collected(metrics)


@pytest.mark.parametrize("kind", ["labels", "type"])
def test_what_does_not_fit_is_left_out(kind: str) -> None:
    """A worker of another version breaks no scrape."""
    living: Any = metrics_of("a_total", x=3)
    assert merge([living, other(kind), living])["a_total"]["children"] == {("x",): 6}
    expose([living, other(kind)])
    expose([other(kind), living])


def test_the_younger_ones_labels_hold_among_the_departed() -> None:
    departed = fold(fold({}, other("labels")), metrics_of("a_total", x=3))
    assert departed["a_total"]["children"] == {("x",): 3}
    assert fold(departed, metrics_of("a_total", x=1, y=1))["a_total"]["children"] == {("x",): 4, ("y",): 1}


def test_collecting_runs_what_has_to_run_before() -> None:
    metrics = Metrics()
    gauge = metrics.gauge("g", "G.").labels()
    metrics.at_scrape.append(lambda: gauge.set(7))
    assert collected(metrics)["g"]["children"][()] == ("sum", 7)


def test_parts_are_not_changed() -> None:
    one, two = metrics_of("a_total", x=1), metrics_of("a_total", x=2)
    merge([one, two])
    assert (one, two) == (metrics_of("a_total", x=1), metrics_of("a_total", x=2))
