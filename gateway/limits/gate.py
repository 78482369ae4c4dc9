"""From the options of a rate limit to what keeps it."""

from __future__ import annotations

from gateway.limits.board import BoardGate, BoardLimiter
from gateway.limits.decisions import Decisions
from gateway.limits.gcra import LocalLimiter, Policy
from gateway.limits.headers import LimitHeaders
from gateway.limits.keys import key_of
from gateway.limits.local import JointGate, LocalGate
from gateway.limits.options import RateLimitOptions, parts_of
from gateway.limits.redis_limiter import RedisLimiter
from gateway.limits.shared import Otherwise, SharedGate
from gateway.limits.spring_limiter import SpringLimiter
from gateway.limits.verdicts import Verdicts
from gateway.plugin import Env, Exchange, GatewayError, Kind, Scripting, SharedUnavailable

NAME = "gateway_rate_limit_total"
TEXT = "Requests at rate limits by decision; store_error comes beside what was done then."


def make_verdicts(options: RateLimitOptions, env: Env) -> Verdicts:
    """How requests are counted, refused, and told what is left."""
    policies = [limit.policy() for limit in options.limits()]
    headers = LimitHeaders(policies, options.styles(), options.algorithm == "spring")
    return Verdicts(policies, headers, Decisions(env.metrics, NAME, TEXT, options.mode == "enforce"))


def local_gate(options: RateLimitOptions, verdicts: Verdicts, env: Env) -> LocalGate | BoardGate | JointGate:
    """The limit in memory: this process's, or that which the gateway's workers share."""
    policies = [policy for policy, _ in _limits(options)]
    keys = [key_of(parts) for _, parts in _limits(options)]
    seat = env.seat
    if seat is None:
        if len(policies) == 1:
            return LocalGate(policies[0], keys[0], verdicts, env.clock)
        return JointGate([LocalLimiter(policy) for policy in policies], keys, verdicts, env.clock)
    limiters = [BoardLimiter(policy, seat, f"{env.instance} {policy.name} {options!r}") for policy in policies]
    if len(limiters) == 1:
        return BoardGate(limiters[0], keys[0], verdicts, env.clock)
    return JointGate(limiters, keys, verdicts, env.clock)


def shared_gate(options: RateLimitOptions, verdicts: Verdicts, env: Env) -> SharedGate:
    """The limit in Redis. ValueError where the shared state is not there."""
    store = env.shared
    if not isinstance(store, Scripting):
        raise ValueError("store: redis needs `state: {redis: ...}` at the top of the file")
    limits = _limits(options)
    limiter = SpringLimiter if options.algorithm == "spring" else RedisLimiter
    return SharedGate(
        [limiter(policy, parts) for policy, parts in limits],
        [key_of(parts) for _, parts in limits],
        verdicts,
        store,
        env.clock,
        _otherwise(options, verdicts, env),
    )


def _limits(options: RateLimitOptions) -> list[tuple[Policy, tuple[str, ...]]]:
    # Spring's buckets are those of a route.
    first = ("route",) if options.algorithm == "spring" else ()
    return [(limit.policy(), (*first, *parts_of(limit.by))) for limit in options.limits()]


def _otherwise(options: RateLimitOptions, verdicts: Verdicts, env: Env) -> Otherwise:
    decisions = verdicts.decisions
    local = local_gate(options, verdicts, env)

    def keep_locally(exchange: Exchange, error: SharedUnavailable) -> None:
        local.on_request(exchange)

    def let_pass(exchange: Exchange, error: SharedUnavailable) -> None:
        decisions.allowed[exchange.route_id].inc()

    def refuse(exchange: Exchange, error: SharedUnavailable) -> None:
        decisions.over(exchange, GatewayError(Kind.LIMITER_UNAVAILABLE, cause=str(error)))

    return {"local": keep_locally, "open": let_pass, "closed": refuse}[options.on_store_error]
