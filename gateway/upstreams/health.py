"""Active health checks: what is asked, what passes, and what follows from it. Pure: no clock, no sockets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

BODY_LIMIT = 64 * 1024
PASSING = frozenset(range(200, 400))


@dataclass(frozen=True, slots=True)
class CheckPolicy:
    """How endpoints are checked: by an HTTP request, or only by opening a TCP connection.

    `path` is raw, with its query; `host` is the Host to send, None for the endpoint's address. `interval`, from start
    to start, and `timeout` are in seconds. `body` must be found in the first 64 KiB of the answer, read as UTF-8.
    `passes` and `failures` are how many in a row change the verdict.
    """

    kind: Literal["http", "tcp"] = "http"
    path: str = "/"
    host: str | None = None
    method: str = "GET"
    interval: float = 5.0
    timeout: float = 2.0
    statuses: frozenset[int] = PASSING
    body: re.Pattern[str] | None = None
    passes: int = 2
    failures: int = 3


class HealthState:
    """The verdict on one endpoint, as its checks come in.

    Mutable state: `healthy`, None before the first check, and how many checks in a row spoke against it.
    """

    __slots__ = ("_against", "_failures", "_passes", "healthy")

    def __init__(self, policy: CheckPolicy) -> None:
        self.healthy: bool | None = None
        self._passes = policy.passes
        self._failures = policy.failures
        self._against = 0

    def result(self, passed: bool) -> bool | None:
        """A check ended. The new verdict, None when it stays as it was. The first check decides alone."""
        if passed is self.healthy:
            self._against = 0
            return None
        self._against += 1
        if self.healthy is not None and self._against < (self._passes if passed else self._failures):
            return None
        self._against = 0
        self.healthy = passed
        return passed


def judge(policy: CheckPolicy, status: int, body: bytes) -> str:
    """Why an answer fails the check, "" when it passes. `body` is what was read of it; what it says is not repeated."""
    if status not in policy.statuses:
        return f"status {status}"
    if policy.body is not None and not policy.body.search(body[:BODY_LIMIT].decode(errors="replace")):
        return "the body does not match"
    return ""
