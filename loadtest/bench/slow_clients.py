"""Thousands of clients that send or read one byte a second: what they cost the others, and when they are cut."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

from loadtest.bench.generator import Target
from loadtest.bench.peers import SMALL, Instance, start
from loadtest.bench.process import ROOT, HarnessError, wait_for_status
from loadtest.bench.resilience import hanging_port
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, Cell, pairs, say

PATIENCE = 40.0
SETTLE = 2.0
# Slow clients hold connections of their upstream: theirs is another one than that of the honest clients.
UPSTREAMS = """\
  hung:
    endpoints: ["http://127.0.0.1:{port}"]
    pool: {{max_connections: 8192}}
  read:
    endpoints: ["http://127.0.0.1:{backend}"]
    pool: {{max_connections: 8192}}"""
ROUTES = """\
  - {name: slow, match: {path: /slow}, to: hung}
  - {name: read, match: {path: /read}, to: read, rewrite: {path: /size/1m}}
timeouts: {request_head: 5s, request_body: 5s, idle: 10s}"""
CLIENTS = re.compile(rb'^gateway_connections\{side="client",state="\w+"\} (\d+)', re.MULTILINE)


def slow_clients(bench: Bench) -> None:
    """Latency of honest clients, alone and beside slow ones, in pairs; then how long the gateway keeps the slow ones
    that come no more."""
    bench.stop_all()
    with hanging_port() as port:
        backend, core = bench.backend.port, bench.gateway_core
        upstreams = UPSTREAMS.format(port=port, backend=backend)
        gateway = start(bench.sandbox, "gateway", "full", backend, core, routes=ROUTES, upstreams=upstreams)
        wait_for_status(gateway.port, "/read", gateway.child)
        cell = Cell("slow_clients", gateway, Target(gateway.port, (SMALL,)))
        pairs(bench, cell, lambda: _slow(bench, gateway))
        bench.sandbox.stop(gateway.child)


@contextlib.contextmanager
def _slow(bench: Bench, gateway: Instance) -> Iterator[None]:
    """They are there all the while, and afterwards the gateway is given time to cut them."""
    count = bench.plan.slow_clients
    command = [sys.executable, "-m", "loadtest.slow_clients", "--port", str(gateway.port), "-c", str(count)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            if child.stdout.readline() != b"ready\n":
                raise HarnessError("the slow clients did not come to begin")
            # What they asked for in a burst is under way, and is no slowness yet.
            time.sleep(SETTLE)
            yield
            child.stdin.close()
            began = time.monotonic()
            while (left := _connected(gateway)) and time.monotonic() - began < PATIENCE:
                time.sleep(0.25)
        finally:
            child.kill()
    took = time.monotonic() - began
    figures = bench.results.figures
    longest = figures.get("slow_clients.seconds")
    took = max(took, longest.value if longest else 0.0)
    says = f"until {count} slow clients were cut, head and body 5 s, idle 10 s"
    figures["slow_clients.seconds"] = Figure("slow_clients", took, "s", says)
    say(f"  {left} left after {took:.1f} s")


def _connected(gateway: Instance) -> int:
    """Connections of clients that the gateway has."""
    with urllib.request.urlopen(f"http://127.0.0.1:{gateway.admin}/metrics", timeout=10) as answer:
        return sum(map(int, CLIENTS.findall(answer.read())))
