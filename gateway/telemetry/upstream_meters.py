"""What is always counted about one upstream."""

from __future__ import annotations

from gateway.telemetry.metrics import Counter, Metrics


class UpstreamMeters:
    """The counters of one upstream, found once so that an attempt only adds."""

    __slots__ = (
        "_codes",
        "_copies",
        "_ejections",
        "_hedges",
        "_mirrored",
        "_passed",
        "_passed_bytes",
        "_requests",
        "_retries",
        "_shed",
        "duration",
        "name",
    )

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
        self._hedges = metrics.counter(
            "gateway_hedges_total", "Second attempts that began while the first was slow.", ("upstream",)
        ).labels(name)
        self._shed = metrics.counter(
            "gateway_shed_total", "Requests refused since the upstream's concurrency was used up.", ("upstream",)
        ).labels(name)
        self._mirrored = metrics.counter(
            "gateway_mirrored_total", "Copies of requests: sent, or dropped for want of room.", ("upstream", "result")
        )
        self._passed = metrics.counter(
            "gateway_passthrough_connections_total",
            "Connections passed through: closed, broken off, or failed since no endpoint took them.",
            ("upstream", "result"),
        )
        self._passed_bytes = metrics.counter(
            "gateway_passthrough_bytes_total",
            "Bytes of connections that were passed through, counted at their end: in from clients, out to them.",
            ("upstream", "direction"),
        )
        self._ejections = metrics.counter(
            "gateway_outlier_ejections_total", "Endpoints taken out since they failed.", ("upstream", "reason")
        )
        self.duration = metrics.histogram(
            "gateway_upstream_duration_seconds", "Time from the start of an attempt to its end.", ("upstream",)
        ).labels(name)
        self._codes: dict[int, Counter] = {}
        self._copies: dict[str, Counter] = {}

    def attempted(self, status: int, seconds: float) -> None:
        """One attempt is over."""
        counter = self._codes.get(status)
        if counter is None:
            counter = self._codes[status] = self._requests.labels(self.name, str(status))
        counter.value += 1
        self.duration.observe(seconds)

    def hedged(self) -> None:
        """A second attempt begins beside the first."""
        self._hedges.inc()

    def shed(self) -> None:
        """A request is refused for want of room."""
        self._shed.inc()

    def mirrored(self, result: str) -> None:
        """A copy was `sent` or `dropped`."""
        counter = self._copies.get(result)
        if counter is None:
            counter = self._copies[result] = self._mirrored.labels(self.name, result)
        counter.inc()

    def passed_through(self, result: str, inward: int = 0, outward: int = 0) -> None:
        """A connection that was passed through is over: `closed`, `broken`, or `failed` before it began."""
        self._passed.labels(self.name, result).inc()
        self._passed_bytes.labels(self.name, "in").inc(inward)
        self._passed_bytes.labels(self.name, "out").inc(outward)

    def ejected(self, reason: str) -> None:
        """An endpoint is left out for a while."""
        self._ejections.labels(self.name, reason).inc()

    def retried(self, reason: str) -> None:
        """One more attempt begins."""
        self._retries.labels(self.name, reason).inc()
