"""What several workers say, as one."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.admin import merged_rows
from gateway.admin.merged_rows import FIGURES, Row, fold_routes, fold_summary, fold_upstreams

NO_FIGURES: Row = dict.fromkeys(FIGURES)


def figures(calls: int, errors: int = 0, average: float = 10.0, most: float = 20.0, rate: float = 0.0) -> Row:
    share = errors / calls if calls else 0.0
    numbers = (calls, errors, share, average if calls else 0.0, most if calls else 0.0, rate, rate)
    return dict(zip(FIGURES, numbers, strict=True))


def route(name: str = "a", frontend: str | None = None, found: Row | None = None, **more: Any) -> Row:
    return {"name": name, "frontend": frontend, "action": "to up", **(found or figures(0)), **more}


def served(name: str, calls: int, frontend: str | None = None) -> Row:
    return {"name": name, "frontend": frontend, **figures(calls)}


def endpoint(address: str = "h:1", availability: str = "available", **more: Any) -> Row:
    pool = {"active": 1, "idle": 2, "connecting": 0, "queued": 3, "max_connections": 10, "max_queue": 20}
    return {
        "address": address,
        "weight": 1,
        "priority": 0,
        "state": "enabled",
        "availability": availability,
        "health": "unchecked",
        "check_failure": None,
        "ejected": None,
        "failures_in_a_row": 0,
        "in_flight": 1,
        "requests": 5,
        "errors": 2,
        "pool": pool,
        **more,
    }


def upstream(name: str = "up", endpoints: list[Row] | None = None, found: Row | None = None, **more: Any) -> Row:
    endpoints = [endpoint()] if endpoints is None else endpoints
    return {
        "name": name,
        "endpoints": endpoints,
        "available": [one["address"] for one in endpoints if one["availability"] == "available"],
        "retries": {"in_flight": 1},
        "hedges": {"in_flight": 2},
        "concurrency": None,
        **(found or figures(0)),
        **more,
    }


def upstream_served(requests: dict[str, int], name: str = "up", calls: int | None = None, refused: int = 0) -> Row:
    return {
        "name": name,
        "endpoints": [{"address": one, "requests": count, "errors": 0} for one, count in requests.items()],
        "concurrency": {"refused": refused} if refused else None,
        **(NO_FIGURES if calls is None else figures(calls)),
    }


def breaker(since: float, state: str = "closed", in_flight: int = 0, latency: float = 0.0, calls: int = 0) -> Row:
    return {
        "name": "b",
        "state": state,
        "since_seconds": since,
        "in_flight": in_flight,
        "latency_avg_ms": latency,
        "latency_ms": {"50": latency, "99": latency * 2},
        "latency_calls": calls,
    }


def test_figures_of_routes_are_added_up() -> None:
    mine = [route("a", found=figures(1, 1, 10.0, 10.0, 0.5)), route("-")]
    other = [route("a", found=figures(3, 0, 50.0, 70.0, 1.5)), route("-", found=figures(1))]
    first, nowhere = merged_rows.routes([mine, other])
    assert first == route("a", found=figures(4, 1, 40.0, 70.0, 2.0))
    assert nowhere["calls"] == 1


def test_a_route_of_a_frontend_is_another() -> None:
    rows = merged_rows.routes([[route("a"), route("a", "web")], [route("a", "web", figures(2))]])
    assert [(row["frontend"], row["calls"]) for row in rows] == [(None, 0), ("web", 2)]


def test_a_route_that_another_worker_does_not_have_yet() -> None:
    rows = merged_rows.routes([[route("a")], [route("b", found=figures(2)), route("a")]])
    assert [(row["name"], row["calls"]) for row in rows] == [("a", 0), ("b", 2)]


def test_what_the_departed_served_is_added_to_what_there_is() -> None:
    rows = merged_rows.routes([[route("a", found=figures(2, rate=0.5))], [served("a", 3), served("gone", 7)]])
    assert [(row["name"], row["calls"], row["rate_1m"]) for row in rows] == [("a", 5, 0.5)]
    assert "action" in rows[0]


def test_nothing_counts() -> None:
    (row,) = merged_rows.routes([[route(found=NO_FIGURES)], [route(found=NO_FIGURES)], [served("a", 3)]])
    assert {row[key] for key in FIGURES} == {None}
    (row,) = merged_rows.routes([[route(found=NO_FIGURES)], [route(found=figures(2))], [served("a", 3)]])
    assert row["calls"] == 5, "a worker is still on the old configuration"


def test_counts_of_upstreams_are_added_up() -> None:
    (row,) = merged_rows.upstreams([[upstream(found=figures(2))], [upstream(found=figures(3))]])
    assert (row["calls"], row["retries"], row["hedges"]) == (5, {"in_flight": 2}, {"in_flight": 4})
    (found,) = row["endpoints"]
    assert (found["in_flight"], found["requests"], found["errors"]) == (2, 10, 4)
    assert found["pool"] == {
        "active": 2,
        "idle": 4,
        "connecting": 0,
        "queued": 6,
        "max_connections": 20,
        "max_queue": 40,
    }
    assert found["workers"] == {"available": 2}


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        (("available", "available"), "available"),
        (("available", "ejected"), "ejected"),
        (("ejected", "unhealthy", "available"), "unhealthy"),
        (("drained", "unhealthy"), "drained"),
    ],
)
def test_the_worst_that_a_worker_finds(found: tuple[str, ...], shown: str) -> None:
    (row,) = merged_rows.upstreams([[upstream(endpoints=[endpoint("h:1", one)])] for one in found])
    (one,) = row["endpoints"]
    assert one["availability"] == shown
    assert one["workers"] == {word: found.count(word) for word in found}
    assert row["available"] == (["h:1"] if "available" in found else []), "a worker gives it requests"


def test_the_rest_of_an_endpoint() -> None:
    mine = endpoint(health="healthy", failures_in_a_row=1, ejected={"seconds_left": 1.0, "reason": "errors"})
    other = endpoint(
        state="drain",
        health="unhealthy",
        check_failure="status 500",
        failures_in_a_row=4,
        ejected={"seconds_left": 2.0, "reason": "connect"},
    )
    row = merged_rows.endpoint([mine, other])
    assert (row["state"], row["health"], row["check_failure"]) == ("drain", "unhealthy", "status 500")
    assert (row["failures_in_a_row"], row["ejected"]) == (4, {"seconds_left": 2.0, "reason": "connect"})
    assert merged_rows.endpoint([endpoint(), mine])["health"] == "healthy", "the other has not checked yet"
    assert merged_rows.endpoint([endpoint(), endpoint()])["ejected"] is None


def test_requests_of_the_departed() -> None:
    (row,) = merged_rows.upstreams(
        [[upstream(found=figures(1))], [upstream_served({"h:1": 4, "h:9": 8}, calls=6), upstream_served({}, "gone")]]
    )
    assert [(one["address"], one["requests"], one["in_flight"]) for one in row["endpoints"]] == [("h:1", 9, 1)]
    assert row["calls"] == 7
    assert row["retries"] == {"in_flight": 1}


@pytest.mark.parametrize(("fixed", "limit"), [(True, 6), (False, 10)])
def test_limits_of_concurrency(fixed: bool, limit: int) -> None:
    parts = [[upstream(concurrency={"limit": one, "fixed": fixed, "in_flight": 1, "refused": 2})] for one in (4, 6)]
    (row,) = merged_rows.upstreams([*parts, [upstream_served({}, refused=5)]])
    assert row["concurrency"] == {"limit": limit, "in_flight": 2, "refused": 9}


def test_the_latest_change_of_a_breaker_holds() -> None:
    rows = merged_rows.breakers([[breaker(9, "closed", 1, 10.0, 1)], [breaker(2, "open", 2, 50.0, 3)], []])
    assert rows == [breaker(2, "open", 3, 40.0, 4)]


def test_a_breaker_without_calls() -> None:
    assert merged_rows.breaker([breaker(1), breaker(2)]) == breaker(1)


@pytest.mark.parametrize(
    ("mine", "other", "departed", "calls"),
    [(1, 2, None, 3), (1, 2, 4, 7), (None, None, 4, None), (None, 2, 4, 6), (0, 0, None, 0)],
)
def test_a_summary(mine: int | None, other: int | None, departed: int | None, calls: int | None) -> None:
    parts: list[Row] = [
        {"version": version, "active_requests": 2, "connections": 3, "calls": one, "errors": one}
        for version, one in ((4, mine), (5, other))
    ]
    if departed is not None:
        parts.append({"calls": departed, "errors": departed})
    shown = {"version": 5, "workers": 2, "active_requests": 4, "connections": 6, "calls": calls, "errors": calls}
    assert merged_rows.summary(parts) == shown


CALLS = st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 1000))


@settings(max_examples=25)
@given(st.lists(CALLS, min_size=1, max_size=5), st.integers(0, 5))
def test_no_count_goes_down_when_workers_end(workers: list[dict[str, int]], ended: int) -> None:
    rows = [[served(name, calls) for name, calls in one.items()] for one in workers]
    left: list[Row] = []
    for one in rows[:ended]:
        left = fold_routes(left, one)
    alive = [[route(row["name"], found=figures(row["calls"])) for row in one] for one in rows[ended:]]
    here = [route("a"), route("b")]
    shown = {row["name"]: row["calls"] for row in merged_rows.routes([here, *alive, left])}
    assert shown == {name: sum(one.get(name, 0) for one in workers) for name in ("a", "b")}


def test_folding_routes_keeps_averages_and_the_longest() -> None:
    slow = {**served("a", 1), "latency_avg_ms": 90.0, "latency_max_ms": 90.0}
    (row,) = fold_routes([slow], [served("a", 3)])
    assert (row["calls"], row["latency_avg_ms"], row["latency_max_ms"]) == (4, 30.0, 90.0)


def test_folding_upstreams_forgets_addresses_that_are_gone() -> None:
    old = [upstream_served({"h:1": 4, "h:2": 5}, calls=9, refused=1), upstream_served({"g:1": 1}, "gone", 1)]
    first, second = fold_upstreams(old, [upstream_served({"h:2": 1, "h:3": 2}, calls=3)])
    assert {one["address"]: one["requests"] for one in first["endpoints"]} == {"h:2": 6, "h:3": 2}
    assert (first["calls"], first["concurrency"], second["calls"]) == (12, {"refused": 1}, 1)


def test_folding_summaries() -> None:
    nothing, some = {"calls": None, "errors": None}, {"calls": 3, "errors": 1}
    assert fold_summary(some, some) == {"calls": 6, "errors": 2}
    assert fold_summary(some, nothing) == some
    assert fold_summary(nothing, nothing) == nothing


def test_rows_are_not_changed() -> None:
    parts = [[upstream(), upstream("more")], [upstream()]]
    before = copy.deepcopy(parts)
    merged_rows.upstreams(parts)
    assert parts == before
