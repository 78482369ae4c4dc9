"""What a Locust run must keep to, as plain functions: no Locust in here, so that they can be tested without it.

Set by environment variables: LOAD_MAX_ERROR_SHARE (0.001), LOAD_MAX_P95_MS (250, each short request),
LOAD_MAX_BULK_P95_MS (3000, downloads and uploads), LOAD_MIN_REQUESTS (100, fewer prove nothing).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Thresholds:
    max_error_share: float = 0.001
    max_p95_ms: float = 250.0
    max_bulk_p95_ms: float = 3000.0
    min_requests: int = 100

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Thresholds:
        """ValueError names the variable that is no number."""

        def number(name: str, default: float) -> float:
            text = variables.get(name, "")
            try:
                return float(text) if text else default
            except ValueError:
                raise ValueError(f"{name} must be a number, not {text!r}") from None

        return cls(
            number("LOAD_MAX_ERROR_SHARE", cls.max_error_share),
            number("LOAD_MAX_P95_MS", cls.max_p95_ms),
            number("LOAD_MAX_BULK_P95_MS", cls.max_bulk_p95_ms),
            int(number("LOAD_MIN_REQUESTS", cls.min_requests)),
        )


@dataclass(frozen=True)
class Observed:
    """What happened to the requests of one name."""

    name: str
    requests: int
    failures: int
    p95_ms: float
    bulk: bool = False


def missed(thresholds: Thresholds, observed: Iterable[Observed]) -> list[str]:
    """A line for each threshold that was not kept; none is a success."""
    seen = list(observed)
    requests = sum(one.requests for one in seen)
    failures = sum(one.failures for one in seen)
    lines = []
    if requests < thresholds.min_requests:
        lines.append(f"{requests} requests, at least {thresholds.min_requests} are needed to say anything")
    if requests and failures / requests > thresholds.max_error_share:
        lines.append(f"{failures} of {requests} requests failed, at most {thresholds.max_error_share:.2%} may")
    for one in seen:
        limit = thresholds.max_bulk_p95_ms if one.bulk else thresholds.max_p95_ms
        if one.requests and one.p95_ms > limit:
            lines.append(f"{one.name}: 95 % within {one.p95_ms:.0f} ms, at most {limit:.0f} ms are allowed")
    return lines


def is_loopback(url: str) -> bool:
    """Whether a base URL leads to this very machine. A name other than localhost could lead anywhere."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
