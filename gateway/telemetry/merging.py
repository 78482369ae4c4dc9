"""The metrics of several workers as one. Pure: what is merged is plain data, which travels between processes.

Counters and histograms add up; gauges add up, or the largest or the smallest stands for all, as each says.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypedDict, cast

from gateway.telemetry.metrics import Counter, Gauge, Histogram, Kind, Merge, Metrics

# A counter's number; a gauge with how it is merged; a histogram's counts by bucket, and behind them the sum.
Value = float | tuple[Merge, float] | tuple[float, ...]


class FamilyData(TypedDict):
    """One metric. `buckets` are a histogram's bounds without infinity; `children` are by their labels' values."""

    kind: Kind
    text: str
    labels: tuple[str, ...]
    buckets: tuple[float, ...]
    children: dict[tuple[str, ...], Value]


Data = Mapping[str, FamilyData]


def collected(metrics: Metrics) -> Data:
    """All metrics as they are now, by name."""
    metrics.refresh()
    found: dict[str, FamilyData] = {}
    for family in metrics:
        children: dict[tuple[str, ...], Value] = {}
        buckets: tuple[float, ...] = ()
        for labels, child in family.children.items():
            if isinstance(child, Counter):
                children[labels] = child.value
            elif isinstance(child, Histogram):
                children[labels] = (*child.counts, child.sum)
                buckets = child.buckets
            elif isinstance(child, Gauge):
                children[labels] = (child.merge, child.value)
        found[family.name] = {
            "kind": family.kind,
            "text": family.text,
            "labels": family.label_names,
            "buckets": buckets,
            "children": children,
        }
    return found


def merge(parts: Sequence[Data]) -> Data:
    """The sum of all parts; what was not collected there at the same time need not fit, see `merge_family`."""
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: merge_family([part[name] for part in parts if name in part]) for name in names}


def merge_family(parts: Sequence[FamilyData]) -> FamilyData:
    """One metric of all workers. Where a worker still has it with another type or with other labels, as after an
    upgrade, the first one's holds, and what does not fit is left out."""
    first = parts[0]
    kind, labels = first["kind"], first["labels"]
    fitting = []
    for part in parts:
        shorter, longer = sorted((labels, part["labels"]), key=len)
        # Labels that may be left out come last: who does not know of them has none of them.
        if part["kind"] == kind and longer[: len(shorter)] == shorter:
            labels = longer
            fitting.append(part)
    buckets = first["buckets"]
    if kind == "histogram" and any(part["buckets"] != buckets for part in fitting):
        buckets = tuple(sorted({bound for part in fitting for bound in part["buckets"]}))
        fitting = [_rebucketed(part, buckets) for part in fitting]
    children, add = dict(fitting[0]["children"]), _ADD[kind]
    for part in fitting[1:]:
        for key, value in part["children"].items():
            known = children.get(key)
            children[key] = value if known is None else add(known, value)
    return {"kind": kind, "text": first["text"], "labels": labels, "buckets": buckets, "children": children}


def lasting(data: Data) -> Data:
    """What still counts when its worker has ended: not the gauges."""
    return {name: family for name, family in data.items() if family["kind"] != "gauge"}


def fold(departed: Data, last: Data) -> Data:
    """What workers that have ended have counted, with one more of them: a counter never goes down. Where the two do
    not fit, the younger one's labels hold."""
    return lasting(merge([last, departed]))


def packed(data: Data) -> dict[str, bytes]:
    """For another process of the same gateway: those who pass it on need not take it apart."""
    return {name: pickle.dumps(family) for name, family in data.items()}


class Packed(Mapping[str, FamilyData]):
    """What `packed` packed. A family is unpacked each time that it is asked for: all of them at once would hold up
    whoever waits, and memory."""

    def __init__(self, raw: Mapping[str, bytes]) -> None:
        self._raw = raw

    def __getitem__(self, name: str) -> FamilyData:
        return cast(FamilyData, pickle.loads(self._raw[name]))

    def __iter__(self) -> Iterator[str]:
        return iter(self._raw)

    def __len__(self) -> int:
        return len(self._raw)


def _add_numbers(one: Any, other: Any) -> Value:
    return cast(float, one + other)


def _add_gauges(one: Any, other: Any) -> Value:
    how, value = one
    return how, _GAUGES[how]((value, other[1]))


def _add_histograms(one: Any, other: Any) -> Value:
    return tuple([mine + more for mine, more in zip(one, other, strict=True)])


_ADD: dict[Kind, Callable[[Any, Any], Value]] = {
    "counter": _add_numbers,
    "gauge": _add_gauges,
    "histogram": _add_histograms,
}
_GAUGES: dict[Merge, Callable[[tuple[float, float]], float]] = {"sum": sum, "max": max, "min": min}


def _rebucketed(part: FamilyData, buckets: tuple[float, ...]) -> FamilyData:
    """The same with more bounds. What was counted at a bound stays there: no bucket holds what may lie above it."""
    if part["buckets"] == buckets:
        return part
    places = [buckets.index(bound) for bound in part["buckets"]]
    return {
        **part,
        "buckets": buckets,
        "children": {key: _spread(value, places, len(buckets)) for key, value in part["children"].items()},
    }


def _spread(value: Any, places: Iterable[int], infinity: int) -> Value:
    *counts, above, total = value
    spread: list[float] = [0] * (infinity + 1)
    for place, count in zip(places, counts, strict=True):
        spread[place] = count
    spread[infinity] = above
    return (*spread, total)
