"""The table for people and the JSON for programs."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from loadtest.bench.results import Results, Verdict
from loadtest.bench.stats import Spread

TITLES = {
    "small": "GET, nine headers, 123-byte JSON answer: CPU of the server per request",
    "own": "answered by the gateway itself, full chain: CPU per request",
    "large": "large answers, full chain: CPU per request",
    "guarded": "with and without breaker and retry policy, full chain: CPU per request",
    "neighbours": "one route alone, and beside an upstream that hangs: CPU per request",
    "reloads": "200 routes, full chain, without and with reloads: CPU per request",
    "tls": "TLS, keep-alive, full chain: CPU per request",
    "handshakes": "new TLS 1.3 connections, nothing asked: CPU per connection",
    "websockets": "WebSocket echo, 64 bytes, full chain: CPU per message and its echo",
    "slow_clients": "honest clients alone, and beside thousands of slow ones: CPU per request",
    "routes": "number of routes, bare, every route in turn: CPU per request",
}


def table(rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as their widest cell; the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def number(value: float) -> str:
    """Three figures that matter, never in powers of ten."""
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 100 else 0
    return f"{value:.{digits}f}"


def spread(value: Spread) -> str:
    return f"{number(value.low)}..{number(value.high)}"


def render(results: Results, verdicts: Sequence[Verdict], about: dict[str, Any]) -> str:
    """The whole report."""
    parts = [f"aiogate bench, {about['date']}: {about['machine']}; load by {about['generator']}{_stolen(results)}"]
    if results.versions:
        parts[0] += "\n" + ", ".join(f"{name} {number}" for name, number in results.versions.items())
    parts += [_scenario(name, TITLES[name], results) for name in TITLES if results.samples.get(name)]
    if results.figures:
        rows = [["figure", "measured"]]
        rows += [[figure.says, f"{number(figure.value)} {figure.unit}"] for figure in results.figures.values()]
        parts.append("Memory and time\n" + table(rows))
    if verdicts:
        rows = [["bar", "measured", "spread", "at most", "verdict"]]
        rows += [_bar(verdict) for verdict in verdicts]
        parts.append("Bars\n" + table(rows))
    notes = [f"absent: {name} (not installed; {install})" for name, install in results.absent.items()]
    notes += [f"problem: {problem}" for problem in results.problems]
    parts += ["\n".join(notes)] if notes else []
    return "\n\n".join(parts) + "\n"


def _scenario(name: str, title: str, results: Results) -> str:
    rows = [["", "us/request", "spread", "requests/s"]]
    for label, samples in results.samples[name].items():
        cpu = Spread.of([sample.cpu_us for sample in samples])
        speed = Spread.of([sample.per_second for sample in samples])
        rows.append([label, number(cpu.median), spread(cpu), f"{speed.median:.0f}"])
    return f"{title} (median of {len(next(iter(results.samples[name].values())))} rounds)\n{table(rows)}"


def _stolen(results: Results) -> str:
    """How much of the machine its host gave to others: where it is much, ratios are worth more than the figures."""
    shares = [sample.stolen for labels in results.samples.values() for runs in labels.values() for sample in runs]
    if not shares:
        return ""
    return f"; stolen by the host: {statistics.median(shares):.0%} (at most {max(shares):.0%})"


def _bar(verdict: Verdict) -> list[str]:
    if verdict.value is None:
        return [verdict.says, "-", "-", f"{verdict.limit:g} {verdict.unit}", verdict.word]
    shown = f"{verdict.value.median:.2f} {verdict.unit}"
    around = f"{verdict.value.low:.2f}..{verdict.value.high:.2f}" if verdict.value.low != verdict.value.high else "-"
    return [verdict.says, shown, around, f"{verdict.limit:g} {verdict.unit}", verdict.word]


def document(results: Results, verdicts: Sequence[Verdict], about: dict[str, Any]) -> dict[str, Any]:
    """Everything as plain data: each sample, the medians, the figures, the bars."""
    return {
        "about": about,
        "versions": results.versions,
        "absent": results.absent,
        "problems": results.problems,
        "scenarios": {
            scenario: {
                label: {
                    "cpu_us": asdict(Spread.of([sample.cpu_us for sample in samples])),
                    "rounds": [asdict(sample) for sample in samples],
                }
                for label, samples in labels.items()
            }
            for scenario, labels in results.samples.items()
        },
        "figures": {name: asdict(figure) for name, figure in results.figures.items()},
        "bars": [
            {
                "bar": verdict.says,
                "at_least" if verdict.at_least else "at_most": verdict.limit,
                "unit": verdict.unit,
                "measured": asdict(verdict.value) if verdict.value else None,
                "passed": verdict.passed,
            }
            for verdict in verdicts
        ],
    }


def about(generator: str, plan: dict[str, Any], backend: str) -> dict[str, Any]:
    """The circumstances, without which no figure means anything."""
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "machine": f"{_processor()}, {os.cpu_count()} cores, Linux {platform.release()}",
        "python": platform.python_version(),
        "generator": generator,
        "backend": backend,
        "plan": plan,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
