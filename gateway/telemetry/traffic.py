"""The figures of one route or one upstream that `/api/routes` shows. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypedDict

from gateway.errors import ANSWERS
from gateway.telemetry.window import RateWindow

# Outcomes that are the gateway's or an upstream's fault. A client's mistake (404, 413, gone) is nobody's error here.
FAILURES = frozenset(kind.word for kind, answer in ANSWERS.items() if answer.side != "client")


class Figures(TypedDict):
    """`error_rate` is a share, 0 to 1; rates are calls a second over 1 and 5 minutes; averages begin at the start."""

    calls: int
    errors: int
    error_rate: float
    latency_avg_ms: float
    latency_max_ms: float
    rate_1m: float
    rate_5m: float


class Traffic:
    """What one route has served from one upstream. Mutable state: the sums and the window."""

    __slots__ = ("calls", "errors", "longest", "longest_wait", "seconds", "waited", "window")

    def __init__(self) -> None:
        self.calls = 0
        self.errors = 0
        self.seconds = 0.0
        self.longest = 0.0
        self.waited = 0.0
        self.longest_wait = 0.0
        self.window = RateWindow()

    def add(self, now: float, seconds: float, failed: bool, waited: float = 0.0) -> None:
        """One call is over at `now` (monotonic) after `seconds`, of which it `waited` for the upstream."""
        self.calls += 1
        self.seconds += seconds
        self.waited += waited
        if seconds > self.longest:
            self.longest = seconds
        if waited > self.longest_wait:
            self.longest_wait = waited
        if failed:
            self.errors += 1
        window = self.window
        if now >= window.until:
            window.advance(now)
        window.counts[window.place] += 1

    def absorb(self, other: Traffic, now: float) -> None:
        """Have served what the other has, as of `now`; of the time at upstreams it takes nothing over."""
        self.calls += other.calls
        self.errors += other.errors
        self.seconds += other.seconds
        self.longest = max(self.longest, other.longest)
        self.window.absorb(other.window, now)

    def figures(self, now: float | None) -> Figures:
        """All figures as of `now`, as the client sees them; without `now` the rates are 0, which takes a third of the
        time."""
        calls = self.calls
        return {
            "calls": calls,
            "errors": self.errors,
            "error_rate": self.errors / calls if calls else 0.0,
            "latency_avg_ms": self.seconds / calls * 1000 if calls else 0.0,
            "latency_max_ms": self.longest * 1000,
            "rate_1m": self.window.rate(now, 60) if now is not None else 0.0,
            "rate_5m": self.window.rate(now, 300) if now is not None else 0.0,
        }

    def upstream_figures(self, figures: Figures) -> Figures:
        """The same with the latencies of the upstream alone."""
        calls = self.calls
        return {
            **figures,
            "latency_avg_ms": self.waited / calls * 1000 if calls else 0.0,
            "latency_max_ms": self.longest_wait * 1000,
        }

    def __repr__(self) -> str:
        return f"<Traffic {self.calls} calls, {self.errors} errors>"


def merged(parts: Iterable[Figures]) -> Figures:
    """The figures of several workers, or of several instances, as one."""
    parts = list(parts)
    if len(parts) == 1:
        return parts[0]
    calls = sum(part["calls"] for part in parts)
    errors = sum(part["errors"] for part in parts)
    milliseconds = sum(part["latency_avg_ms"] * part["calls"] for part in parts)
    return {
        "calls": calls,
        "errors": errors,
        "error_rate": errors / calls if calls else 0.0,
        "latency_avg_ms": milliseconds / calls if calls else 0.0,
        "latency_max_ms": max((part["latency_max_ms"] for part in parts), default=0.0),
        "rate_1m": sum(part["rate_1m"] for part in parts),
        "rate_5m": sum(part["rate_5m"] for part in parts),
    }
