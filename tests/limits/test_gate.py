"""From options to what keeps the limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.limits.board import BoardGate
from gateway.limits.gate import local_gate, make_verdicts, shared_gate
from gateway.limits.local import JointGate, LocalGate
from gateway.limits.options import PolicyOptions, RateLimitOptions
from gateway.limits.rate import Rate
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shared import SharedGate
from gateway.limits.spring_limiter import SpringLimiter
from gateway.plugin import Env, GatewayError
from gateway.state.board import Board
from gateway.testing import FakeClock, make_env, make_exchange
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


def test_workers_that_share_memory_count_there() -> None:
    board = Board.create(2)
    envs = [make_env(seat=board.take_seat(seat), instance=name) for seat, name in ((0, "a"), (1, "a"), (1, "b"))]
    options = RateLimitOptions(Rate(1, 60.0))
    gates = [local_gate(options, make_verdicts(options, env), env) for env in envs]
    assert [type(gate) for gate in gates] == [BoardGate] * 3
    gates[0].on_request(make_exchange())
    with pytest.raises(GatewayError):
        gates[1].on_request(make_exchange())
    gates[2].on_request(make_exchange())
    several = RateLimitOptions(policies=(PolicyOptions(RATE, name="a"), PolicyOptions(RATE, burst=1, name="b")))
    joint = [local_gate(several, make_verdicts(several, env), env) for env in envs]
    assert [type(gate) for gate in joint] == [JointGate] * 3
    joint[1].on_request(make_exchange())
    with pytest.raises(GatewayError, match="the limit b"):
        joint[0].on_request(make_exchange())


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
