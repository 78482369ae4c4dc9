"""What a request that is over adds to its combination's figures."""

from __future__ import annotations

import pytest

from gateway.exchange import Attempt
from gateway.telemetry.metrics import Counter, Histogram
from gateway.telemetry.route_meter import RouteMeter, meter_key
from gateway.telemetry.traffic import Traffic
from gateway.testing import make_exchange


def counted(bad: bool, **facts: object) -> tuple[Counter, Traffic, Histogram, Histogram]:
    counter, traffic, durations, overheads = Counter(), Traffic(), Histogram(), Histogram()
    exchange = make_exchange()
    for name, value in facts.items():
        setattr(exchange, name, value)
    RouteMeter(counter, traffic, durations, overheads, bad).count(exchange)
    return counter, traffic, durations, overheads


def test_a_request_counts_everywhere_once() -> None:
    counter, traffic, durations, overheads = counted(
        False, started=10.0, ended=10.5, upstream_seconds=0.375, outcome="answered"
    )

    assert (counter.value, traffic.calls, durations.count, overheads.count) == (1, 1, 1, 1)
    assert (traffic.seconds, traffic.waited) == (0.5, 0.375)
    assert (durations.sum, overheads.sum) == (0.5, 0.125)


def test_time_upstream_of_two_attempts_at_once_is_no_negative_overhead() -> None:
    *_, overheads = counted(False, started=10.0, ended=10.5, upstream_seconds=0.75)

    assert overheads.sum == 0.0


@pytest.mark.parametrize(
    ("bad", "outcome", "errors"),
    [(False, "answered", 0), (True, "answered", 1), (False, "upstream_reset", 1), (False, "client_gone", 0)],
)
def test_what_counts_as_an_error(bad: bool, outcome: str, errors: int) -> None:
    _, traffic, *_ = counted(bad, outcome=outcome)

    assert traffic.errors == errors


def test_the_key_has_an_upstream_only_where_one_was_asked() -> None:
    exchange = make_exchange(method="PUT")
    exchange.route_id, exchange.status, exchange.upstream = "web/shop", 201, "catalog"
    assert meter_key(exchange) == ("web/shop", "PUT", 201, "")

    exchange.attempt = Attempt(1, "127.0.0.1:1", 0.0)
    assert meter_key(exchange) == ("web/shop", "PUT", 201, "catalog")
