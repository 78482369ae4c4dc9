"""Reloads under full load, each with other routes, upstreams and plugins: what requests and tunnels notice."""

from __future__ import annotations

import http.client
import json
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loadtest.bench.generator import Sample, Target, measure, run
from loadtest.bench.peers import Instance, start, template_values, write_config
from loadtest.bench.process import ROOT, Child, HarnessError, free_port, wait_for_status
from loadtest.bench.results import Figure
from loadtest.bench.scenarios import Bench, say
from loadtest.bench.stats import Spread

ROUTES = 200
UPSTREAMS = 10
# What a route's plugins are, in turn; @ is the number of the configuration.
PLUGINS = (
    "[headers: {response: {set: {X-Configuration: '@'}}}]",
    "[rate_limit: {name: limit-@, rate: 10000000/s}]",
    "[breaker: {requests: 1@}]",
    "[]",
)
# `proxied`: through an upstream, as bytes; `app`: the same service mounted on a route, in the gateway's process.
WEBSOCKETS = {
    "proxied": "  - {name: ws, match: {path: /ws}, to: lasting, upgrade: [websocket]}",
    "app": "  - {name: ws, match: {path: /ws}, app: 'long_lived:app'}",
}
START_SECONDS = 60.0


def configuration(number: int, lasting: int, backend: int, websockets: str) -> tuple[str, str]:
    """Routes and upstreams of configuration `number`, as lines of YAML. In each there are others, and each serves all
    of ROUTES paths; what lasts is the same in all."""
    upstreams = [f'  lasting: {{endpoints: ["http://127.0.0.1:{lasting}"], timeouts: {{body: 5m}}}}']
    for one in range(UPSTREAMS):
        name = f"u{one}" if one % 2 else f"u{one}-{number}"
        timeouts, pool = f"{{connect: 1s, response: {10 + number % 20}s}}", f"{{max_connections: {200 + number % 50}}}"
        upstreams.append(f'  {name}: {{endpoints: ["http://127.0.0.1:{backend}"], timeouts: {timeouts}, pool: {pool}}}')
    lines = [WEBSOCKETS[websockets], "  - {name: download, match: {path: /download}, to: lasting}"]
    for one in range(ROUTES):
        upstream = (one + number) % UPSTREAMS
        to = f"u{upstream}" if upstream % 2 else f"u{upstream}-{number}"
        plugins = PLUGINS[(one + number) % len(PLUGINS)].replace("@", str(number))
        match = f'{{path: "/r{one}/items/{{id}}"}}'
        lines.append(f"  - {{name: r{one}, match: {match}, to: {to}, rewrite: {{path: /small}}, plugins: {plugins}}}")
    lines.append(f"  - {{name: only-{number}, match: {{path: /only/{number}}}, respond: {{text: '{number}'}}}}")
    return "\n".join(lines), "\n".join(upstreams)


@dataclass
class Reloader:
    """Writes the file anew and has it read, at a steady pace. Mutable state: how often, how long each took, and what
    was refused."""

    instance: Instance
    values: dict[str, object]
    lasting: int
    websockets: str
    number: int = 0
    took: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def run(self, times: int, seconds: float, stop: threading.Event) -> None:
        """`times` reloads, spread over so many seconds; those that a slow gateway leaves no time for are left out."""
        started = time.monotonic()
        for turn in range(times):
            if stop.wait(max(0.0, started + turn * seconds / times - time.monotonic())):
                return
            self.reload()

    def reload(self) -> None:
        """One, which the gateway has to accept."""
        self.number += 1
        backend = int(str(self.values["BACKEND"]))
        routes, upstreams = configuration(self.number, self.lasting, backend, self.websockets)
        assert self.instance.config is not None
        write_config(self.instance.config, "full", {**self.values, "ROUTES": routes, "UPSTREAMS": upstreams})
        began = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", self.instance.admin, timeout=30.0)
        try:
            connection.request("POST", "/api/reload")
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200:
                self.refused.append(f"{answer.status}: {body[:200]!r}")
        except (OSError, http.client.HTTPException) as error:
            self.refused.append(repr(error))
        finally:
            connection.close()
        self.took.append(time.monotonic() - began)


def start_lasting(bench: Bench) -> int:
    """The service of WebSockets and downloads; its port."""
    port = free_port()
    command = [sys.executable, "-m", "loadtest.long_lived", "--port", str(port)]
    child = bench.sandbox.start("long-lived", command, bench.load_core)
    wait_for_status(port, "/nowhere", child, expect=404)
    return port


