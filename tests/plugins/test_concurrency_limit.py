"""So many at once, each place given back once, and nothing kept of who has none."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from gateway.plugins.concurrency_limit import ConcurrencyLimit
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange, Reply
from gateway.plugin import GatewayError, Kind, Plugin
from gateway.state.board import Board
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env, make_exchange, make_plugin, run


def begin(plugin: ConcurrencyLimit, **request: Any) -> Exchange | None:
    """The exchange under way, None where it was refused."""
    exchange = make_exchange(**request)
    try:
        plugin.on_request(exchange)
    except GatewayError:
        plugin.on_finish(exchange)
        return None
    return exchange


def finish(plugin: ConcurrencyLimit, *exchanges: Exchange | None) -> None:
    for exchange in exchanges:
        assert exchange is not None
        plugin.on_finish(exchange)


def test_no_more_than_the_limit_at_once() -> None:
    plugin = make_plugin(ConcurrencyLimit, limit=2)
    first, second = begin(plugin), begin(plugin)
    assert begin(plugin) is None
    assert begin(plugin, client_ip="192.0.2.2") is not None
    finish(plugin, first)
    third = begin(plugin)
    assert begin(plugin) is None
    finish(plugin, second, third)


def test_a_place_is_given_back_once() -> None:
    plugin = make_plugin(ConcurrencyLimit, limit=2)
    first, second = begin(plugin), begin(plugin)
    finish(plugin, first, first, first)
    third = begin(plugin)
    assert third is not None
    assert begin(plugin) is None
    finish(plugin, second, third)


def test_one_refused_gives_nothing_back() -> None:
    plugin = make_plugin(ConcurrencyLimit, limit=1)
    first = begin(plugin)
    assert [begin(plugin) for _ in range(3)] == [None] * 3
    finish(plugin, first)
    assert begin(plugin) is not None
    assert begin(plugin) is None


class Forbids(Plugin):
    """Stands behind, and lets nobody pass."""

    def on_request(self, exchange: Exchange) -> Reply | None:
        raise GatewayError(Kind.FORBIDDEN)


def test_a_place_is_given_back_whatever_happens() -> None:
    plugin, behind = make_plugin(ConcurrencyLimit, limit=1), make_plugin(Forbids)
    for _ in range(3):
        assert run(plugin, make_exchange()).status == 200
        assert run(plugin, make_exchange(), upstream=GatewayError(Kind.UPSTREAM_RESET)).status == 502
        assert run([plugin, behind], make_exchange()).status == 403
    assert not plugin._places
    assert not plugin._keys


def test_the_refusal() -> None:
    plugin = make_plugin(ConcurrencyLimit, limit=3, by="header:X-Api-Key")
    for _ in range(3):
        assert begin(plugin, headers={"X-Api-Key": "s3cret"})
    head = run(plugin, make_exchange(headers={"X-Api-Key": "s3cret"}))
    assert (head.status, head.headers.get("Retry-After")) == (429, "1")
    assert b"no more than 3 requests at once" in (head.body or b"")
    assert b"s3cret" not in (head.body or b"")


def test_another_status() -> None:
    plugin = make_plugin(ConcurrencyLimit, limit=1, status=503)
    assert begin(plugin)
    head = run(plugin, make_exchange())
    assert (head.status, head.headers.get("Retry-After")) == (503, "1")


def test_observed_it_refuses_nobody() -> None:
    metrics = Metrics()
    plugin = make_plugin(ConcurrencyLimit, make_env(metrics=metrics), limit=1, mode="observe")
    several = [begin(plugin) for _ in range(3)]
    finish(plugin, *several)
    assert not plugin._places
    (family,) = metrics
    assert {labels: child.value for labels, child in family.children.items()} == {  # type: ignore[union-attr]
        ("test", "allowed"): 1,
        ("test", "observed"): 2,
    }


def test_by_route_each_route_has_its_own() -> None:
    plugin = make_plugin(ConcurrencyLimit, limit=1, by=["route", "client_ip"])
    assert begin(plugin, route="a")
    assert begin(plugin, route="b")
    assert begin(plugin, route="a") is None


@given(st.integers(1, 3), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 5))))
def test_never_more_than_the_limit_and_nothing_left_over(limit: int, steps: list[tuple[str, int]]) -> None:
    plugin = make_plugin(ConcurrencyLimit, limit=limit, by="principal")
    under_way: dict[str, list[Exchange]] = {}
    for name, which in steps:
        mine = under_way.setdefault(name, [])
        if which < len(mine):
            finish(plugin, mine.pop(which))
        else:
            exchange = begin(plugin, principal=name)
            assert (exchange is None) == (len(mine) == limit)
            if exchange is not None:
                mine.append(exchange)
    finish(plugin, *itertools.chain(*under_way.values()))
    assert not plugin._places
    assert not plugin._keys


def test_all_workers_count_together() -> None:
    board = Board.create(2)
    one, other = (
        make_plugin(ConcurrencyLimit, make_env(seat=board.take_seat(seat)), limit=2, by="route") for seat in range(2)
    )
    first = begin(one)
    assert begin(other) is not None
    assert begin(one) is None
    assert begin(other) is None
    finish(one, first)
    assert begin(other) is not None
    board.clear_seat(1)
    assert [begin(one) is not None for _ in range(3)] == [True, True, False]


def test_options_are_checked() -> None:
    with pytest.raises(ValueError, match="at least 1 request has to pass"):
        make_plugin(ConcurrencyLimit, limit=0)
