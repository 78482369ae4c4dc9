"""Which of an upstream's endpoints may be chosen now, and who learns of its attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest

from gateway.routing.request_key import request_key
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.upstream_meters import UpstreamMeters
from gateway.testing import make_exchange
from gateway.upstreams.balance.ewma import Ewma
from gateway.upstreams.balance.hash_ring import HashRing
from gateway.upstreams.balance.round_robin import RoundRobin
from gateway.upstreams.concurrency import Aimd, Fixed, Limiter
from gateway.upstreams.endpoint import Changes, Endpoint
from gateway.upstreams.outliers import OutlierPolicy
from gateway.upstreams.retry import HedgePolicy, RetryPolicy
from gateway.upstreams.upstream import REPLAY_LIMIT, Upstream, UpstreamTimeouts, Verdict
from gateway.wire.pool import Pool, PoolLimits

NOW = 1000.0


def make_endpoints(*settings: tuple[int, int]) -> list[Endpoint]:
    """One for each (weight, priority), all of one upstream."""
    changes = Changes()
    return [
        Endpoint(Pool("10.0.0.1", port, PoolLimits()), weight, priority, changes)
        for port, (weight, priority) in enumerate(settings, 1)
    ]


def alike(count: int) -> list[Endpoint]:
    return make_endpoints(*[(1, 0)] * count)


def ports(endpoints: Sequence[Endpoint | None]) -> list[int]:
    return [endpoint.pool.port for endpoint in endpoints if endpoint is not None]


def eject(endpoint: Endpoint, until: float) -> None:
    endpoint.ejected_until = until
    endpoint.changes.count += 1


def set_healthy(endpoint: Endpoint, healthy: bool) -> None:
    endpoint.healthy = healthy
    endpoint.changes.count += 1


def test_one_endpoint() -> None:
    (only,) = alike(1)
    upstream = Upstream("u", [only], UpstreamTimeouts())
    assert upstream.pick(None, NOW) is only
    assert upstream.pick(make_exchange(), NOW, (only,)) is only, "another try there is better than none"
    only.put("drain", NOW)
    assert upstream.pick(None, NOW) is None
    only.put("enabled", NOW)
    set_healthy(only, False)
    assert upstream.pick(None, NOW) is None
    assert upstream.choices(NOW) == ()


def test_one_endpoint_that_fails_its_checks_is_asked_all_the_same_in_panic() -> None:
    (only,) = alike(1)
    upstream = Upstream("u", [only], UpstreamTimeouts(), panic=0.5)
    set_healthy(only, False)
    assert upstream.pick(None, NOW) is only


def test_several_endpoints() -> None:
    first, second = make_endpoints((1, 0), (2, 0))
    upstream = Upstream("u", [first, second], UpstreamTimeouts())
    assert Counter(upstream.pick(None, NOW) for _ in range(6)) == {first: 2, second: 4}
    second.put("drain", NOW)
    assert {upstream.pick(None, NOW) for _ in range(6)} == {first}
    first.put("drain", NOW)
    assert upstream.pick(None, NOW) is None
    second.put("enabled", NOW)
    assert upstream.pick(None, NOW) is second


def test_no_endpoint() -> None:
    upstream = Upstream("u", [], UpstreamTimeouts())
    assert upstream.pick(None, NOW) is None
    assert upstream.choices(NOW) == ()


def test_the_balancer_sees_the_request() -> None:
    upstream = Upstream("u", alike(5), UpstreamTimeouts(), balance=HashRing(request_key("header", "x-user")))
    users = [make_exchange(headers={"X-User": f"user {number}"}) for number in range(40)]
    picked = [upstream.pick(user, NOW) for user in users]
    assert [upstream.pick(user, NOW) for user in users] == picked
    assert len(set(picked)) == 5


def test_an_endpoint_that_was_tried_is_avoided_while_there_is_another() -> None:
    first, second, third = endpoints = alike(3)
    upstream = Upstream("u", endpoints, UpstreamTimeouts())
    assert {upstream.pick(None, NOW, (first,)) for _ in range(6)} == {second, third}
    assert {upstream.pick(None, NOW, (first, third)) for _ in range(6)} == {second}
    assert upstream.pick(None, NOW, (first, second, third)) in endpoints
    second.put("drain", NOW)
    assert {upstream.pick(None, NOW, (first, third)) for _ in range(6)} == {first, third}


def test_the_choices_are_the_same_object_until_they_change() -> None:
    first, second = alike(2)
    upstream = Upstream("u", [first, second], UpstreamTimeouts())
    choices = upstream.choices(NOW)
    assert choices == (first, second)
    for later in (0.0, 1.0, 1e6):
        assert upstream.choices(NOW + later) is choices
    first.put("drain", NOW)
    fewer = upstream.choices(NOW)
    assert fewer == (second,)
    assert upstream.choices(NOW) is fewer


def test_a_higher_priority_number_only_while_no_lower_one_is_available() -> None:
    endpoints = make_endpoints((1, 0), (1, 0), (1, 1), (1, 5))
    upstream = Upstream("u", endpoints, UpstreamTimeouts())
    steps = []
    for endpoint in endpoints:
        steps.append(ports(upstream.choices(NOW)))
        endpoint.put("drain", NOW)
    assert steps == [[1, 2], [2], [3], [4]]
    assert upstream.choices(NOW) == ()
    endpoints[2].put("enabled", NOW)
    assert ports(upstream.choices(NOW)) == [3]
    endpoints[0].put("enabled", NOW)
    assert ports(upstream.choices(NOW)) == [1]


def test_a_priority_may_change() -> None:
    first, second = make_endpoints((1, 0), (1, 1))
    upstream = Upstream("u", [first, second], UpstreamTimeouts())
    assert upstream.choices(NOW) == (first,)
    second.configure(1, 0)
    assert upstream.choices(NOW) == (first, second)


@pytest.mark.parametrize(
    ("panic", "sick", "chosen"),
    [
        (0.0, 4, []),
        (0.5, 1, [2, 3, 4]),
        (0.5, 2, [3, 4]),
        (0.5, 3, [1, 2, 3, 4]),
        (0.5, 4, [1, 2, 3, 4]),
        (1.0, 1, [1, 2, 3, 4]),
    ],
)
def test_panic_of_four(panic: float, sick: int, chosen: list[int]) -> None:
    endpoints = alike(4)
    for endpoint in endpoints[:sick]:
        set_healthy(endpoint, False)
    assert ports(Upstream("u", endpoints, UpstreamTimeouts(), panic=panic).choices(NOW)) == chosen


def test_panic_asks_none_that_is_drained() -> None:
    endpoints = alike(4)
    upstream = Upstream("u", endpoints, UpstreamTimeouts(), panic=0.5)
    endpoints[0].put("drain", NOW)
    eject(endpoints[1], NOW + 5)
    assert ports(upstream.choices(NOW)) == [3, 4], "two of three are no reason for it"
    set_healthy(endpoints[2], False)
    assert ports(upstream.choices(NOW)) == [2, 3, 4]
    assert ports(upstream.choices(NOW + 5)) == [2, 4], "one is back, and it is over"


def test_an_ejected_endpoint_comes_back_by_itself() -> None:
    first, second, third = endpoints = alike(3)
    upstream = Upstream("u", endpoints, UpstreamTimeouts())
    assert len(upstream.choices(NOW)) == 3
    eject(first, NOW + 5)
    eject(third, NOW + 8)
    less = upstream.choices(NOW)
    assert less == (second,)
    assert upstream.choices(NOW + 4.99) is less
    assert upstream.choices(NOW + 5) == (first, second)
    assert upstream.choices(NOW + 7.99) == (first, second)
    assert upstream.choices(NOW + 8) == (first, second, third)


def test_slow_start() -> None:
    first, second = endpoints = alike(2)
    upstream = Upstream("u", endpoints, UpstreamTimeouts(), slow_start=10.0)
    both = upstream.choices(NOW)
    assert first.weight == second.weight
    full = first.weight
    assert upstream.choices(NOW + 100) is both, "nobody warms up"

    second.put("drain", NOW + 100)
    assert upstream.choices(NOW + 100) == (first,)
    second.put("enabled", NOW + 200)
    parts = []
    for tenths in range(120):
        choices = upstream.choices(NOW + 200 + tenths / 10)
        assert choices == (first, second)
        parts.append(second.weight / full)
    assert parts[0] == 0.1
    assert parts == sorted(parts)
    assert parts[50] == pytest.approx(0.5, abs=0.05)
    assert parts[-1] == 1.0
    assert first.weight == full
    assert second.full_weight == 1, "what is configured stays"

    warm = upstream.choices(NOW + 212)
    assert upstream.choices(NOW + 10_000) is warm
    assert both is not warm


def test_balancers_notice_that_an_endpoint_warms_up() -> None:
    first, second = alike(2)
    upstream = Upstream("u", [first, second], UpstreamTimeouts(), slow_start=10.0, balance=RoundRobin())
    second.put("drain", NOW)
    second.put("enabled", NOW)

    def part(now: float) -> float:
        return Counter(upstream.pick(None, now) for _ in range(1100))[second] / 1100

    assert part(NOW) == pytest.approx(1 / 11, abs=0.005)
    assert part(NOW + 5) == pytest.approx(1 / 3, abs=0.005)
    assert part(NOW + 10) == pytest.approx(1 / 2, abs=0.005)


def test_without_slow_start_weights_are_as_configured() -> None:
    first, second = make_endpoints((3, 0), (1, 0))
    first.put("drain", NOW)
    first.put("enabled", NOW)
    assert Upstream("u", [first, second], UpstreamTimeouts()).choices(NOW) == (first, second)
    assert (first.weight, second.weight) == (3, 1)


def test_errors_in_a_row_eject_and_are_counted() -> None:
    metrics = Metrics()
    first, second = endpoints = alike(2)
    policy = OutlierPolicy(errors=2, connect_errors=2, ejection=5.0)
    upstream = Upstream("u", endpoints, UpstreamTimeouts(), outliers=policy, meters=UpstreamMeters(metrics, "u"))
    upstream.failed(first, NOW, "reset")
    assert upstream.choices(NOW) == (first, second)
    upstream.failed(first, NOW, "full")
    assert upstream.choices(NOW) == (first, second), "want of room is no sickness"
    upstream.failed(first, NOW, "reset")
    assert first.errors == 3
    assert upstream.choices(NOW) == (second,)
    counted = metrics.counter("gateway_outlier_ejections_total", "", ("upstream", "reason"))
    assert counted.labels("u", "errors").value == 1
    assert upstream.choices(NOW + 5) == (first, second)
    upstream.review(NOW + 5)
    assert (first.ejected_until, first.available_since) == (0.0, NOW + 5)


def test_attempts_in_flight() -> None:
    first, second = endpoints = alike(2)
    upstream = Upstream("u", endpoints, UpstreamTimeouts())
    assert upstream.in_flight == 0
    first.in_flight, second.in_flight = 2, 3
    assert upstream.in_flight == 5


def test_what_a_retry_policy_brings() -> None:
    plain = Upstream("u", [], UpstreamTimeouts(response=3.0))
    assert (plain.try_timeout, plain.replay_limit, plain.retries) == (3.0, REPLAY_LIMIT, None)
    policy = RetryPolicy(per_try=2.0, budget=0.5, min_retries=7, replay=5)
    upstream = Upstream("u", [], UpstreamTimeouts(response=3.0), retries=policy, hedge=HedgePolicy(0.1, 0.3))
    assert (upstream.try_timeout, upstream.replay_limit) == (2.0, 5)
    assert (upstream.budget.share, upstream.budget.smallest, upstream.hedges.share) == (0.5, 7, 0.3)
    slower = Upstream("u", [], UpstreamTimeouts(response=1.0), retries=policy)
    assert slower.try_timeout == 1.0, "a try takes no longer than any answer may"


def test_nobody_observes_round_robin() -> None:
    assert Upstream("u", alike(2), UpstreamTimeouts()).observers == ()


def test_latencies_are_observed() -> None:
    fast, slow = endpoints = alike(2)
    upstream = Upstream("u", endpoints, UpstreamTimeouts(), balance=Ewma())
    upstream.choices(NOW)
    upstream.pick(None, NOW)
    (observe,) = upstream.observers
    observe(fast, 0.01, NOW, "good")
    observe(slow, 0.5, NOW, "good")
    assert {upstream.pick(None, NOW) for _ in range(20)} == {fast}
    observe(fast, 0.02, NOW, "nothing")
    assert {upstream.pick(None, NOW) for _ in range(20)} == {fast}, "nothing was learnt"
    observe(fast, 0.001, NOW, "bad")
    assert {upstream.pick(None, NOW) for _ in range(20)} == {slow}, "a failure is no quick answer"


@pytest.mark.parametrize(("verdict", "limit"), [("good", 100), ("bad", 100), ("overloaded", 90), ("nothing", 100)])
def test_only_overload_lowers_a_limit(verdict: Verdict, limit: int) -> None:
    limiter = Limiter(Aimd(100, 1, 200, latency=1.0))
    upstream = Upstream("u", alike(2), UpstreamTimeouts(), limiter=limiter)
    assert limiter.take("normal")
    for observe in upstream.observers:
        observe(upstream.endpoints[0], 0.1, NOW, verdict)
    assert int(limiter.limit.value) == limit


def test_a_weight_that_changes_is_seen() -> None:
    first, second = alike(2)
    upstream = Upstream("u", [first, second], UpstreamTimeouts())
    assert upstream.pick(None, NOW) is first
    second.configure(9, 0)
    assert [upstream.pick(None, NOW) for _ in range(100)].count(second) == 90


def test_an_ejection_that_ends_by_time_starts_slowly() -> None:
    first, second = alike(2)
    upstream = Upstream("u", [first, second], UpstreamTimeouts(), slow_start=10.0)
    first.ejected_until = NOW + 5
    first.changes.count += 1
    upstream.choices(NOW)
    upstream.choices(NOW + 6)
    assert first.weight < second.weight


@pytest.mark.parametrize("verdict", ["good", "bad", "overloaded", "nothing"])
def test_the_limiter_gets_its_place_back(verdict: Verdict) -> None:
    limiter = Limiter(Fixed(1))
    endpoints = alike(2)
    upstream = Upstream("u", endpoints, UpstreamTimeouts(), limiter=limiter, balance=Ewma())
    assert limiter.take("normal")
    assert not limiter.take("normal")
    for observe in upstream.observers:
        observe(endpoints[0], 0.1, NOW, verdict)
    assert limiter.in_flight == 0
    assert limiter.take("normal")


def test_repr() -> None:
    assert repr(Upstream("u", alike(2), UpstreamTimeouts())) == "<Upstream u: 10.0.0.1:1, 10.0.0.1:2>"
