"""The token bucket of Spring Cloud Gateway's RequestRateLimiter, in its keys: both count together.

A bucket is two keys, `request_rate_limiter.{ROUTE.KEY}.tokens` and `.timestamp`; its clock has whole seconds. Unlike
Spring's, which forgets a bucket at once that is full again within half a second, and so refuses nothing, this one keeps
it for a second. The script gets one key and makes the other one of it: both have one hash tag, so a cluster has them
in one place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from gateway.limits.gcra import Policy
from gateway.limits.keys import key_text

# KEYS: the tokens. ARGV: tokens a second, capacity, the time in seconds or "" for Redis's own, the tokens that a
# request takes, and how many requests are to pass. Returns what the script of GCRA does.
SPRING: Final = """
local rate, capacity, cost, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[4]), tonumber(ARGV[5])
local time = redis.call('TIME')
local now, beyond = tonumber(ARGV[3]), 0
if not now then
  now, beyond = tonumber(time[1]), tonumber(time[2])
end
local refreshed_key = string.gsub(KEYS[1], 'tokens$', 'timestamp')
local tokens = tonumber(redis.call('GET', KEYS[1]) or capacity)
local refreshed = tonumber(redis.call('GET', refreshed_key) or 0)
tokens = math.min(capacity, tokens + math.max(now - refreshed, 0) * rate)
local passing = math.min(math.max(math.floor(tokens / cost), 0), wanted)
tokens = tokens - passing * cost
local ttl = math.max(math.floor(capacity / rate * 2), 1)
redis.call('SETEX', KEYS[1], ttl, tokens)
redis.call('SETEX', refreshed_key, ttl, now)
local seconds = math.ceil(math.max(cost - tokens, 0) / rate)
return {passing, tokens, math.max(seconds * 1000000 - beyond, 0)}
"""


class SpringLimiter:
    """One policy whose buckets lie in Redis as Spring's do. Immutable. The first part of its keys is the route."""

    script = SPRING
    ahead = 0
    pause = 0.0

    def __init__(self, policy: Policy, parts: Sequence[str]) -> None:
        """`parts` begin with `route`."""
        self.policy = policy
        self._parts = tuple(parts)
        self._arguments = (policy.per_second, policy.burst, "", policy.cost)

    def call(self, key: Any, requests: int) -> tuple[str, Sequence[str | int]]:
        """The script's key and arguments, for so many requests of one key."""
        route, *rest = key_text(self._parts, key).split("|")
        return f"request_rate_limiter.{{{route}.{'|'.join(rest)}}}.tokens", (*self._arguments, requests)
