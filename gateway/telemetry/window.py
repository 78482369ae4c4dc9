"""How often something happened lately: a ring of 5-second buckets. Pure: time is passed in."""

from __future__ import annotations

BUCKET_SECONDS = 5
# Five minutes, and one bucket more: the oldest counts only for the part of it that is not yet too old.
BUCKETS = 61


class RateWindow:
    """Counts of the last 5 minutes.

    Mutable state: the ring `counts`, the number of the bucket that is being filled, its `place` in the ring, and
    `until` when, in monotonic seconds. A caller in a hurry adds to `counts[place]` itself, after `advance` where
    `until` is over.
    """

    __slots__ = ("_current", "counts", "place", "until")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self._current = 0
        self.place = 0
        self.until = float(BUCKET_SECONDS)

    def add(self, now: float) -> None:
        """Count one, at `now` in monotonic seconds. A time before the last one counts as that."""
        if now >= self.until:
            self.advance(now)
        self.counts[self.place] += 1

    def rate(self, now: float, seconds: int) -> float:
        """How many a second, on average over the last `seconds`: 5 to 300, a multiple of 5."""
        whole, rest = divmod(seconds, BUCKET_SECONDS)
        if rest or not 1 <= whole < BUCKETS:
            raise ValueError(f"a rate is over 5 to 300 seconds, a multiple of 5, not {seconds}")
        self.advance(now)
        current = self._current
        counts = self.counts
        first, last = (current - whole + 1) % BUCKETS, self.place
        young = sum(counts[first : last + 1]) if first <= last else sum(counts[first:]) + sum(counts[: last + 1])
        elapsed = min(max(now / BUCKET_SECONDS - current, 0.0), 1.0)
        return (young + counts[(current - whole) % BUCKETS] * (1 - elapsed)) / seconds

    def absorb(self, other: RateWindow, now: float) -> None:
        """Count what the other has counted too, as of `now`."""
        self.advance(now)
        other.advance(now)
        self.counts = [mine + theirs for mine, theirs in zip(self.counts, other.counts, strict=True)]

    def advance(self, now: float) -> None:
        """Fill the bucket of `now` from here on; those passed over are empty."""
        number = int(now) // BUCKET_SECONDS
        if number <= self._current:
            return
        passed = min(number - self._current, BUCKETS)
        for position in range(number - passed + 1, number + 1):
            self.counts[position % BUCKETS] = 0
        self._current = number
        self.place = number % BUCKETS
        self.until = float((number + 1) * BUCKET_SECONDS)

    def __repr__(self) -> str:
        return f"<RateWindow {sum(self.counts)} in 5 minutes>"
