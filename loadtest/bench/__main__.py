"""`python -m loadtest.bench`: runs the scenarios, prints the table, writes JSON and the chart."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from gateway import proxy
from loadtest.bench import (
    admitted,
    chart,
    compose,
    generator,
    identity,
    memory,
    reloads,
    report,
    resilience,
    scenarios,
    slow_clients,
    tls,
    websockets,
    workers,
)
from loadtest.bench.peers import PEERS, start_backend, version
from loadtest.bench.process import ROOT, HarnessError, Sandbox, cores, raise_file_limit
from loadtest.bench.results import Results, exit_code, judge
from loadtest.bench.scenarios import QUICK, Bench, Plan, say

SCENARIOS: dict[str, Callable[[Bench], None]] = {
    "small": scenarios.small,
    "own": scenarios.own,
    "large": scenarios.large,
    "routes": scenarios.routes,
    "guarded": resilience.guarded,
    "identity": identity.identity,
    "admitted": admitted.admitted,
    "compose": compose.compose,
    "neighbours": resilience.neighbours,
    "episodes": resilience.episodes,
    "idle": memory.idle,
    "websockets": websockets.websockets,
    "slow": memory.slow,
    "slow_clients": slow_clients.slow_clients,
}
# These run for minutes, or need several workers, and only when they are named.
LIFECYCLE: dict[str, Callable[[Bench], None]] = {
    "reloads": reloads.reloads,
    "kills": workers.kills,
    "restart": workers.restart,
    "scaling": workers.scaling,
    "shared": admitted.shared,
    "tls": tls.tls,
}
ALL = {**SCENARIOS, **LIFECYCLE}
GATEWAY_ONLY = {"own", "routes", "slow", "guarded", "identity", "admitted", "compose", "neighbours", "episodes"}
GATEWAY_ONLY |= LIFECYCLE.keys() - {"tls"}
SETTINGS = ("rounds", "seconds", "workers", "pairs", "reload_seconds", "reloads", "crowd_websockets", "crowd_downloads")
SETTINGS += ("crowd_route", "reload_workers")
GATEWAY_ONLY |= {"websockets", "slow_clients"}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m loadtest.bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two short rounds: is everything in order, not how fast")
    parser.add_argument("--only", nargs="+", choices=PEERS, metavar="PEER", help=f"of {', '.join(PEERS)}")
    parser.add_argument("--scenario", nargs="+", choices=ALL, help=f"default: all but {', '.join(LIFECYCLE)}")
    parser.add_argument("--rounds", type=int, help="how often each server is measured")
    parser.add_argument("--seconds", type=float, help="how long each time")
    parser.add_argument("--workers", type=int, help="of the gateway, for kills, restart and shared")
    parser.add_argument("--pairs", type=int, help="reloads: how often each of the two is measured")
    parser.add_argument("--reload-seconds", type=float, help="reloads: how long each time")
    parser.add_argument("--reload-workers", type=int, help="reloads: of the gateway")
    parser.add_argument("--reloads", type=int, help="reloads: how many in that time")
    parser.add_argument("--crowd-websockets", type=int, help="reloads, kills: how many are open")
    parser.add_argument("--crowd-downloads", type=int, help="reloads: how many slow ones are open")
    parser.add_argument("--crowd-route", choices=reloads.WEBSOCKETS, help="reloads, kills: how they go on")
    parser.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed or could not be measured")
    parser.add_argument("--json", type=Path, default=ROOT / "loadtest/results/bench.json", metavar="FILE")
    parser.add_argument("--chart", type=Path, default=ROOT / "docs/bench.svg", metavar="FILE")
    return parser.parse_args()


def plan_of(options: argparse.Namespace) -> Plan:
    plan = QUICK if options.quick else Plan()
    changes = {name: getattr(options, name) for name in SETTINGS if getattr(options, name) is not None}
    return Plan(**{**asdict(plan), **changes})


def measure(bench: Bench, chosen: list[str]) -> None:
    """Runs the scenarios. One that fails is a problem of the report, and the next one has its turn."""
    for name in chosen:
        if name in GATEWAY_ONLY and "gateway" not in bench.peers:
            say(f"{name}: left out, it needs the gateway")
            continue
        say(f"{name}:")
        try:
            ALL[name](bench)
        except HarnessError as error:
            bench.problem(f"{name}: {error}")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    say(f"written: {path}")


def main() -> int:
    options = parse()
    if sys.platform != "linux":
        say("the bench needs Linux: it reads what the kernel accounts to a process from /proc")
        return 2
    wanted = options.only or list(PEERS)
    chosen = options.scenario or list(SCENARIOS)
    plan = plan_of(options)
    results = Results(absent=scenarios.missing(wanted))
    present = [name for name in wanted if name not in results.absent]
    for name, install in results.absent.items():
        say(f"absent: {name} (not installed; {install})")
    results.versions = {name: version(PEERS[name], PEERS[name].find() or "") for name in present}
    if not (proxy.__file__ or "").endswith(".py"):
        results.versions["gateway"] += " (compiled)"
    raise_file_limit()
    gateway_core, load_core = cores()
    usable = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {load_core})
    with Sandbox() as sandbox:
        backend = start_backend(sandbox, load_core)
        bench = Bench(sandbox, plan, present, gateway_core, load_core, backend, results, usable)
        measure(bench, chosen)
    verdicts = judge(results, {*chosen, *results.samples})
    circumstances = report.about(generator.name(), asdict(plan), backend.peer)
    print(report.render(results, verdicts, circumstances))
    write(options.json, json.dumps(report.document(results, verdicts, circumstances), indent=1) + "\n")
    entries = chart.entries(results)
    if entries:
        write(options.chart, chart.draw(entries, f"{circumstances['date']}, {circumstances['machine']}"))
    return exit_code(results.problems, verdicts, options.strict)


if __name__ == "__main__":
    raise SystemExit(main())
