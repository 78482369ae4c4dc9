"""Thousands of clients that send or read one byte a second: what they cost the others, and when they go."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import Iterator

from loadtest.bench.generator import Sample, Target, measure
from loadtest.bench.peers import SMALL, start
from loadtest.bench.process import ROOT, HarnessError
from loadtest.bench.resilience import hanging_port
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, say

PAIRS = 5
PATIENCE = 60.0
# Slow bodies hold their upstream's connections: that upstream is their own.
UPSTREAM = """\
  hung:
    endpoints: ["http://127.0.0.1:{port}"]
    pool: {{max_connections: 8192}}"""
ROUTES = """\
  - {name: slow, match: {path: /slow}, to: hung}
timeouts: {request_head: 5s, request_body: 5s, idle: 10s}"""
SAID = re.compile(rb"left (\d+), the last one went after ([\d.]+) s")


def slow_clients(bench: Bench) -> None:
    """Latency of honest clients, alone and beside slow ones, in pairs; then how many of those stay, and how long."""
    bench.stop_all()
    samples: dict[str, list[Sample]] = {"alone": [], "beside": []}
    with hanging_port() as port:
        upstream = UPSTREAM.format(port=port)
        backend = bench.backend.port
        gateway = start(
            bench.sandbox, "gateway", "full", backend, bench.gateway_core, routes=ROUTES, upstreams=upstream
        )
        target = Target(gateway.port, (SMALL,))
        for number in range(PAIRS):
            for label in ("alone", "beside") if number % 2 == 0 else ("beside", "alone"):
                with _slow(bench, gateway.port) if label == "beside" else contextlib.nullcontext():
                    sample = measure(bench.sandbox, gateway.child, target, bench.plan.seconds, bench.load_core)
                if sample.problem:
                    raise HarnessError(f"slow clients, {label}: {sample.problem}")
                samples[label].append(sample)
                shown = f"99 % within {sample.p99_ms:.2f} ms, {sample.stolen:.0%} stolen"
                say(f"  slow clients {number + 1}/{PAIRS} {label:<14} {shown}")
        bench.sandbox.stop(gateway.child)
    bench.results.samples["slow_clients"] = samples


@contextlib.contextmanager
def _slow(bench: Bench, port: int) -> Iterator[None]:
    """They are there all the while, and afterwards they are waited for until they are cut."""
    count = str(bench.plan.slow_clients)
    command = [sys.executable, "-m", "loadtest.slow_clients", "--port", str(port), "-c", count]
    with subprocess.Popen(
        [*command, "--patience", str(PATIENCE)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        try:
            if child.stdout.readline() != b"ready\n":
                raise HarnessError("the slow clients did not come to begin")
            yield
            said, _ = child.communicate(timeout=PATIENCE + 30)
        finally:
            child.kill()
    match = SAID.search(said)
    if match is None:
        raise HarnessError(f"the slow clients said {said!r}")
    figures, left, longest = bench.results.figures, float(match[1]), float(match[2])
    before = figures.get("slow_clients.left")
    left = max(left, before.value if before else 0.0)
    figures["slow_clients.left"] = Figure("slow_clients", left, "", f"of {count} slow clients, left in the end")
    figures["slow_clients.longest"] = Figure("slow_clients", longest, "s", "the longest life of a slow client")
    say(f"  left {left:g}, the last one went after {longest:.1f} s")
