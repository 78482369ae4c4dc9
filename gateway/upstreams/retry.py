"""May there be another attempt, and when. Pure: time and chance are passed in."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import floor

from gateway.errors import Retry
from gateway.exchange import Headers

# RFC 9110 §9.2.2
IDEMPOTENT = frozenset(["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
SERVER_ERRORS = frozenset(range(500, 600))
# As with Envoy, `5xx` is every failure of the upstream, those included in which it did not answer.
ANY_FAILURE = frozenset(["connect", "reset", "timeout"])
# 2.0 to the power of 1024 is too large for a float.
MOST_DOUBLINGS = 64
# Of seconds that a peer asks for (RFC 9110 §10.2.3 sets no end): what some take for ever.
LONGEST_DELAY = 2.0**31


def parse_conditions(words: tuple[str, ...]) -> tuple[frozenset[str], frozenset[int]]:
    """The words of `on:` as conditions of the table of failures, and as statuses."""
    conditions = {word for word in words if not word[0].isdigit()}
    statuses = {int(word) for word in words if word.isdigit()}
    if "5xx" in words:
        conditions |= ANY_FAILURE
        statuses |= SERVER_ERRORS
    return frozenset(conditions), frozenset(statuses)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When an upstream is asked again. `attempts` counts all tries; times are in seconds, `replay` in bytes.

    `budget` is the share of the requests in flight that may be retries, `min_retries` what is always allowed.
    """

    attempts: int = 2
    conditions: frozenset[str] = frozenset(["connect", "reset"])
    statuses: frozenset[int] = frozenset([503])
    per_try: float | None = None
    non_idempotent: bool = False
    budget: float = 0.2
    min_retries: int = 3
    base: float = 0.025
    longest: float = 0.25
    max_retry_after: float = 1.0
    replay: int = 64 * 1024

    def repeats(self, method: str, headers: Headers) -> bool:
        """May the request be sent once more, though the upstream may have seen it?"""
        return method in IDEMPOTENT or self.non_idempotent or headers.get("idempotency-key") is not None

    def covers(self, condition: str, safe: Retry, method: str, headers: Headers) -> bool:
        """May a failure that is called `condition` be followed by another attempt? `safe` is the table's word."""
        # No room for a connection is as good as none: nothing was sent.
        condition = "connect" if condition == "full" else condition
        if condition not in self.conditions or safe == "never":
            return False
        return safe == "always" or self.repeats(method, headers)

    def pause(self, rounds: int, draw: float, retry_after: float | None = None) -> float | None:
        """Seconds before the next attempt in so many rounds over the endpoints, from 1: full jitter, `draw` from
        [0, 1). At least `retry_after`; None when that is longer than allowed."""
        if retry_after is not None and retry_after > self.max_retry_after:
            return None
        jitter = draw * min(self.longest, self.base * 2.0 ** min(rounds - 1, MOST_DOUBLINGS))
        return max(jitter, retry_after or 0.0)


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """A second attempt after so many seconds without an answer. `budget` is the share of the requests in flight that
    may be second attempts."""

    after: float
    budget: float = 0.1


@dataclass(slots=True)
class RetryBudget:
    """So many more attempts than requests: `share` of those in flight, rounded down, at least `smallest`. Mutable
    state: `taken`."""

    share: float = 0.2
    smallest: int = 3
    taken: int = field(default=0, init=False)

    def take(self, in_flight: int) -> bool:
        """One more attempt, if there is room for it."""
        # Binary fractions: 0.29 of 100 comes out below 29.
        if self.taken >= max(self.smallest, floor(self.share * in_flight + 1e-9)):
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        """That attempt is over."""
        self.taken -= 1


def retry_after_seconds(value: str | None, wall: float) -> float | None:
    """What a Retry-After field asks for, in seconds or as a date (RFC 9110 §10.2.3); None for nothing and for rubbish.
    `wall` is in seconds since 1970."""
    if value is None:
        return None
    if value.isdigit() and value.isascii():
        return min(float(value), LONGEST_DELAY)
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.fromtimestamp(wall, UTC)).total_seconds())