class Crowd:
    """The clients that stay, in a process of their own."""

    def __init__(self, bench: Bench, port: int) -> None:
        self._bench = bench
        self._output = bench.sandbox.folder("crowd") / "out"
        plan = bench.plan
        command = [sys.executable, "-m", "loadtest.crowd", "--port", str(port)]
        command += ["--websockets", str(plan.crowd_websockets), "--downloads", str(plan.crowd_downloads)]
        with self._output.open("wb") as file:
            self.child: Child = bench.sandbox.start("crowd", command, bench.load_core, file)
        deadline = time.monotonic() + START_SECONDS
        while not self._output.read_text().startswith("ready\n"):
            self.child.require_alive()
            if time.monotonic() > deadline:
                raise HarnessError("not all WebSockets and downloads could be opened")
            time.sleep(0.05)

    def report(self) -> dict[str, Any]:
        """What became of them; they end."""
        self.child.process.send_signal(signal.SIGTERM)
        try:
            self.child.process.wait(30.0)
        except subprocess.TimeoutExpired:
            raise HarnessError("the crowd does not end") from None
        found: dict[str, Any] = json.loads(self._output.read_text().splitlines()[1])
        return found


def start_gateway(bench: Bench, lasting: int) -> tuple[Instance, Reloader]:
    """The gateway on its first configuration, and who changes it."""
    plan = bench.plan
    routes, upstreams = configuration(0, lasting, bench.backend.port, plan.crowd_route)
    beside = [ROOT / "loadtest/long_lived.py"] if plan.crowd_route == "app" else []
    cores = bench.gateway_core if plan.reload_workers == 1 else bench.gateway_cores
    instance = start(
        *(bench.sandbox, "gateway", "full", bench.backend.port, cores),
        routes=routes,
        upstreams=upstreams,
        workers=plan.reload_workers,
        beside=beside,
    )
    wait_for_status(instance.port, "/r0/items/1", instance.child)
    assert instance.config is not None
    values = template_values(instance.config.parent, instance.port, instance.admin, bench.backend.port)
    return instance, Reloader(instance, values, lasting, plan.crowd_route)


def reloads(bench: Bench) -> None:
    """Pairs of runs, without and with reloads, while the crowd stays; it is one and the same in all of them."""
    plan = bench.plan
    lasting = start_lasting(bench)
    instance, reloader = start_gateway(bench, lasting)
    crowd = Crowd(bench, instance.port)
    target = Target(instance.port, tuple(f"/r{number}/items/42" for number in range(ROUTES)))
    if plan.warm_up:
        run(bench.sandbox, target, plan.warm_up, bench.load_core)
    samples: dict[str, list[Sample]] = {"steady": [], "reloading": []}
    for pair in range(plan.pairs):
        for label in ("steady", "reloading") if pair % 2 == 0 else ("reloading", "steady"):
            before, stop = len(reloader.took), threading.Event()
            times = plan.reloads if label == "reloading" else 0
            thread = threading.Thread(target=reloader.run, args=(times, plan.reload_seconds, stop))
            thread.start()
            try:
                sample = measure(bench.sandbox, instance.child, target, plan.reload_seconds, bench.load_core)
            finally:
                stop.set()
                thread.join()
            done = len(reloader.took) - before
            words = f"{done} reloads, 99 % within {sample.p99_ms:.2f} ms, {sample.per_second:.0f} requests/s"
            say(f"  reloads {pair + 1}/{plan.pairs} {label:<10} {words}, {sample.stolen:.0%} stolen")
            if sample.problem:
                bench.problem(f"reloads, {label}: {sample.problem}")
            if label == "reloading" and done < times:
                bench.problem(f"reloads: {done} of {times} in {plan.reload_seconds:g} s")
            samples[label].append(sample)
    bench.results.samples["reloads"] = samples
    conclude(bench, samples, reloader, crowd.report())
    bench.sandbox.stop(instance.child)
    shutil.rmtree(Path(str(instance.config)).parent, ignore_errors=True)


def conclude(bench: Bench, samples: dict[str, list[Sample]], reloader: Reloader, crowd: dict[str, Any]) -> None:
    """The figures, and what went wrong in words."""
    figures = bench.results.figures
    failed = sum(sample.failed for runs in samples.values() for sample in runs)
    ended = crowd["closed"] + crowd["broken"] + crowd["wrong"]
    figures["reloads.failed"] = Figure("reloads", failed, "", "requests that failed")
    figures["reloads.ended"] = Figure("reloads", ended, "", "WebSockets and downloads that ended")
    figures["reloads.refused"] = Figure("reloads", len(reloader.refused), "", "reloads that were refused")
    says = f"{len(reloader.took)} reloads of {ROUTES} routes: the median, as whoever asks for one sees it"
    median = Spread.of(reloader.took).median if reloader.took else 0.0
    figures["reloads.took"] = Figure("reloads", median * 1000, "ms", says)
    echo = f"99th percentile of {crowd['messages']} echoes on {crowd['open']} WebSockets"
    figures["reloads.echo"] = Figure("reloads", crowd["echo_p99_ms"], "ms", echo)
    read = f"read by {crowd['downloads']} slow downloads"
    figures["reloads.read"] = Figure("reloads", crowd["downloaded"] / 2**20, "MiB", read)
    for text in [*crowd["complaints"], *reloader.refused[:5]]:
        say(f"  {text}")
