"""The CPU scenarios: servers all alive at once, asked in turn, round after round."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from loadtest.bench.generator import Sample, Target, measure, run
from loadtest.bench.peers import MODES, PEERS, SMALL, Instance, start
from loadtest.bench.process import ROOT, HarnessError, Sandbox, wait_for_status
from loadtest.bench.results import Figure, Results


@dataclass(frozen=True)
class Plan:
    """How long and how often. Many short rounds rather than few long ones: on a shared machine the speed of a core
    changes from one second to the next, and what is compared should lie close together."""

    rounds: int = 9
    seconds: float = 1.0
    warm_up: float = 1.0
    idle_connections: int = 5000
    websockets: int = 2000
    slow_clients: int = 5000
    stream_bytes: int = 1 << 30
    slow_seconds: float = 20.0
    starts: int = 3
    repeats: int = 50  # of disturbed samples, in all: the whole bench must come to an end in time
    workers: int = 4  # of the gateway, where that is what is measured
    pairs: int = 5
    reload_seconds: float = 60.0
    reload_workers: int = 1
    reloads: int = 200
    crowd_websockets: int = 500
    crowd_downloads: int = 50
    crowd_route: str = "proxied"


QUICK = Plan(
    rounds=2,
    warm_up=0.0,
    idle_connections=1000,
    websockets=200,
    slow_clients=500,
    stream_bytes=1 << 28,
    slow_seconds=4.0,
    starts=1,
    repeats=4,
    pairs=1,
    reload_seconds=6.0,
    reloads=20,
    crowd_websockets=50,
    crowd_downloads=5,
)

PAIRS = 5
TRIES = 3
MOST_STOLEN = 0.05  # of the machine's time; what is stolen is counted as the server's, so more of it spoils a sample


@dataclass(frozen=True)
class Cell:
    """One thing that is measured in every round."""

    label: str
    instance: Instance
    target: Target


@dataclass
class Bench:
    """What the scenarios share: the machine's cores, the backend, the peers that run and what was found so far."""

    sandbox: Sandbox
    plan: Plan
    peers: list[str]
    gateway_core: int
    load_core: int
    backend: Instance
    results: Results
    usable: list[int] = field(default_factory=list)
    running: dict[tuple[str, str], Instance] = field(default_factory=dict)
    repeated: int = 0

    @property
    def gateway_cores(self) -> list[int]:
        """Where several workers run: everywhere but on the generator's core, where there is more than one."""
        return [core for core in self.usable if core != self.load_core] or [self.gateway_core]

    def instance(self, peer: str, mode: str) -> Instance:
        """The running instance of a peer, started when it is first asked for."""
        if (peer, mode) not in self.running:
            self.running[peer, mode] = start(self.sandbox, peer, mode, self.backend.port, self.gateway_core)
        return self.running[peer, mode]

    def instances(self, mode: str, *, without: str = "") -> list[Instance]:
        """Every peer in that mode. One that does not start is a problem of the report, and the others go on."""
        found = []
        for peer in self.peers:
            if peer != without:
                try:
                    found.append(self.instance(peer, mode))
                except HarnessError as error:
                    self.problem(str(error))
        return found

    def stop_all(self) -> None:
        """Ends the gateways; the backend stays."""
        self.sandbox.stop(*(instance.child for instance in self.running.values()))
        self.running.clear()

    def problem(self, text: str) -> None:
        self.results.problems.append(text)
        say(f"  problem: {text}")


def say(text: str) -> None:
    """Progress goes to standard error; the report alone is on standard output."""
    print(text, file=sys.stderr, flush=True)


def rotate(bench: Bench, scenario: str, cells: list[Cell], seconds: float) -> None:
    """A B C, C B A, A B C, ...: what disturbs the machine for a while disturbs all. What keeps failing is out."""
    for cell in cells if bench.plan.warm_up else []:
        run(bench.sandbox, cell.target, bench.plan.warm_up, bench.load_core)
    samples: dict[str, list[Sample]] = {cell.label: [] for cell in cells}
    for number in range(bench.plan.rounds):
        for cell in cells if number % 2 == 0 else reversed(cells):
            if cell.label in samples:
                sample = _sample(bench, cell, seconds)
                samples[cell.label].append(sample)
                say(f"  {scenario} {number + 1}/{bench.plan.rounds} {cell.label:<14} {_words(sample)}")
                if sample.problem:
                    bench.problem(f"{scenario}, {cell.label}: {sample.problem}")
                    del samples[cell.label]
    bench.results.samples[scenario] = samples


def pairs(bench: Bench, cell: Cell, beside: Callable[[], AbstractContextManager[None]]) -> None:
    """Latency alone and while `beside` lasts, in pairs whose order alternates. The cell's label is the
    scenario. HarnessError at the first sample with a problem."""
    samples: dict[str, list[Sample]] = {"alone": [], "beside": []}
    for number in range(PAIRS):
        for label in ("alone", "beside") if number % 2 == 0 else ("beside", "alone"):
            with beside() if label == "beside" else nullcontext():
                sample = measure(bench.sandbox, cell.instance.child, cell.target, bench.plan.seconds, bench.load_core)
            if sample.problem:
                raise HarnessError(f"{label}: {sample.problem}")
            samples[label].append(sample)
            shown = f"99 % within {sample.p99_ms:.2f} ms, {sample.stolen:.0%} stolen"
            say(f"  {cell.label} {number + 1}/{PAIRS} {label:<14} {shown}")
    bench.results.samples[cell.label] = samples


