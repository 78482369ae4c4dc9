"""The breaker in a running worker: what clients get while it is open, and how an upstream comes back."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from gateway.plugins.breaker import Breaker

from gateway.breaker.circuit import Circuit
from gateway.exchange import Exchange
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.misbehaving import naming, status
from tests.support.polling import PATIENCE, eventually
from tests.support.raw_upstream import OK, Peer, RawUpstream, answering, saying, silent, upstream
from tests.support.runtimes import HEAD, Running, running, write_plugin

QUICK = "requests: 4, sleep: 50ms"
DOOR = '''
from gateway.plugin import Plugin, Reply

class Door(Plugin):
    """Lets nobody pass without a key."""

    async def admit(self, exchange):
        return None if exchange.headers.get("x-key") else Reply.text(401, "who?")
'''


class Service:
    """A script that can be changed while it runs: `failing` answers 500, `holding` keeps an answer back."""

    def __init__(self) -> None:
        self.failing = True
        self.holding = False
        self.go_on = asyncio.Event()

    async def __call__(self, peer: Peer) -> None:
        while True:
            await peer.request()
            if self.holding:
                await self.go_on.wait()
            peer.send(status(500) if self.failing else OK)


@contextlib.asynccontextmanager
async def guarded(
    folder: Path, options: str, *services: RawUpstream, standby: RawUpstream | None = None, behind: str = ""
) -> AsyncIterator[Running]:
    """A worker whose one route has a breaker. At the end no call may be under way for any circuit."""
    names = ", ".join(f"'http://127.0.0.1:{service.port}'" for service in services)
    other = f"  standby: {{endpoints: ['http://127.0.0.1:{standby.port}']}}\n" if standby is not None else ""
    text = (
        f"{HEAD}upstreams:\n  up: {{endpoints: [{names}], timeouts: {{response: 200ms}}, outliers: off}}\n{other}"
        f"routes:\n  - name: all\n    to: up\n    plugins: [breaker: {{{options}}}{behind}]\n"
    )
    async with running(folder, text) as worker:
        yield worker
        await eventually(lambda: worker.runtime.proxy.active == 0)
        assert [circuit.in_flight for circuit in circuits(worker).values()] == [0] * len(circuits(worker))


def circuits(worker: Running) -> dict[str, Circuit]:
    found: dict[str, Circuit] = {}
    for plugin in worker.runtime.generation.plugins.values():
        found.update(getattr(plugin, "breakers", dict)())
    return found


async def ask(worker: Running, *fields: bytes, **options: Any) -> Message:
    async with worker.client() as client:
        return await client.ask(request("/x", *fields, **options))


async def opened(worker: Running, name: str = "all") -> None:
    """Ask until the circuit is open."""
    for _ in range(20):
        # Circuits of endpoints are made when they are met.
        if name in circuits(worker) and circuits(worker)[name].state == "open":
            return
        await ask(worker)
    raise AssertionError(circuits(worker))


async def test_open_breaker_spares_the_service(tmp_path: Path) -> None:
    async with upstream(saying(status(500))) as service, guarded(tmp_path, "requests: 4, sleep: 7s", service) as worker:
        assert [(await ask(worker)).status for _ in range(4)] == [500] * 4
        answer = await ask(worker)
        assert (answer.status, answer.get("retry-after")) == (503, "7")
        assert answer.get("proxy-status") == "gateway; error=destination_unavailable"
        assert b"breaker_open" in answer.body
        assert len(service.requests) == 4


@pytest.mark.parametrize("mode", ["failure", "open"])
@pytest.mark.parametrize(
    ("fallback", "name", "body"),
    [
        ("{json: {items: []}}", "static", b'{"items":[]}'),
        ("{stale: {for: 60s}}", "stale", b"ok"),
        ("{to: standby}", "upstream", b"/x"),
        ("{to: standby, stale: {for: 60s}}", "stale", b"ok"),
    ],
)
async def test_fallback_answers(tmp_path: Path, fallback: str, name: str, body: bytes, mode: str) -> None:
    options = f"requests: 4, sleep: 60s, fallback: {fallback}"
    state = Service()
    async with (
        upstream(state) as service,
        upstream(naming) as standby,
        guarded(tmp_path, options, service, standby=standby) as worker,
    ):
        state.failing = False
        assert (await ask(worker)).get("gateway-fallback") is None
        state.failing = True
        if mode == "open":
            await opened(worker)
        seen = len(service.requests)
        answer = await ask(worker)
        assert (answer.status, answer.body, answer.get("gateway-fallback")) == (200, body, name)
        assert (answer.get("age") is not None) == (name == "stale")
        assert len(service.requests) - seen == (mode == "failure")


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nhalf", None),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwhole", b"whole"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nwhole\r\n0\r\n\r\n", b"whole"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf", None),
    ],
)
async def test_only_what_is_known_to_be_whole_is_kept(tmp_path: Path, answer: bytes, kept: bytes | None) -> None:
    answers = iter([answer])

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(next(answers, status(500)))
        peer.close()

    async with (
        upstream(script) as service,
        guarded(tmp_path, "requests: 9, fallback: {stale: {}, text: none}", service) as worker,
    ):
        async with worker.client() as client:
            client.send(request("/x"))
            await eventually(lambda: worker.runtime.proxy.active == 0 and len(service.requests) == 1)
        assert (await ask(worker)).body == (kept or b"none")
        (plugin,) = worker.runtime.generation.plugin("breaker")
        assert isinstance(plugin, Breaker)
        assert plugin._fallbacks is not None
        assert plugin._fallbacks.stale is not None
        assert plugin._fallbacks.stale.gathering == 0


@pytest.mark.parametrize("scope", ["route", "upstream"])
async def test_body_that_takes_long_is_not_slow(tmp_path: Path, scope: str) -> None:
    go_on = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no")
        await go_on.wait()
        peer.send(b"k")

    options = f"requests: 1, scope: {scope}, slow: {{over: 300s, share: 1%}}"
    async with (
        upstream(script) as service,
        guarded(tmp_path, options, service) as worker,
        worker.client() as client,
    ):
        client.send(request("/x"))
        (plugin,) = worker.runtime.generation.plugin("breaker")
        assert isinstance(plugin, Breaker)
        await client.read(1)
        (call,) = plugin._permits
        attempt = call.attempt if isinstance(call, Exchange) else call
        assert attempt is not None
        # It began long ago, as far as anybody can tell.
        call.started = attempt.started = attempt.started - 600
        go_on.set()
        await eventually(lambda: worker.runtime.proxy.active == 0)
        (circuit,) = circuits(worker).values()
        counts = circuit.window.totals(0.0)
        assert (circuit.state, counts["success"], counts["slow"]) == ("closed", 1, 0)


@pytest.mark.parametrize("method", ["POST", "PUT"])
async def test_fallback_upstream_gets_the_body(tmp_path: Path, method: str) -> None:
    options = "requests: 2, sleep: 60s, fallback: {to: standby}"
    async with (
        upstream(saying(status(500))) as service,
        upstream(answering) as standby,
        guarded(tmp_path, options, service, standby=standby) as worker,
    ):
        answers = [await ask(worker, method=method, body=b"abc") for _ in range(4)]
        assert [answer.status for answer in answers] == [200] * 4
        assert [message.body for message in standby.requests] == [b"abc"] * 4
        assert len(service.requests) == 2
        assert circuits(worker)["all"].window.totals(0.0)["fallback_success"] == 4


async def test_nobody_passes_an_open_breaker_without_a_key(tmp_path: Path) -> None:
    write_plugin(tmp_path, "door", DOOR)
    options = "requests: 2, sleep: 60s, fallback: {to: standby}"
    async with (
        upstream(saying(status(500))) as service,
        upstream(answering) as standby,
        guarded(tmp_path, options, service, standby=standby, behind=", door") as worker,
    ):
        for _ in range(2):
            await ask(worker, b"X-Key: 1")
        assert circuits(worker)["all"].state == "open"
        seen = len(standby.requests)
        refused = await ask(worker)
        assert (refused.status, refused.get("gateway-fallback"), len(standby.requests)) == (401, None, seen)
        assert (await ask(worker, b"X-Key: 1")).get("gateway-fallback") == "upstream"
        counts = circuits(worker)["all"].window.totals(0.0)
        assert (counts["fallback_success"], counts["fallback_failure"]) == (3, 0)


async def test_only_the_endpoint_that_fails_is_spared(tmp_path: Path) -> None:
    options = "requests: 2, sleep: 60s, scope: endpoint"
    async with (
        upstream(saying(status(500))) as bad,
        upstream(answering) as good,
        guarded(tmp_path, options, bad, good) as worker,
    ):
        for _ in range(6):
            await ask(worker)
        assert len(bad.requests) == 2
        assert circuits(worker)[f"up/127.0.0.1:{bad.port}"].state == "open"
        assert [(await ask(worker)).status for _ in range(10)] == [200] * 10
        assert (len(bad.requests), circuits(worker)[f"up/127.0.0.1:{good.port}"].state) == (2, "closed")


async def test_request_is_refused_when_no_endpoint_is_left(tmp_path: Path) -> None:
    options = "requests: 2, sleep: 60s, scope: endpoint, fallback: {text: instead}"
    async with (
        upstream(saying(status(500))) as first,
        upstream(saying(status(500))) as second,
        guarded(tmp_path, options, first, second) as worker,
    ):
        answers = [await ask(worker) for _ in range(10)]
        assert [(answer.status, answer.body) for answer in answers] == [(200, b"instead")] * 10
        assert (len(first.requests), len(second.requests)) == (2, 2)


@pytest.mark.parametrize("scope", ["route", "upstream", "endpoint"])
async def test_probe_brings_the_service_back(tmp_path: Path, scope: str) -> None:
    state = Service()
    async with upstream(state) as service, guarded(tmp_path, f"{QUICK}, scope: {scope}", service) as worker:
        name = {"route": "all", "upstream": "up", "endpoint": f"up/127.0.0.1:{service.port}"}[scope]
        await opened(worker, name)
        state.failing = False

        async def well() -> None:
            while (await ask(worker)).status != 200:
                await asyncio.sleep(0.005)

        async with asyncio.timeout(PATIENCE):
            await well()
        assert circuits(worker)[name].state == "closed"
        assert (await ask(worker)).status == 200


@pytest.mark.parametrize("scope", ["route", "upstream"])
@pytest.mark.parametrize("way", ["reset", "close"])
async def test_client_that_leaves_during_the_probe_gives_its_permit_back(tmp_path: Path, scope: str, way: str) -> None:
    # A probe that is still out holds up the next one for one sleep.
    options = f"requests: 2, sleep: 2s, scope: {scope}"
    state = Service()
    async with upstream(state) as service, guarded(tmp_path, options, service) as worker:
        name = "all" if scope == "route" else "up"
        await opened(worker, name)
        circuit = circuits(worker)[name]
        circuit.since -= 2
        state.failing, state.holding = False, True
        seen = len(service.requests)
        async with worker.client() as client:
            client.send(request())
            await eventually(lambda: len(service.requests) > seen)
            assert (circuit.state, circuit.in_flight) == ("half_open", 1)
            assert (await ask(worker)).status == 503
            client.reset() if way == "reset" else await client.close()
            await eventually(lambda: circuit.in_flight == 0)
            assert circuit.state == "half_open"
        state.holding = False
        state.go_on.set()
        assert (await ask(worker)).status == 200
        assert circuit.state == "closed"


async def test_probe_that_times_out_opens_again(tmp_path: Path) -> None:
    async with upstream(silent) as service, guarded(tmp_path, "requests: 2, sleep: 60s", service) as worker:
        await opened(worker)
        circuit = circuits(worker)["all"]
        circuit.since -= 60
        assert [(await ask(worker)).status for _ in range(2)] == [504, 503]
        assert (circuit.state, len(service.requests)) == ("open", 3)
