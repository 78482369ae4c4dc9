"""What came of the calls of the last seconds: a rolling window of 10 buckets. Pure: time is passed in."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import Final

BUCKETS: Final = 10
# Indexes of the counts. The results of calls come first; those that speak against the upstream stand side by side.
SUCCESS: Final = 0
FAILURE: Final = 1
TIMEOUT: Final = 2
REJECTED: Final = 3
SLOW: Final = 4
SHORT_CIRCUITED: Final = 5
FALLBACK_SUCCESS: Final = 6
FALLBACK_FAILURE: Final = 7
EVENTS: Final = (
    "success",
    "failure",
    "timeout",
    "rejected",
    "slow",
    "short_circuited",
    "fallback_success",
    "fallback_failure",
)
RESULTS: Final = slice(SUCCESS, SLOW + 1)
BAD: Final = slice(FAILURE, SLOW + 1)

LATENCIES: Final = 500
LATENCY_SECONDS: Final = 60.0
# Hystrix's own choice, as its stream writes them.
PERCENTILES: Final = ("0", "25", "50", "75", "90", "95", "99", "99.5", "100")


class Window:
    """Counts of events by bucket, with running sums, and the latest 500 latencies.

    Mutable state: `counts` of the bucket that is being filled, `until` when, in monotonic seconds, the buckets before
    it with their sums, `latencies` as (time, seconds), `bad`, how many failures, timeouts, rejections and slow calls
    there are in all, and `forgotten`, how many successes there were before. A slow call counts as what it was, too. A
    caller in a hurry adds to `counts` itself, after `advance` where `until` is over.
    """

    __slots__ = ("_number", "_past", "_sums", "_width", "bad", "counts", "forgotten", "latencies", "until")

    def __init__(self, seconds: float) -> None:
        self._width = seconds / BUCKETS
        self._number = 0
        self._past: deque[tuple[int, list[int]]] = deque()
        self._sums = [0] * len(EVENTS)
        self.counts = [0] * len(EVENTS)
        self.until = 0.0
        self.bad = self.forgotten = 0
        self.latencies: deque[tuple[float, float]] = deque(maxlen=LATENCIES)

    def add(self, event: int, now: float) -> None:
        """Count one event. A time before the last one counts as that."""
        if now >= self.until:
            self.advance(now)
        self.counts[event] += 1
        if FAILURE <= event <= SLOW:
            self.bad += 1

    def advance(self, now: float) -> None:
        """Fill the bucket of `now` from here on, and forget those that are too old."""
        number = max(int(now / self._width), self._number)
        if number > self._number:
            if any(self.counts):
                self._past.append((self._number, self.counts))
                self._sums = [total + count for total, count in zip(self._sums, self.counts, strict=True)]
                self.counts = [0] * len(EVENTS)
            self._number = number
        self.until = (number + 1) * self._width
        while self._past and self._past[0][0] <= number - BUCKETS:
            old = self._past.popleft()[1]
            self._sums = [total - count for total, count in zip(self._sums, old, strict=True)]
            self.bad -= sum(old[BAD])
            self.forgotten += old[SUCCESS]

    def total(self, event: int) -> int:
        """How many there were, as of the last `advance`."""
        return self._sums[event] + self.counts[event]

    def sums(self) -> list[int]:
        """All counts, as of the last `advance`."""
        return [past + count for past, count in zip(self._sums, self.counts, strict=True)]

    @property
    def errors(self) -> int:
        """Failures, timeouts and rejections, as of the last `advance`."""
        return self.bad - self.total(SLOW)

    @property
    def calls(self) -> int:
        """Calls that were let through and counted, as of the last `advance`."""
        return self.total(SUCCESS) + self.errors

    def totals(self, now: float) -> dict[str, int]:
        """All counts by name as of `now`."""
        self.advance(now)
        return dict(zip(EVENTS, self.sums(), strict=True))

    def forget_results(self) -> None:
        """Judge afresh: the results of calls are gone. What was refused and what fallbacks did stays, for the eye."""
        self.forgotten += self.total(SUCCESS)
        for counts in (self.counts, self._sums, *(counts for _, counts in self._past)):
            counts[RESULTS] = [0] * len(counts[RESULTS])
        self.bad = 0

    def latency(self, now: float) -> tuple[float, dict[str, float]]:
        """The mean and the percentiles of the last minute's latencies, in seconds; all 0 where there are none."""
        values = sorted(seconds for at, seconds in self.latencies if at > now - LATENCY_SECONDS)
        if not values:
            return 0.0, dict.fromkeys(PERCENTILES, 0.0)
        ranks = {name: max(ceil(float(name) / 100 * len(values)), 1) for name in PERCENTILES}
        return sum(values) / len(values), {name: values[rank - 1] for name, rank in ranks.items()}

    def __repr__(self) -> str:
        return f"<Window {self.calls} calls, {self.errors} errors>"
