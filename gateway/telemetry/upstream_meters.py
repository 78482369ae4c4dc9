"""What is always counted about one upstream."""

from __future__ import annotations

from bisect import bisect_left

from gateway.telemetry.metrics import Counter, Metrics


class UpstreamMeters:
    """The counters of one upstream, found once so that an attempt only adds."""

    __slots__ = ("_codes", "_requests", "_retries", "duration", "name")

    def __init__(self, metrics: Metrics, name: str) -> None:
        self.name = name
        self._requests = metrics.counter(
            "gateway_upstream_requests_total",
            "Attempts at an upstream by status; 0 where no answer came.",
            ("upstream", "code"),
        )
        self._retries = metrics.counter(
            "gateway_retries_total", "Attempts after the first, by the reason for them.", ("upstream", "reason")
        )
        self.duration = metrics.histogram(
            "gateway_upstream_duration_seconds", "Time from the start of an attempt to its end.", ("upstream",)
        ).labels(name)
        self._codes: dict[int, Counter] = {}

    def attempted(self, status: int, seconds: float) -> None:
        """One attempt is over."""
        counter = self._codes.get(status)
        if counter is None:
            counter = self._codes[status] = self._requests.labels(self.name, str(status))
        counter.value += 1
        duration = self.duration
        duration.counts[bisect_left(duration.buckets, seconds)] += 1
        duration.sum += seconds

    def retried(self, reason: str) -> None:
        """One more attempt begins."""
        self._retries.labels(self.name, reason).inc()
