"""Three endpoints under steady load while one of them, and then all, fail in every way: what do callers notice?

Real processes and real signals. Used by `make bench`, and by a test with less time.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

import aiohttp

from loadtest.bench.process import Child, HarnessError, Sandbox, ask, free_port, wait_for_status
from loadtest.bench.stats import p99

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
        return p99(self.latencies) * 1000


class Stage:
    """The gateway and its three services, in a sandbox. A context; leaving it ends them."""

    def __init__(self, sandbox: Sandbox, *, ejection: str = "5s", core: int | None = None) -> None:
        """The gateway runs on `core`, the services anywhere."""
        self.port, self.admin = free_port(), free_port()
        self.services = [free_port() for _ in range(3)]
        self._sandbox = sandbox
        self._core = core
        self._running: dict[int, Child] = {}
        endpoints = ", ".join(f'"http://127.0.0.1:{port}"' for port in self.services)
        self._config = sandbox.folder("episodes") / "routes.yaml"
        text = CONFIG.format(port=self.port, admin=self.admin, endpoints=endpoints, ejection=ejection)
        self._config.write_text(text)

    def __enter__(self) -> Self:
        try:
            for port in self.services:
                self.start(port)
            command = [sys.executable, "-m", "gateway", "run", "-c", str(self._config)]
            gateway = self._running[self.port] = self._sandbox.start("gateway", command, self._core)
            wait_for_status(self.admin, "/readyz", gateway)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.stop(*self._running.values())
        self._running.clear()

    def start(self, port: int) -> None:
        """A service at that port, until it is killed."""
        command = [sys.executable, "-m", "loadtest.failing_service", "--port", str(port)]
        service = self._running[port] = self._sandbox.start("service", command, None)
        wait_for_status(port, "/", service)

    def kill(self, port: int) -> None:
        """SIGKILL."""
        service = self._running.pop(port)
        service.process.kill()
        self._sandbox.stop(service)

    def signal(self, port: int, number: signal.Signals) -> None:
        self._running[port].process.send_signal(number)

    def mode(self, port: int, mode: str) -> None:
        """How the service at that port answers from now on."""
        ask(port, f"/_mode/{mode}")


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
