"""From options to what keeps the limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.limits.gate import local_gate, make_verdicts, shared_gate
from gateway.limits.local import JointGate, LocalGate
from gateway.limits.options import PolicyOptions, RateLimitOptions
from gateway.limits.rate import Rate
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shared import SharedGate
from gateway.limits.spring_limiter import SpringLimiter
from gateway.plugin import Env
from gateway.testing import FakeClock, make_env
from tests.support.scripting import FakeScripting

RATE = Rate(10, 1.0)


def scripting() -> Env:
    clock = FakeClock()
    return replace(make_env(clock=clock), shared=FakeScripting(clock))


def test_one_policy_goes_the_straight_path() -> None:
    env = make_env()
    for options in (RateLimitOptions(RATE), RateLimitOptions(policies=(PolicyOptions(RATE, by="route"),))):
        assert isinstance(local_gate(options, make_verdicts(options, env), env), LocalGate)
    several = RateLimitOptions(policies=(PolicyOptions(RATE, name="a"), PolicyOptions(RATE, name="b")))
    assert isinstance(local_gate(several, make_verdicts(several, env), env), JointGate)


def test_redis_needs_redis() -> None:
    options, env = RateLimitOptions(RATE, store="redis"), make_env()
    with pytest.raises(ValueError, match="store: redis needs `state: {redis: ...}` at the top of the file"):
        shared_gate(options, make_verdicts(options, env), env)


def limiters(gate: SharedGate) -> list[object]:
    return [limit.limiter for limit in gate._limits]


def test_each_algorithm_has_its_limiter() -> None:
    env = scripting()
    options = RateLimitOptions(RATE, by="principal", store="redis")
    (limiter,) = limiters(shared_gate(options, make_verdicts(options, env), env))
    assert isinstance(limiter, RedisLimiter)
    assert limiter.call("ada", 1)[0].endswith(":ada}")
    spring = RateLimitOptions(RATE, by="principal", store="redis", algorithm="spring")
    (limiter,) = limiters(shared_gate(spring, make_verdicts(spring, env), env))
    assert isinstance(limiter, SpringLimiter)
    assert limiter.call(("items", "ada"), 1)[0] == "request_rate_limiter.{items.ada}.tokens"
