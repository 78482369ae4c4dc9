"""One address and whether it may be given requests."""

from __future__ import annotations

import pytest

from gateway.upstreams.endpoint import Changes, Endpoint, State
from gateway.wire.pool import Pool, PoolLimits


def make(host: str = "10.0.0.1", **options: int) -> Endpoint:
    return Endpoint(Pool(host, 80, PoolLimits()), **options)


def test_a_new_one_is_healthy_and_idle() -> None:
    endpoint = make()
    assert (endpoint.address, endpoint.weight, endpoint.full_weight, endpoint.priority) == ("10.0.0.1:80", 1, 1, 0)
    assert (endpoint.state, endpoint.healthy, endpoint.checked) == ("enabled", True, False)
    assert (endpoint.in_flight, endpoint.requests, endpoint.errors) == (0, 0, 0)
    assert endpoint.available(0.0)
    assert make("::1").address == "[::1]:80"


def test_each_counts_its_changes_unless_they_share_them() -> None:
    changes = Changes()
    first, second = (Endpoint(Pool(host, 80, PoolLimits()), changes=changes) for host in "ab")
    alone = make()
    first.configure(2, 1)
    second.put("drain", 1.0)
    assert (changes.count, alone.changes.count) == (2, 0)


def test_a_new_configuration() -> None:
    endpoint = make(weight=2, priority=1)
    endpoint.weight = 50
    endpoint.configure(7, 3)
    assert (endpoint.weight, endpoint.full_weight, endpoint.priority) == (7, 7, 3)


def test_draining_and_coming_back() -> None:
    endpoint = make()
    endpoint.put("enabled", 5.0)
    assert (endpoint.changes.count, endpoint.available_since) == (0, 0.0), "it was enabled all the time"
    endpoint.put("drain", 6.0)
    assert not endpoint.available(6.0)
    endpoint.put("enabled", 9.0)
    assert endpoint.available(9.0)
    assert (endpoint.changes.count, endpoint.available_since) == (2, 9.0)


@pytest.mark.parametrize(
    ("state", "healthy", "ejected_until", "availability"),
    [
        ("enabled", True, 0.0, "available"),
        ("enabled", True, 10.0, "available"),
        ("enabled", True, 10.001, "ejected"),
        ("enabled", False, 0.0, "unhealthy"),
        ("enabled", False, 11.0, "unhealthy"),
        ("drain", True, 0.0, "drained"),
        ("drain", False, 11.0, "drained"),
    ],
)
def test_availability_at_10_seconds(state: State, healthy: bool, ejected_until: float, availability: str) -> None:
    endpoint = make()
    endpoint.state, endpoint.healthy, endpoint.ejected_until = state, healthy, ejected_until
    assert endpoint.availability(10.0) == availability
    assert endpoint.available(10.0) is (availability == "available")


def test_repr() -> None:
    endpoint = make()
    endpoint.in_flight = 2
    assert repr(endpoint) == "<Endpoint 10.0.0.1:80 enabled in_flight=2>"
    endpoint.healthy = False
    endpoint.put("drain", 1.0)
    assert repr(endpoint) == "<Endpoint 10.0.0.1:80 drain unhealthy in_flight=2>"