def _sample(bench: Bench, cell: Cell, seconds: float) -> Sample:
    """One run; repeated when it failed or the host took the machine away meanwhile. The least disturbed one counts."""
    tries: list[Sample] = []
    while not tries or tries[-1].problem or tries[-1].stolen > MOST_STOLEN:
        if tries:
            if len(tries) == TRIES or bench.repeated == bench.plan.repeats:
                break
            bench.repeated += 1
            say(f"  {cell.label}: {tries[-1].problem or f'{tries[-1].stolen:.0%} stolen by the host'}; once more")
        tries.append(measure(bench.sandbox, cell.instance.child, cell.target, seconds, bench.load_core))
    return min(tries, key=lambda sample: (sample.problem is not None, sample.stolen))


def _words(sample: Sample) -> str:
    return f"{sample.cpu_us:7.1f} us CPU/request {sample.per_second:8.0f} requests/s, {sample.stolen:.0%} stolen"


def small(bench: Bench) -> None:
    """A GET with nine headers, a 123-byte JSON answer: every peer bare and full, and the backend alone."""
    cells = [Cell("backend direct", bench.backend, Target(bench.backend.port, (SMALL,)))]
    for mode in MODES:
        cells += [Cell(one.label, one, Target(one.port, (SMALL,))) for one in bench.instances(mode)]
    rotate(bench, "small", cells, bench.plan.seconds)


def own(bench: Bench) -> None:
    """What the gateway answers itself, beside what it proxies, with the full chain."""
    gateway = bench.instance("gateway", "full")
    cells = [
        Cell("proxied", gateway, Target(gateway.port, (SMALL,))),
        Cell("respond", gateway, Target(gateway.port, ("/ping",))),
        Cell("not found", gateway, Target(gateway.port, ("/nowhere",), succeeds=False)),
    ]
    rotate(bench, "own", cells, bench.plan.seconds)


def large(bench: Bench) -> None:
    """Answers of 64 KiB and 1 MiB with the full chain."""
    instances = bench.instances("full", without="naive")
    cells = [
        Cell(f"{size} {one.peer}", one, Target(one.port, (f"/size/{size}",)))
        for size in ("64k", "1m")
        for one in instances
    ]
    rotate(bench, "large", cells, bench.plan.seconds)


def route_lines(count: int) -> str:
    """That many routes as lines of the gateway's YAML."""
    return "\n".join(
        f'  - {{name: r{number}, match: {{path: "/r{number}/items/{{id}}"}}, to: backend}}' for number in range(count)
    )


def routes(bench: Bench) -> None:
    """10 and 10,000 routes, bare, every route asked in turn; and how long the 10,000 take to load."""
    cells = []
    loaded: dict[int, list[float]] = {}
    for count in (0, 10, 10_000):
        instance, took = _start_with(bench, count)
        loaded[count] = [took]
        for _ in range(bench.plan.starts - 1):
            bench.sandbox.stop(instance.child)
            instance, took = _start_with(bench, count)
            loaded[count].append(took)
        if count == 0:
            bench.sandbox.stop(instance.child)
            continue
        paths = tuple(f"/r{number}/items/42" for number in range(count))
        wait_for_status(instance.port, paths[-1], instance.child)
        cells.append(Cell(f"{count} routes", instance, Target(instance.port, paths)))
    _time_check(bench, cells[-1].instance)
    figures = bench.results.figures
    empty, full = statistics.median(loaded[0]), statistics.median(loaded[10_000])
    figures["routes.start"] = Figure("routes", empty, "s", "start to ready, no extra routes")
    figures["routes.load"] = Figure("routes", full - empty, "s", "start to ready with 10,000 more routes, less that")
    rotate(bench, "routes", cells, bench.plan.seconds)
    for cell in cells:
        bench.sandbox.stop(cell.instance.child)


def _start_with(bench: Bench, count: int) -> tuple[Instance, float]:
    began = time.monotonic()
    instance = start(
        bench.sandbox, "gateway", "bare", bench.backend.port, bench.gateway_core, routes=route_lines(count), wait=""
    )
    wait_for_status(instance.admin, "/readyz", instance.child, seconds=120.0)
    return instance, time.monotonic() - began


def _time_check(bench: Bench, instance: Instance) -> None:
    """`gateway check` on the large file: a figure without a bar, since it also looks for shadowed routes."""
    began = time.monotonic()
    command = [sys.executable, "-m", "gateway", "check", "-c", str(instance.config)]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    took = time.monotonic() - began
    if answer.returncode:
        raise HarnessError(f"gateway check refuses 10,000 routes: {answer.stdout[-500:]!r} {answer.stderr[-500:]!r}")
    bench.results.figures["routes.check"] = Figure("routes", took, "s", "gateway check with 10,000 routes, all of it")


def missing(peers: list[str]) -> dict[str, str]:
    """The peers that are not there, and how one gets them."""
    return {name: PEERS[name].install for name in peers if PEERS[name].find() is None}
