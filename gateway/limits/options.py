"""What limits may be told in the configuration, and the policies that come of it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from gateway.limits.gcra import Policy
from gateway.limits.rate import Rate

By = str | tuple[str, ...]
Mode = Literal["enforce", "observe"]
Style = Literal["draft", "legacy"]

_BY = re.compile(r"client_ip|principal|consumer|route|header:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|claim:[!-~]+")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_SEVERAL = "`policies` has them all; put rate, burst, by, cost and name into its entries"


def parts_of(by: By | None) -> tuple[str, ...]:
    """The parts of a key. ValueError for what requests cannot be counted by."""
    parts = (by,) if isinstance(by, str) else ("client_ip",) if by is None else by
    for part in parts:
        if not _BY.fullmatch(part):
            raise ValueError(
                f"by: {part!r} is nothing to count by; write client_ip, principal, consumer, route, header:X-Tenant, "
                "claim:sub, or a list of these"
            )
    if not parts:
        raise ValueError("by: the list is empty; write client_ip, or leave `by` out")
    return parts


@dataclass(frozen=True)
class PolicyOptions:
    """One limit. `burst` is how many pass at once: the rate's amount unless told otherwise."""

    rate: Rate
    burst: int | None = None
    by: By | None = None
    cost: int = 1
    name: str = "default"

    def __post_init__(self) -> None:
        parts_of(self.by)
        if self.cost < 1:
            raise ValueError(f"cost: a request takes at least 1, not {self.cost}")
        if self.burst is not None and self.burst < 1:
            raise ValueError(f"burst: at least 1 has to pass at once, not {self.burst}")
        if self.cost > (self.burst or self.rate.amount):
            raise ValueError(f"no request could pass, for each costs {self.cost}; write `burst: {self.cost}` or more")
        if not _NAME.fullmatch(self.name):
            raise ValueError(f"name: {self.name!r} goes into a header; write one such as per-minute")

    def policy(self) -> Policy:
        """The same in plain numbers."""
        return Policy(self.name, self.rate, self.burst or self.rate.amount, self.cost)


@dataclass(frozen=True)
class RateLimitOptions:
    """One limit, or several as `policies`. `headers` is what clients are told: absent is `[draft]`, and `[legacy]` with
    Spring's algorithm."""

    rate: Rate | None = None
    burst: int | None = None
    by: By | None = None
    cost: int | None = None
    name: str | None = None
    policies: tuple[PolicyOptions, ...] = ()
    mode: Mode = "enforce"
    store: Literal["local", "redis"] = "local"
    on_store_error: Literal["local", "open", "closed"] = "local"
    headers: tuple[Style, ...] | None = None
    algorithm: Literal["gcra", "spring"] = "gcra"

    def __post_init__(self) -> None:
        alone = (self.rate, self.burst, self.by, self.cost, self.name)
        if self.policies and any(value is not None for value in alone):
            raise ValueError(_SEVERAL)
        if not self.policies and self.rate is None:
            raise ValueError("there is no rate; write one such as `rate: 100/s`")
        limits = self.limits()
        names = [limit.name for limit in limits]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"two policies are named {twice!r}; give each a name, as clients read it")
        if self.algorithm == "spring":
            self._check_spring(limits)

    def _check_spring(self, limits: tuple[PolicyOptions, ...]) -> None:
        if self.store != "redis":
            raise ValueError("algorithm: spring shares buckets with other gateways; add `store: redis`")
        if len(limits) > 1:
            raise ValueError("algorithm: spring knows one limit only; write rate, burst and by without `policies`")
        if limits[0].rate.amount % limits[0].rate.seconds:
            raise ValueError("algorithm: spring adds whole numbers each second; write a rate such as 100/s")

    def limits(self) -> tuple[PolicyOptions, ...]:
        """All limits, of which each request has to pass every one."""
        if self.rate is None:
            return self.policies
        cost = 1 if self.cost is None else self.cost
        return (PolicyOptions(self.rate, self.burst, self.by, cost, "default" if self.name is None else self.name),)

    def styles(self) -> tuple[Style, ...]:
        """What clients are told."""
        if self.headers is not None:
            return self.headers
        return ("legacy",) if self.algorithm == "spring" else ("draft",)


@dataclass(frozen=True)
class ConcurrencyLimitOptions:
    """`status` stands in place of 429."""

    limit: int
    by: By | None = None
    mode: Mode = "enforce"
    status: int = 429

    def __post_init__(self) -> None:
        parts_of(self.by)
        if self.limit < 1:
            raise ValueError(f"limit: at least 1 request has to pass, not {self.limit}")
        if not 400 <= self.status <= 599:
            raise ValueError(f"status: a refusal is 429 or 503, or another of 400 to 599, not {self.status}")
