"""The rows of several workers as one list. Pure: plain data in, plain data out.

What one worker says stands in `views`. What workers that have ended have served comes in the same lists, as rows that
hold counts alone: they add to what a living worker has, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import getitem
from typing import Any, cast

from gateway.telemetry.traffic import Figures, merged

Row = dict[str, Any]
FIGURES = tuple(Figures.__annotations__)
# The first that one worker finds is what is shown.
AVAILABILITY_BY_WORST = ("drained", "unhealthy", "ejected", "available")
# A worker that has not checked yet says nothing against one that has.
HEALTH_BY_WORST = ("unhealthy", "healthy", "unchecked")


def routes(parts: Iterable[list[Row]]) -> list[Row]:
    """Figures added up; what a route matches and does is the first worker's word."""
    return _merged(parts, _route_key, _route, _is_living_route)


def upstreams(parts: Iterable[list[Row]]) -> list[Row]:
    """Counts added up. `available` are the endpoints that some worker gives requests to."""
    return _merged(parts, _name, _upstream, _is_living_upstream)


def endpoint(rows: list[Row]) -> Row:
    """One endpoint: counts added up, otherwise the worst that a worker finds; `workers` says how many find what."""
    living = list(filter(_is_living_endpoint, rows))
    found = Counter(row["availability"] for row in living)
    ejected = [row["ejected"] for row in living if row["ejected"] is not None]
    first = living[0]
    return {
        **first,
        "state": "drain" if any(row["state"] == "drain" for row in living) else "enabled",
        "availability": next(word for word in AVAILABILITY_BY_WORST if found[word]),
        "health": min((row["health"] for row in living), key=HEALTH_BY_WORST.index),
        "check_failure": next((row["check_failure"] for row in living if row["check_failure"]), None),
        "ejected": max(ejected, key=lambda one: one["seconds_left"], default=None),
        "failures_in_a_row": max(row["failures_in_a_row"] for row in living),
        "in_flight": sum(row["in_flight"] for row in living),
        **_added(rows),
        "pool": {key: sum(row["pool"][key] for row in living) for key in first["pool"]},
        "workers": dict(found),
    }


def breakers(parts: Iterable[list[Row]]) -> list[Row]:
    """One row a breaker, the one that has changed last: workers share states and counts. What is in flight adds up;
    latencies are each worker's own, and so an average by how many each has measured."""
    return _merged(parts, _name, breaker)


def breaker(rows: list[Row]) -> Row:
    """One breaker."""
    latest = min(rows, key=lambda row: row["since_seconds"])
    return {
        **latest,
        "in_flight": sum(row["in_flight"] for row in rows),
        "latency_avg_ms": _average(rows, "latency_avg_ms"),
        "latency_ms": {name: _average(rows, "latency_ms", name) for name in latest["latency_ms"]},
        "latency_calls": sum(row["latency_calls"] for row in rows),
    }


def summary(parts: Sequence[Row]) -> Row:
    """In a few numbers."""
    living = [part for part in parts if "version" in part]
    return {
        "version": max(part["version"] for part in living),
        "workers": len(living),
        **{key: sum(part[key] for part in living) for key in ("active_requests", "connections")},
        **_sums(parts, living, ("calls", "errors")),
    }


# What is left of workers that have ended. `last` is what one more of them said last, in answers or as remains.


def fold_routes(departed: list[Row], last: list[Row]) -> list[Row]:
    """Names and figures of all that served anything."""
    counted = [row for row in last if row["calls"]]
    return _merged([counted, departed], _route_key, lambda rows: {**_names(rows[0]), **_figures_left(rows)})


def fold_upstreams(departed: list[Row], last: list[Row]) -> list[Row]:
    """Names and counts. Addresses come and go: those that `last` does not know are forgotten."""
    return _merged([last, departed], _name, _fold_upstream)


def _fold_upstream(rows: list[Row]) -> Row:
    known = set(map(_address, rows[0]["endpoints"]))
    endpoints = [[one for one in row["endpoints"] if one["address"] in known] for row in rows]
    refused = [row["concurrency"]["refused"] for row in rows if row["concurrency"] is not None]
    return {
        **_names(rows[0]),
        "endpoints": _merged(endpoints, _address, lambda found: {"address": found[0]["address"], **_added(found)}),
        "concurrency": {"refused": sum(refused)} if refused else None,
        **_figures_left(rows),
    }


