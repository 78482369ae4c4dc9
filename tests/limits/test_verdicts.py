"""What becomes of a request: counted, told and refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.limits.decisions import Decisions
from gateway.limits.gcra import Policy
from gateway.limits.headers import Left, LimitHeaders
from gateway.limits.options import Style
from gateway.limits.rate import Rate
from gateway.limits.verdicts import Verdicts
from gateway.plugin import GatewayError, Kind
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_exchange, make_head

POLICIES = [Policy("second", Rate(10, 1.0), 10), Policy("hour", Rate(1000, 3600.0), 1000)]


def make(*styles: Style, enforces: bool = True) -> Verdicts:
    decisions = Decisions(Metrics(), "x_total", "Text.", enforces)
    return Verdicts(POLICIES, LimitHeaders(POLICIES, styles), decisions)


def refused(verdicts: Verdicts, lefts: Sequence[Left]) -> GatewayError:
    exchange = make_exchange()
    with pytest.raises(GatewayError) as caught:
        verdicts.over(exchange, lefts)
    head = make_head(429)
    verdicts.replace(exchange, head)
    head.add_all(exchange.told)
    assert head.headers.get("RateLimit") == ", ".join(
        f'"{POLICIES[place].name}";r={remaining};t={max(1, round(wait + 0.5))}' for place, remaining, wait in lefts
    )
    return caught.value


def test_a_refusal_waits_for_the_slowest_and_names_it() -> None:
    error = refused(make("draft"), [Left(0, 0, 0.05), Left(1, 0, 3.6)])
    assert (error.kind, error.retry_after) == (Kind.RATE_LIMITED, 3.6)
    assert error.detail == "the limit hour of 1000/h is used up"


def test_a_refusal_tells_of_no_policy_that_would_let_pass() -> None:
    error = refused(make("draft"), [Left(0, 0, 0.05)])
    assert error.detail == "the limit second of 10/s is used up"


def test_fields_of_a_service_stay_or_are_replaced() -> None:
    verdicts, exchange = make("draft", "legacy"), make_exchange()
    verdicts.passes(exchange, [Left(0, 5, 0.0), Left(1, 7, 0.0)])
    head = make_head(200, {"RateLimit": '"theirs";r=1', "X-RateLimit-Remaining": "1"})
    verdicts.replace(exchange, head)
    head.add_all(exchange.told)
    assert head.headers.get_all("RateLimit") == ['"theirs";r=1', '"second";r=5;t=1, "hour";r=7;t=3575']
    assert head.headers.get_all("X-RateLimit-Remaining") == ["5"]


def test_nothing_is_told_of_what_is_only_observed() -> None:
    verdicts, exchange = make("draft", enforces=False), make_exchange()
    verdicts.passes(exchange, [Left(0, 5, 0.0)])
    verdicts.over(exchange, [Left(0, 0, 1.0)])
    head = make_head()
    verdicts.replace(exchange, head)
    head.add_all(exchange.told)
    assert not verdicts.tells
    assert dict(head.items()) == {}


def test_two_limits_on_a_route_are_both_told() -> None:
    first, second, exchange = make("draft"), make("draft"), make_exchange()
    first.passes(exchange, [Left(0, 5, 0.0)])
    second.passes(exchange, [Left(0, 6, 0.0)])
    head = make_head()
    first.replace(exchange, head)
    head.add_all(exchange.told)
    assert head.headers.get_all("RateLimit") == ['"second";r=5;t=1', '"second";r=6;t=1']


def test_an_answer_before_the_limit_was_asked_tells_nothing() -> None:
    head = make_head()
    make("draft").replace(make_exchange(), head)
    assert dict(head.items()) == {}
