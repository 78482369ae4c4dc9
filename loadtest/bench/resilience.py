"""What resilience costs while nothing fails, and what a service that hangs costs the others."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import Iterator

from loadtest.bench.generator import HEADERS, Target
from loadtest.bench.peers import Instance, start
from loadtest.bench.process import wait_for_status
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, Cell, pairs, rotate, say
from loadtest.episodes import Stage, play

HUNG_CONNECTIONS = 32
UPSTREAMS = """\
  guarded:
    endpoints: ["http://127.0.0.1:{backend}"]
    timeouts: {{connect: 1s, response: 120s, body: 60s}}
    pool: {{max_connections: 256, max_queue: 1024, queue_timeout: 5s, idle: 60s}}
    retries: {{attempts: 2, on: [connect, reset, 503]}}
  hung:
    endpoints: ["http://127.0.0.1:{hung}"]
    timeouts: {{connect: 1s, response: 1s}}"""
ROUTES = """\
  - {name: plain, match: {path: /plain}, to: backend, rewrite: {path: /small}}
  - {name: guarded, match: {path: /guarded}, to: guarded, rewrite: {path: /small}, plugins: [breaker]}
  - {name: hung, match: {path: /hung}, to: hung}"""


@contextlib.contextmanager
def hanging_port() -> Iterator[int]:
    """A port where connections open and nothing ever comes: nobody accepts what the kernel took."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(4096)
        yield listener.getsockname()[1]


def _gateway(bench: Bench, hung: int) -> Instance:
    upstreams = UPSTREAMS.format(backend=bench.backend.port, hung=hung)
    instance = start(
        bench.sandbox,
        "gateway",
        "full",
        bench.backend.port,
        bench.gateway_core,
        routes=ROUTES,
        upstreams=upstreams,
    )
    wait_for_status(instance.port, "/guarded", instance.child)
    return instance


def guarded(bench: Bench) -> None:
    """The same request with and without a breaker and a retry policy, full chain."""
    with hanging_port() as hung:
        instance = _gateway(bench, hung)
        cells = [Cell(name, instance, Target(instance.port, (f"/{name}",))) for name in ("plain", "guarded")]
        rotate(bench, "guarded", cells, bench.plan.seconds)
        bench.sandbox.stop(instance.child)


def neighbours(bench: Bench) -> None:
    """Latency of one route, alone and while another route's upstream hangs, in pairs."""
    with hanging_port() as hung:
        instance = _gateway(bench, hung)
        cell = Cell("neighbours", instance, Target(instance.port, ("/plain",)))
        pairs(bench, cell, lambda: _asking(bench, instance.port))
        bench.sandbox.stop(instance.child)


@contextlib.contextmanager
def _asking(bench: Bench, port: int) -> Iterator[None]:
    """Requests to the hung upstream, all the while, from the generator's core."""
    headers = [word for name, value in HEADERS for word in ("-H", f"{name}: {value}")]
    own = [sys.executable, "-m", "loadtest.own_generator", f"-c{HUNG_CONNECTIONS}", "-d60", *headers]
    child = bench.sandbox.start("asker", [*own, f"http://127.0.0.1:{port}/hung"], bench.load_core)
    try:
        # It is under way once one of its requests has timed out.
        wait_for_status(port, "/hung", bench.backend.child, expect=504)
        yield
    finally:
        bench.sandbox.stop(child)


def episodes(bench: Bench) -> None:
    """One of three endpoints fails in every way, then all of them: errors that callers see, and how late a fallback
    is."""
    with Stage(bench.sandbox, core=bench.gateway_core) as stage:
        found = asyncio.run(play(stage))
    for episode in found:
        say(f"  {episode.name:<26} {episode.error_share:7.2%} errors, 99 % within {episode.p99_ms:.1f} ms")
    figures = bench.results.figures
    worst = max(episode.error_share for episode in found) * 100
    figures["episodes.errors"] = Figure("episodes", worst, "%", "requests with an error in the worst episode")
    last = found[-1]
    share = last.fallbacks / last.requests * 100
    figures["episodes.fallbacks"] = Figure("episodes", share, "%", "answered by the fallback, all endpoints killed")
    figures["episodes.fallback_p99"] = Figure("episodes", last.p99_ms, "ms", "99th percentile of those")
