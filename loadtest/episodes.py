"""Three endpoints under steady load while one of them, and then all, fail in every way: what do callers notice?

Real processes and real signals. Used by `make bench`, and by a test with less time.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import aiohttp

from loadtest.bench.process import ROOT, HarnessError, ask, free_port

STARTS_WITHIN = 20.0
RETURNS_WITHIN = 60.0
CONFIG = """\
version: 1
listeners: [{{bind: "127.0.0.1:{port}"}}]
admin: {{bind: "127.0.0.1:{admin}"}}
upstreams:
  service:
    endpoints: [{endpoints}]
    timeouts: {{connect: 300ms, response: 2s}}
    retries: {{attempts: 3, on: [connect, reset, timeout, 5xx], per_try: 500ms}}
    outliers: {{ejection: {ejection}}}
routes:
  - {{name: plain, match: {{path: /plain}}, to: service}}
  - name: guarded
    match: {{path: /guarded}}
    to: service
    plugins: [breaker: {{requests: 10, sleep: 2s, fallback: {{text: instead}}}}]
"""


@dataclass
class Episode:
    """What callers saw in one episode. `served` counts good answers by the port that gave them."""

    name: str
    requests: int = 0
    errors: int = 0
    fallbacks: int = 0
    latencies: list[float] = field(default_factory=list)
    served: Counter[str] = field(default_factory=Counter)

    @property
    def error_share(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def p99_ms(self) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)] * 1000


class Stage:
    """The gateway and its three services. A context; leaving it ends all processes."""

    def __init__(self, folder: Path, *, ejection: str = "5s", pin: Callable[[], None] | None = None) -> None:
        """`pin` is called in the gateway's process before it starts."""
        self.port, self.admin = free_port(), free_port()
        self.services = [free_port() for _ in range(3)]
        self._pin = pin
        self._running: dict[int, subprocess.Popen[bytes]] = {}
        endpoints = ", ".join(f'"http://127.0.0.1:{port}"' for port in self.services)
        self._config = folder / "episodes.yaml"
        text = CONFIG.format(port=self.port, admin=self.admin, endpoints=endpoints, ejection=ejection)
        self._config.write_text(text)

    def __enter__(self) -> Self:
        try:
            for port in self.services:
                self.start(port)
            command = [sys.executable, "-m", "gateway", "run", "-c", str(self._config)]
            self._spawn(self.port, command, self._pin)
            self._wait(self.admin, "/readyz")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._running.values():
            process.kill()
            process.wait()
        self._running.clear()

    def start(self, port: int) -> None:
        """A service at that port, until it is killed."""
        self._spawn(port, [sys.executable, "-m", "loadtest.failing_service", "--port", str(port)], None)
        self._wait(port, "/")

    def kill(self, port: int) -> None:
        """SIGKILL."""
        process = self._running.pop(port)
        process.kill()
        process.wait()

    def signal(self, port: int, number: signal.Signals) -> None:
        os.kill(self._running[port].pid, number)

    def mode(self, port: int, mode: str) -> None:
        """How the service at that port answers from now on."""
        ask(port, f"/_mode/{mode}")

    def _spawn(self, port: int, command: list[str], prepare: Callable[[], None] | None) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        quiet = subprocess.DEVNULL
        self._running[port] = subprocess.Popen(
            command,
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            cwd=ROOT,
            env=environment,
            preexec_fn=prepare,  # noqa: PLW1509 (it only pins the process)
        )

    def _wait(self, port: int, path: str) -> None:
        deadline = time.monotonic() + STARTS_WITHIN
        while ask(port, path) != 200:
            if time.monotonic() > deadline:
                raise HarnessError(f"nothing answers at {port}{path}")
            time.sleep(0.02)


async def load(session: aiohttp.ClientSession, stage: Stage, name: str, path: str, rate: int, count: int) -> Episode:
    """That many requests, so many a second, whether the ones before were answered or not."""
    episode = Episode(name)
    began = time.monotonic()
    asked = []
    for number in range(count):
        await asyncio.sleep(max(0.0, began + number / rate - time.monotonic()))
        asked.append(asyncio.create_task(_one(session, f"http://127.0.0.1:{stage.port}{path}", episode)))
    await asyncio.gather(*asked)
    return episode


async def _one(session: aiohttp.ClientSession, url: str, episode: Episode) -> None:
    began = time.monotonic()
    episode.requests += 1
    try:
        async with session.get(url) as answer:
            text = await answer.text()
            if answer.status != 200:
                episode.errors += 1
            elif "Gateway-Fallback" in answer.headers:
                episode.fallbacks += 1
            else:
                episode.served[text] += 1
    except (aiohttp.ClientError, TimeoutError):
        episode.errors += 1
    episode.latencies.append(time.monotonic() - began)


async def returns(session: aiohttp.ClientSession, stage: Stage, port: int) -> float:
    """Ask until the endpoint serves again; how many seconds that took."""
    began = time.monotonic()
    while True:
        episode = await load(session, stage, "return", "/plain", 100, 20)
        if episode.served[str(port)]:
            return time.monotonic() - began
        if time.monotonic() - began > RETURNS_WITHIN:
            raise HarnessError(f"no traffic returns to {port}")


async def play(stage: Stage, *, rate: int = 150, count: int = 900) -> list[Episode]:
    """Every episode, each with `count` requests; one endpoint fails in each but the last, where all are killed."""
    victim = stage.services[0]
    acts: list[tuple[str, Callable[[], None], Callable[[], None]]] = [
        ("killed", lambda: stage.kill(victim), lambda: stage.start(victim)),
        (
            "hung",
            lambda: stage.signal(victim, signal.SIGSTOP),
            lambda: stage.signal(victim, signal.SIGCONT),
        ),
        ("resetting", lambda: stage.mode(victim, "reset"), lambda: stage.mode(victim, "ok")),
        ("answering 500", lambda: stage.mode(victim, "500"), lambda: stage.mode(victim, "ok")),
    ]
    episodes = []
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await load(session, stage, "warm", "/plain", rate, rate)
        for name, fail, heal in acts:
            fail()
            episodes.append(await load(session, stage, name, "/plain", rate, count))
            heal()
            await returns(session, stage, victim)
            episodes.append(await load(session, stage, f"{name}, then back", "/plain", rate, count))
        await load(session, stage, "warm", "/guarded", rate, rate)
        for port in stage.services:
            stage.kill(port)
        episodes.append(await load(session, stage, "all killed, fallback", "/guarded", rate, count))
    return episodes
