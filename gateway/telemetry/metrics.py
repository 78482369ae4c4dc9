"""Metrics as plain numbers: the request path adds, a scrape reads. Makes no text; see `exposition`."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from typing import Generic, Literal, TypeVar

log = logging.getLogger("gateway.telemetry")
Merge = Literal["sum", "max", "min"]
SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
METRIC_NAME = re.compile(r"[a-z_][a-z0-9_]*")


class Counter:
    """A number that only grows."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value: float = 0

    def inc(self, amount: float = 1) -> None:
        """Add `amount`. ValueError when it is negative."""
        if amount < 0:
            raise ValueError("a counter only grows")
        self.value += amount


class Gauge:
    """A number that goes both ways. `merge` says what several workers' numbers make of the gateway's."""

    __slots__ = ("merge", "value")

    def __init__(self, merge: Merge = "sum") -> None:
        self.value: float = 0
        self.merge: Merge = merge

    def inc(self, amount: float = 1) -> None:
        """Add `amount`."""
        self.value += amount

    def set(self, value: float) -> None:
        """Be `value`."""
        self.value = value


class Histogram:
    """Counts by bucket. `counts` has one more place than `buckets`, for what is above all of them."""

    __slots__ = ("buckets", "counts", "sum")

    def __init__(self, buckets: tuple[float, ...] = SECONDS) -> None:
        self.buckets = buckets
        self.counts = [0] * (len(buckets) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Count one value; a bucket holds what is at most its bound."""
        place = 0
        # Most are near the lower end, where a search from there is as fast as one by halves.
        for bound in self.buckets:
            if value <= bound:
                break
            place += 1
        self.counts[place] += 1
        self.sum += value

    @property
    def count(self) -> int:
        """How many were observed."""
        return sum(self.counts)


Child = TypeVar("Child", Counter, Gauge, Histogram)
Kind = Literal["counter", "gauge", "histogram"]


class Family(Generic[Child]):
    """One metric with its labels, of which the last `optional` may be left out. The children are made at first use and
    stay."""

    def __init__(
        self, kind: Kind, name: str, text: str, labels: tuple[str, ...], make: Callable[[], Child], optional: int = 0
    ) -> None:
        self.kind = kind
        self.name = name
        self.text = text
        self.label_names = labels
        self.optional = optional
        self.children: dict[tuple[str, ...], Child] = {}
        self._make: Callable[[], Child] = make

    def labels(self, *values: str) -> Child:
        """The child with these label values. ValueError for too few or too many."""
        if not 0 <= len(self.label_names) - len(values) <= self.optional:
            raise ValueError(f"{self.name} has the labels {self.label_names}, got {values}")
        child = self.children.get(values)
        if child is None:
            child = self.children[values] = self._make()
        return child


AnyFamily = Family[Counter] | Family[Gauge] | Family[Histogram]


class Metrics:
    """All metrics of a worker. `at_scrape` functions run before every scrape, to set gauges from live state."""

    def __init__(self) -> None:
        self._families: dict[str, AnyFamily] = {}
        self.at_scrape: list[Callable[[], None]] = []

    def counter(
        self, name: str, text: str, labels: tuple[str, ...] = (), optional: tuple[str, ...] = ()
    ) -> Family[Counter]:
        """A counter; its name ends in `_total`. A child may do without the `optional` labels, which come last."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total, not {name!r}")
        return self._family("counter", name, text, labels, Counter, optional)

    def gauge(self, name: str, text: str, labels: tuple[str, ...] = (), merge: Merge = "sum") -> Family[Gauge]:
        """A gauge. The gateway's is the sum of its workers', or the largest or smallest of them."""
        return self._family("gauge", name, text, labels, lambda: Gauge(merge))

    def histogram(
        self,
        name: str,
        text: str,
        labels: tuple[str, ...] = (),
        buckets: tuple[float, ...] = (),
        optional: tuple[str, ...] = (),
    ) -> Family[Histogram]:
        """A histogram; without `buckets` those for seconds of a request."""
        return self._family("histogram", name, text, labels, lambda: Histogram(buckets or SECONDS), optional)

    def _family(
        self,
        kind: Kind,
        name: str,
        text: str,
        labels: tuple[str, ...],
        make: Callable[[], Child],
        optional: tuple[str, ...] = (),
    ) -> Family[Child]:
        known = self._families.get(name)
        names = (*labels, *optional)
        if known is None:
            if not METRIC_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a metric name: lower case letters, digits and '_'")
            family = Family(kind, name, text, names, make, len(optional))
            self._families[name] = family
            return family
        if known.kind != kind or names not in (known.label_names, known.label_names[: -known.optional or None]):
            raise ValueError(f"the metric {name!r} exists with another type or other labels")
        return known  # type: ignore[return-value]

    def refresh(self) -> None:
        """Run what has to run before a scrape."""
        for refresh in self.at_scrape:
            try:
                refresh()
            except Exception:
                # One gauge that cannot be read must not hide all the others.
                log.exception("%r failed before a scrape", refresh)

    def __iter__(self) -> Iterator[AnyFamily]:
        return iter(self._families.values())

    def __repr__(self) -> str:
        return f"<Metrics {len(self._families)} families>"
