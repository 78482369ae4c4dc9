"""What was measured, and the bars it is held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from loadtest.bench.generator import Sample
from loadtest.bench.stats import Spread, difference, ratio

MIB = 1024.0 * 1024.0


@dataclass(frozen=True)
class Figure:
    """A single number that is not CPU per request."""

    scenario: str
    value: float
    unit: str
    says: str


@dataclass
class Results:
    """Samples by scenario and label, one a round; figures by name; who was absent; what went wrong."""

    samples: dict[str, dict[str, list[Sample]]] = field(default_factory=dict)
    figures: dict[str, Figure] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def latency(self, scenario: str, label: str) -> list[float] | None:
        """The milliseconds that 99 % kept to, of every round, or None when they are not known."""
        values = [sample.p99_ms for sample in self.samples.get(scenario, {}).get(label, ())]
        return values if values and all(values) else None

    def cpu(self, scenario: str, label: str) -> list[float] | None:
        """CPU microseconds per request of every round, or None when there are no valid ones."""
        samples = self.samples.get(scenario, {}).get(label)
        return [sample.cpu_us for sample in samples] if samples else None


@dataclass(frozen=True)
class Pair:
    """What two labels of a scenario come to, round by round, may be at most `limit`."""

    says: str
    scenario: str
    over: str
    under: str
    limit: float
    unit: str = "x"

    def value(self, results: Results) -> Spread | None:
        over, under = self.rounds(results, self.over), self.rounds(results, self.under)
        return self.compare(over, under) if over and under else None

    def rounds(self, results: Results, label: str) -> list[float] | None:
        return results.cpu(self.scenario, label)

    def compare(self, over: list[float], under: list[float]) -> Spread:
        return ratio(over, under)


@dataclass(frozen=True)
class Share(Pair):
    """`over` may cost at most `limit` times what `under` costs."""


@dataclass(frozen=True)
class Extra(Pair):
    """`over` may cost at most `limit` microseconds more than `under`."""

    unit: str = "us"

    def compare(self, over: list[float], under: list[float]) -> Spread:
        return difference(over, under)


@dataclass(frozen=True)
class Slower(Pair):
    """99 % of the answers of `over` may take at most `limit` times as long as those of `under`."""

    def rounds(self, results: Results, label: str) -> list[float] | None:
        return results.latency(self.scenario, label)


@dataclass(frozen=True)
class Most:
    """A figure may be at most `limit`."""

    says: str
    scenario: str
    figure: str
    limit: float
    unit: str

    def value(self, results: Results) -> Spread | None:
        figure = results.figures.get(self.figure)
        return Spread.of([figure.value]) if figure else None


@dataclass(frozen=True)
class Least(Most):
    """A figure must be at least `limit`."""


BARS: tuple[Pair | Most, ...] = (
    Share("full chain / Envoy", "small", "gateway full", "envoy full", 0.65),
    Share("full chain / HAProxy", "small", "gateway full", "haproxy full", 1.8),
    Share("full chain / naive aiohttp proxy, bare", "small", "gateway full", "naive bare", 0.25),
    Share("respond: / proxied request", "own", "respond", "proxied", 0.6),
    Share("own 404 / proxied request", "own", "not found", "proxied", 0.6),
    Share("64 KiB answers / nginx", "large", "64k gateway", "64k nginx", 1.3),
    Share("1 MiB answers / nginx", "large", "1m gateway", "1m nginx", 1.5),
    Share("10,000 routes / 10 routes", "routes", "10000 routes", "10 routes", 1.1),
    Most("loading 10,000 routes", "routes", "routes.load", 2.0, "s"),
    Most("memory per idle keep-alive connection", "idle", "idle.gateway", 5.0, "KB"),
    Share("a WebSocket's message and its echo / HAProxy", "websockets", "gateway", "haproxy", 1.5),
    Most("memory per idle connection beside WebSockets", "websockets", "websockets.idle", 5.0, "KB"),
    Most("memory per WebSocket, which is two connections", "websockets", "websockets.each", 10.0, "KB"),
    Most("growth by a slow 1 GiB download", "slow", "slow.download", 16.0, "MiB"),
    Most("growth by a slow 1 GiB upload", "slow", "slow.upload", 16.0, "MiB"),
    Most("errors in the worst episode of one failing endpoint", "episodes", "episodes.errors", 1.0, "%"),
    Most("99th percentile of the fallback, all endpoints killed", "episodes", "episodes.fallback_p99", 50.0, "ms"),
    Extra("breaker and retry policy, nothing fails", "guarded", "guarded", "plain", 2.0),
    Extra("a verified token, cached", "identity", "token", "plain", 2.0),
    Extra("a delegated decision, cached", "identity", "kept", "plain", 3.0),
    Extra("a local rate limit", "identity", "limited", "plain", 1.0),
    Share("delegation without a cache / proxied request", "identity", "asked", "plain", 2.0),
    Most("admitted in the best second, local limit of 1000/s", "admitted", "admitted.local.most", 1050.0, "/s"),
    Least("admitted in the worst second, local limit of 1000/s", "admitted", "admitted.local.least", 950.0, "/s"),
    Most("admitted in the best second, the same in Redis", "admitted", "admitted.shared.most", 1050.0, "/s"),
    Least("admitted in the worst second, the same in Redis", "admitted", "admitted.shared.least", 950.0, "/s"),
    Most("several workers: admitted in the best second, local", "shared", "shared.local.most", 1050.0, "/s"),
    Least("several workers: admitted in the worst second, local", "shared", "shared.local.least", 950.0, "/s"),
    Share("three parts, as they came / a proxied request", "compose", "composed", "plain", 3.75),
    Share("three parts with picks / a proxied request", "compose", "picked", "plain", 6.0),
    Most("a composition's median behind its slowest chain's", "compose", "compose.behind", 1.0, "ms"),
    Most("until slow clients are cut, of idle time 10 s", "slow_clients", "slow_clients.seconds", 25.0, "s"),
    Slower("99th percentile beside slow clients", "slow_clients", "beside", "alone", 1.5),
    Slower("99th percentile beside an upstream that hangs", "neighbours", "beside", "alone", 1.2),
    Slower("99th percentile with reloads / without", "reloads", "reloading", "steady", 2.0),
    Most("requests that failed while reloads went on", "reloads", "reloads.failed", 0.0, ""),
    Most("WebSockets and downloads that ended meanwhile", "reloads", "reloads.ended", 0.0, ""),
    Most("reloads that were refused", "reloads", "reloads.refused", 0.0, ""),
    Share("TLS, full chain / HAProxy", "tls", "gateway", "haproxy", 1.8),
    Share("new TLS 1.3 connections / nginx", "handshakes", "gateway", "nginx", 1.5),
    Most("workers killed: requests failed on other connections", "kills", "kills.elsewhere", 0.0, ""),
    Most("workers killed: WebSockets ended on other connections", "kills", "kills.sockets", 0.0, ""),
    Most("workers killed: connections refused", "kills", "kills.refused", 0.0, ""),
    Most("rolling restart: requests that failed", "restart", "restart.failed", 0.0, ""),
    Least("two workers / one, requests a second", "scaling", "scaling.ratio", 1.9, "x"),
)


@dataclass(frozen=True)
class Verdict:
    """A bar, which `at_least` turns round, with what was measured; `passed` is None when it could not be."""

    says: str
    limit: float
    unit: str
    value: Spread | None
    at_least: bool = False

    @property
    def passed(self) -> bool | None:
        if self.value is None:
            return None
        return self.value.median >= self.limit if self.at_least else self.value.median <= self.limit

    @property
    def word(self) -> str:
        return {True: "pass", False: "MISS", None: "not measured"}[self.passed]


def judge(results: Results, scenarios: Iterable[str]) -> list[Verdict]:
    """Every bar of the scenarios that ran."""
    ran = set(scenarios)
    return [
        Verdict(bar.says, bar.limit, bar.unit, bar.value(results), isinstance(bar, Least))
        for bar in BARS
        if bar.scenario in ran
    ]


def exit_code(problems: list[str], verdicts: list[Verdict], strict: bool) -> int:
    """2 when the harness failed, 1 under --strict when a bar was missed or could not be measured, else 0."""
    if problems:
        return 2
    return int(strict and any(verdict.passed is not True for verdict in verdicts))
