"""GCRA in Redis: one key, one script, one round trip, and Redis's own clock."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any, Final

from gateway.limits.gcra import Policy
from gateway.limits.keys import key_text
from gateway.limits.lease import AHEAD, PAUSE

# KEYS: the TAT in microseconds. ARGV: emission and space of the policy in microseconds, cost, and how many requests
# are to pass; fewer do when there is room for fewer, and less than 0 gives back. Returns how many passed, how many
# units are left, and in how many microseconds the next one passes.
# A TAT further ahead than it may be is what a clock that was set back leaves behind, or another configuration.
GCRA: Final = """
local emission, space, cost, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local tat = math.min(math.max(tonumber(redis.call('GET', KEYS[1]) or now), now), now + space)
local step = emission * cost
local passing = math.min(math.max(math.floor((space - (tat - now)) / step), 0), wanted)
if passing ~= 0 then
  tat = tat + passing * step
  redis.call('SET', KEYS[1], string.format('%.17g', tat), 'PX', math.max(math.ceil((tat - now) / 1000), 1))
end
local room = math.max(space - (tat - now), 0)
return {passing, math.floor(room / emission), math.ceil(math.max(step - room, 0))}
"""


class RedisLimiter:
    """One policy whose buckets lie in Redis. Immutable.

    Its keys begin with `rl:{NAME.HASH:`, where the hash is that of rate, burst and `by`: gateways and routes that have
    these and the name in common count together, whatever a request costs them.
    """

    script = GCRA

    def __init__(self, policy: Policy, parts: Sequence[str]) -> None:
        self.policy = policy
        self.ahead = min(policy.burst // policy.cost, int(AHEAD / policy.step))
        # A flood at a high rate would ask for each request that comes free. What comes free meanwhile is not lost, as
        # long as the bucket has room for it.
        self.pause = min(PAUSE, policy.space / 4)
        self._parts = tuple(parts)
        told = f"{policy.rate.amount} {policy.rate.seconds!r} {policy.burst} {' '.join(parts)}"
        self._space = f"{policy.name}.{blake2b(told.encode(), digest_size=6).hexdigest()}"
        self._arguments = (repr(policy.emission * 1e6), repr(policy.space * 1e6), policy.cost)

    def call(self, key: Any, requests: int) -> tuple[str, Sequence[str | int]]:
        """The script's key and arguments, for so many requests of one key."""
        return f"rl:{{{self._space}:{key_text(self._parts, key)}}}", (*self._arguments, requests)