def fold_summary(departed: Row, last: Row) -> Row:
    """Calls and errors."""
    parts = [last, departed]
    return _sums(parts, parts, ("calls", "errors"))


def _names(row: Row) -> Row:
    return {key: row[key] for key in ("name", "frontend") if key in row}


def _figures_left(rows: list[Row]) -> Row:
    """Rates have ended with who served."""
    figures = _figures(rows, rows)
    return figures if figures["calls"] is None else {**figures, "rate_1m": 0.0, "rate_5m": 0.0}


# Details


def _is_living_route(row: Row) -> bool:
    return "action" in row


def _is_living_upstream(row: Row) -> bool:
    return "available" in row


def _is_living_endpoint(row: Row) -> bool:
    return "availability" in row


def _merged(
    parts: Iterable[list[Row]],
    key: Callable[[Row], Any],
    merge: Callable[[list[Row]], Row],
    is_living: Callable[[Row], bool] = lambda row: True,
) -> list[Row]:
    """Rows with the same key as one, in the order in which they come first. One that no living worker has is left
    out."""
    rows: dict[Any, list[Row]] = {}
    for part in parts:
        for row in part:
            rows.setdefault(key(row), []).append(row)
    return [merge(found) for found in rows.values() if any(map(is_living, found))]


def _route_key(row: Row) -> tuple[str, str]:
    return row["frontend"] or "", row["name"]


def _name(row: Row) -> Any:
    return row["name"]


def _address(row: Row) -> Any:
    return row["address"]


def _route(rows: list[Row]) -> Row:
    living = list(filter(_is_living_route, rows))
    return {**living[0], **_figures(rows, living)}


def _upstream(rows: list[Row]) -> Row:
    living = list(filter(_is_living_upstream, rows))
    usable = {address for row in living for address in row["available"]}
    endpoints = _merged([row["endpoints"] for row in rows], _address, endpoint, _is_living_endpoint)
    return {
        **living[0],
        "endpoints": endpoints,
        "available": [one["address"] for one in endpoints if one["address"] in usable],
        **{key: {"in_flight": sum(row[key]["in_flight"] for row in living)} for key in ("retries", "hedges")},
        "concurrency": _concurrency(rows, living),
        **_figures(rows, living),
    }


def _concurrency(rows: list[Row], living: list[Row]) -> Row | None:
    """A fixed limit is the gateway's; one that adapts is each worker's own."""
    found = [row["concurrency"] for row in living if row["concurrency"] is not None]
    if not found:
        return None
    limits = [one["limit"] for one in found]
    return {
        "limit": max(limits) if found[0]["fixed"] else sum(limits),
        "in_flight": sum(one["in_flight"] for one in found),
        "refused": sum(row["concurrency"]["refused"] for row in rows if row["concurrency"] is not None),
    }


def _added(rows: list[Row]) -> Row:
    """What an endpoint has served."""
    return {key: sum(row[key] for row in rows) for key in ("requests", "errors")}


def _figures(rows: Iterable[Row], living: Iterable[Row]) -> Row:
    """Those of all; null where no living worker counts."""
    if all(row["calls"] is None for row in living):
        return dict.fromkeys(FIGURES)
    counted = [cast(Figures, {key: row[key] for key in FIGURES}) for row in rows if row["calls"] is not None]
    return {**merged(counted)}


def _sums(parts: Iterable[Row], living: Iterable[Row], keys: Iterable[str]) -> Row:
    """Sums over all; null where no living worker counts."""
    counting = any(part["calls"] is not None for part in living)
    return {key: sum(part[key] or 0 for part in parts) if counting else None for key in keys}


def _average(rows: list[Row], *keys: str) -> float:
    """Of the numbers that these keys lead to."""
    calls = sum(row["latency_calls"] for row in rows)
    values = [reduce(getitem, keys, cast(Any, row)) * row["latency_calls"] for row in rows]
    return round(sum(values) / calls, 3) if calls else 0.0
