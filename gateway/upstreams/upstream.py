"""Endpoints and upstreams, alive: what is in flight, what was counted, and which endpoint is next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from gateway.upstreams.balance.round_robin import RoundRobin
from gateway.wire.pool import Pool

State = Literal["enabled", "drain"]


class Endpoint:
    """One address of one upstream. Lives across reloads for as long as it is configured.

    Mutable state: its pool, `in_flight` attempts, its totals, and whether the admin API drains it.
    """

    __slots__ = ("address", "errors", "in_flight", "pool", "requests", "state", "weight")

    def __init__(self, pool: Pool, weight: int = 1) -> None:
        self.pool = pool
        self.address = pool.address
        self.weight = weight
        self.in_flight = 0
        self.requests = 0
        self.errors = 0
        self.state: State = "enabled"

    @property
    def available(self) -> bool:
        """May it be given new requests?"""
        return self.state == "enabled"

    def __repr__(self) -> str:
        return f"<Endpoint {self.address} {self.state} in_flight={self.in_flight}>"


@dataclass(frozen=True, slots=True)
class UpstreamTimeouts:
    """Seconds. `response` is until the head, `body` between slices, `total` for the whole exchange or None."""

    connect: float = 1.0
    response: float = 30.0
    body: float = 30.0
    total: float | None = None


class Upstream:
    """One configured upstream. `host` is the Host field to send: None for the client's own, "" for the endpoint's.

    Mutable state: the place of its balancer. The rest is one configuration's.
    """

    __slots__ = ("balance", "endpoints", "forwarded", "host", "meters", "name", "only", "timeouts")

    def __init__(
        self,
        name: str,
        endpoints: Sequence[Endpoint],
        timeouts: UpstreamTimeouts,
        *,
        host: str | None = None,
        forwarded: bool = False,
        meters: Any = None,
    ) -> None:
        """`forwarded` asks for `Forwarded` (RFC 7239) in place of X-Forwarded-*."""
        self.name = name
        self.endpoints = tuple(endpoints)
        self.timeouts = timeouts
        self.host = host
        self.forwarded = forwarded
        self.meters = meters
        self.balance = RoundRobin()
        self.only = self.endpoints[0] if len(self.endpoints) == 1 else None

    def pick(self) -> Endpoint | None:
        """The endpoint for the next attempt, None when none is available."""
        only = self.only
        if only is not None:
            return only if only.state == "enabled" else None
        return self.balance.pick(self.endpoints, _available)

    def __repr__(self) -> str:
        return f"<Upstream {self.name}: {', '.join(endpoint.address for endpoint in self.endpoints)}>"


def _available(endpoint: Endpoint) -> bool:
    return endpoint.state == "enabled"
