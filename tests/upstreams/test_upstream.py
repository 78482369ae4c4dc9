"""Endpoints and upstreams."""

from __future__ import annotations

from gateway.upstreams.upstream import Endpoint, Upstream, UpstreamTimeouts
from gateway.wire.pool import Pool, PoolLimits


def endpoint(port: int, weight: int = 1) -> Endpoint:
    return Endpoint(Pool("10.0.0.1", port, PoolLimits()), weight)


def test_one_endpoint() -> None:
    only = endpoint(1)
    upstream = Upstream("u", [only], UpstreamTimeouts())
    assert upstream.pick() is only
    only.state = "drain"
    assert not only.available
    assert upstream.pick() is None


def test_several_endpoints() -> None:
    first, second = endpoint(1), endpoint(2, 2)
    upstream = Upstream("u", [first, second], UpstreamTimeouts())
    assert [upstream.pick() for _ in range(6)].count(second) == 4
    second.state = "drain"
    assert {upstream.pick() for _ in range(6)} == {first}
    first.state = "drain"
    assert upstream.pick() is None


def test_no_endpoint() -> None:
    assert Upstream("u", [], UpstreamTimeouts()).pick() is None


def test_weight_0_gets_nothing_even_alone() -> None:
    none, one = endpoint(1, 0), endpoint(2)
    assert {Upstream("u", [none, one], UpstreamTimeouts()).pick() for _ in range(4)} == {one}


def test_address_and_repr() -> None:
    assert endpoint(1).address == "10.0.0.1:1"
    assert repr(Upstream("u", [endpoint(1), endpoint(2)], UpstreamTimeouts())) == "<Upstream u: 10.0.0.1:1, 10.0.0.1:2>"
