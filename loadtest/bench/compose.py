"""What a composition costs beside the proxied requests that it makes, and how long beside its slowest chain."""

from __future__ import annotations

import http.client
import statistics
import time

from loadtest.bench.generator import Target
from loadtest.bench.peers import start
from loadtest.bench.process import wait_for_status
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, Cell, rotate

PICK = "{id: id, name: name, price: price, stock: stock}"
ROUTES = f"""\
  - {{name: plain, match: {{path: /plain}}, to: backend, rewrite: {{path: /small}}}}
  - name: composed
    match: {{path: "/composed/{{id}}"}}
    compose:
      parts:
        product: {{from: backend, path: "/small/{{id}}", required: true}}
        reviews: {{from: backend, path: "/small?item={{id}}"}}
        seller: {{from: backend, path: "/small"}}
  - name: picked
    match: {{path: "/picked/{{id}}"}}
    compose:
      parts:
        product: {{from: backend, path: "/small/{{id}}", required: true, pick: "{PICK}"}}
        reviews: {{from: backend, path: "/small?item={{id}}", pick: "{PICK}"}}
        seller: {{from: backend, path: "/small", pick: "{PICK}"}}
  - name: chained
    match: {{path: "/chained/{{id}}"}}
    compose:
      parts:
        product: {{from: backend, path: "/small/{{id}}", required: true}}
        reviews: {{from: backend, path: "/small?item={{id}}"}}
        seller: {{from: backend, path: "/users/{{product.id}}"}}"""
# Each path with how many requests one after the other its slowest chain is.
CHAINS = {"/composed/42": 1, "/picked/42": 1, "/chained/42": 2}
ASKED = 200


def compose(bench: Bench) -> None:
    """One proxied request, three parts as they come, and three that are picked from. Full chain."""
    instance = start(bench.sandbox, "gateway", "full", bench.backend.port, bench.gateway_core, routes=ROUTES)
    wait_for_status(instance.port, "/plain", instance.child)
    paths = {"plain": "/plain", "composed": "/composed/42", "picked": "/picked/42"}
    cells = [Cell(name, instance, Target(instance.port, (path,))) for name, path in paths.items()]
    rotate(bench, "compose", cells, bench.plan.seconds)
    behind = max(_behind(instance.port, bench.plan.rounds))
    says = "median of a composition less that of its slowest chain, one client"
    bench.results.figures["compose.behind"] = Figure("compose", behind, "ms", says)
    bench.sandbox.stop(instance.child)


def _behind(port: int, rounds: int) -> list[float]:
    """For each composition, milliseconds by which its median exceeds that of its slowest chain; asked in turn."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    taken: dict[str, list[float]] = {path: [] for path in ("/plain", *CHAINS)}
    for _ in range(rounds):
        for path, times in taken.items():
            for _ in range(ASKED):
                began = time.perf_counter()
                connection.request("GET", path)
                connection.getresponse().read()
                times.append((time.perf_counter() - began) * 1000)
    connection.close()
    medians = {path: statistics.median(times) for path, times in taken.items()}
    return [medians[path] - length * medians["/plain"] for path, length in CHAINS.items()]
