"""One address of an upstream, alive: what is in flight there, how it fares, and whether it may be given requests."""

from __future__ import annotations

from typing import Literal, get_args

from gateway.wire.pool import Pool

State = Literal["enabled", "drain"]
Availability = Literal["available", "drained", "unhealthy", "ejected"]
AVAILABILITIES: tuple[Availability, ...] = get_args(Availability)


class Changes:
    """Counts what changed about the endpoints of one upstream, so that its balancer looks again."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0


class Endpoint:
    """One address of one upstream. Lives across reloads for as long as it is configured. `authority` is what a Host
    field says of it.

    Mutable state: its pool, `in_flight` attempts and its totals; `state`, the admin API's word; `healthy`, the active
    checks' verdict, `checked` once there is one, and `check_failure`, why the last one failed; `failures` and
    `refusals`, errors and unopened connections in a row; until when and why it is ejected, how often in a row, and
    when it came back; `weight`, smaller than `full_weight` while it warms up.
    """

    __slots__ = (
        "address",
        "authority",
        "available_since",
        "changes",
        "check_failure",
        "checked",
        "ejected_for",
        "ejected_until",
        "ejections",
        "errors",
        "failures",
        "full_weight",
        "healthy",
        "in_flight",
        "pool",
        "priority",
        "refusals",
        "requests",
        "returned_at",
        "state",
        "weight",
    )

    def __init__(self, pool: Pool, weight: int = 1, priority: int = 0, changes: Changes | None = None) -> None:
        self.pool = pool
        self.address = pool.address
        self.authority = pool.authority
        self.weight = self.full_weight = weight
        self.priority = priority
        self.changes = changes or Changes()
        self.in_flight = self.requests = self.errors = 0
        self.state: State = "enabled"
        self.healthy = True
        self.checked = False
        self.check_failure = ""
        self.failures = self.refusals = self.ejections = 0
        self.ejected_for = ""
        self.ejected_until = self.returned_at = self.available_since = 0.0

    def configure(self, weight: int, priority: int) -> None:
        """What the configuration says of it now."""
        self.weight = self.full_weight = weight
        self.priority = priority
        self.changes.count += 1

    def put(self, state: State, now: float) -> None:
        """Drain it, or give it requests again."""
        if state != self.state:
            self.state = state
            self.available_since = now
            self.changes.count += 1

    def available(self, now: float) -> bool:
        """May it be given new requests?"""
        return self.state == "enabled" and self.healthy and self.ejected_until <= now

    def availability(self, now: float) -> Availability:
        """May it be given new requests, and if not, why not?"""
        if self.state == "drain":
            return "drained"
        if not self.healthy:
            return "unhealthy"
        return "ejected" if self.ejected_until > now else "available"

    def __repr__(self) -> str:
        sick = "" if self.healthy else " unhealthy"
        return f"<Endpoint {self.address} {self.state}{sick} in_flight={self.in_flight}>"
