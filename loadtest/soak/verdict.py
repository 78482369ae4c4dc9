"""What the soak concludes, from plain numbers: no sockets here."""

from __future__ import annotations

import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

MIB = 1024 * 1024
COUNTS = re.compile(r"(in_?flight|active|queue|pending|waiting|busy)", re.IGNORECASE)
ALLOWED_SHARE = 0.001  # of well-behaved clients' answers that may be wrong
JUDGED_SECONDS = 120.0  # a shorter soak says nothing of memory


def metric(text: str, name: str, **labels: str) -> float | None:
    """The sum of a metric's samples with these labels in Prometheus text; None when there are none."""
    found: list[float] = []
    for line in text.splitlines():
        match = re.match(r"(\w+)(?:\{(.*)\})?\s+(\S+)", line)
        if match and match[1] == name:
            there = dict(re.findall(r'(\w+)="([^"]*)"', match[2] or ""))
            if labels.items() <= there.items():
                found.append(float(match[3]))
    return sum(found) if found else None


def in_flight(document: Any, path: str = "") -> dict[str, float]:
    """Every number in a JSON document whose key says that it counts what is under way, by its path."""
    found: dict[str, float] = {}
    if isinstance(document, Mapping):
        for key, value in document.items():
            here = f"{path}.{key}" if path else str(key)
            numeric = isinstance(value, int | float) and not isinstance(value, bool)
            if numeric and COUNTS.search(str(key)) and not str(key).startswith("max"):
                found[here] = float(value)
            else:
                found |= in_flight(value, here)
    elif isinstance(document, Sequence) and not isinstance(document, str):
        for index, value in enumerate(document):
            found |= in_flight(value, f"{path}[{index}]")
    return found


def left_behind(metrics: str, upstreams: Any) -> list[str]:
    """What is still counted as under way, in words; what is not counted at all is a fault as well."""
    wanted: dict[str, float | None] = {
        "gateway_active_requests": metric(metrics, "gateway_active_requests"),
        'gateway_connections{side="client",state="active"}': metric(
            metrics, "gateway_connections", side="client", state="active"
        ),
        'gateway_connections{side="upstream",state="active"}': metric(
            metrics, "gateway_connections", side="upstream", state="active"
        ),
    }
    counts = in_flight(upstreams)
    lines = [f"{name} is not reported" for name, value in wanted.items() if value is None]
    lines += [f"{name} is {value:g}" for name, value in wanted.items() if value]
    lines += [f"/api/upstreams: {name} is {value:g}" for name, value in counts.items() if value]
    if not counts:
        lines.append("/api/upstreams reports nothing that is under way")
    return lines


def memory_growth(samples: Sequence[tuple[float, int]]) -> int | None:
    """How much larger the last sixth of the run is than the sixth before its middle, in bytes, by medians. The first
    third warms up. None when the run was too short."""
    if not samples or samples[-1][0] < JUDGED_SECONDS:
        return None
    total = samples[-1][0]
    before = [size for second, size in samples if total / 3 <= second < total / 2]
    after = [size for second, size in samples if second >= total * 5 / 6]
    return int(statistics.median(after) - statistics.median(before))


def memory_fault(samples: Sequence[tuple[float, int]]) -> str | None:
    """Flat means: within 2 MiB or 4 %, whichever is more."""
    growth = memory_growth(samples)
    if growth is None or growth <= max(2 * MIB, 0.04 * samples[-1][1]):
        return None
    return f"memory grew by {growth / MIB:.1f} MiB in the second half"


def client_faults(tally: Counter[str]) -> list[str]:
    """What well-behaved clients did not get, and what the gateway never let go of."""
    wrong = {name: count for name, count in tally.items() if name.startswith("wrong")}
    lines = [f"{name}: {count} times" for name, count in tally.items() if "never" in name]
    if sum(wrong.values()) > ALLOWED_SHARE * (sum(wrong.values()) + tally["good answers"]):
        lines += [f"well-behaved clients: {name}, {count} times" for name, count in wrong.items()]
    if not tally["good answers"]:
        lines.append("not one good answer")
    return lines
