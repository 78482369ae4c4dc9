"""How often something happened lately: a ring of 5-second buckets. Pure: time is passed in."""

from __future__ import annotations

BUCKET_SECONDS = 5
# Five minutes, and one bucket more: the oldest counts only for the part of it that is not yet too old.
BUCKETS = 61


class RateWindow:
    """Counts of the last 5 minutes. Mutable state: the ring, and the number of the bucket that is being filled."""

    __slots__ = ("_counts", "_current")

    def __init__(self) -> None:
        self._counts = [0] * BUCKETS
        self._current = 0

    def add(self, now: float) -> None:
        """Count one, at `now` in monotonic seconds. A time before the last one counts as that."""
        number = int(now) // BUCKET_SECONDS
        if number > self._current:
            self._advance(number)
        self._counts[self._current % BUCKETS] += 1

    def rate(self, now: float, seconds: int) -> float:
        """How many a second, on average over the last `seconds`: 5 to 300, a multiple of 5."""
        whole, rest = divmod(seconds, BUCKET_SECONDS)
        if rest or not 1 <= whole < BUCKETS:
            raise ValueError(f"a rate is over 5 to 300 seconds, a multiple of 5, not {seconds}")
        number = int(now) // BUCKET_SECONDS
        if number > self._current:
            self._advance(number)
        current = self._current
        counts = self._counts
        young = sum(counts[position % BUCKETS] for position in range(current - whole + 1, current + 1))
        elapsed = min(max(now / BUCKET_SECONDS - current, 0.0), 1.0)
        return (young + counts[(current - whole) % BUCKETS] * (1 - elapsed)) / seconds

    def _advance(self, number: int) -> None:
        passed = min(number - self._current, BUCKETS)
        for position in range(number - passed + 1, number + 1):
            self._counts[position % BUCKETS] = 0
        self._current = number

    def __repr__(self) -> str:
        return f"<RateWindow {sum(self._counts)} in 5 minutes>"
