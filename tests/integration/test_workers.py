"""Several workers as real processes: what holds for the gateway holds whichever of them is asked, and whoever dies."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp
from prometheus_client.parser import text_string_to_metric_families as parse_text

from tests.support.certificates import client_context, write_server
from tests.support.gateways import request
from tests.support.polling import PATIENCE, eventually, soon
from tests.support.processes import GatewayProcess, gateway_run
from tests.support.raw_client import RawClient, connected
from tests.support.raw_upstream import Peer, RawUpstream, answering, held_until, upstream
from tests.support.runtimes import HEAD, PING, write_config, write_plugin

WORKERS = 3
# Says which worker answered, and how often all of them were asked.
WHO = """
import os
from gateway.plugin import Plugin, Reply
class Who(Plugin):
    async def admit(self, exchange):
        calls = await self.env.shared.add("calls")
        return Reply.text(200, f"{os.getpid()} {calls}")
"""
WHO_ROUTE = "  - {name: who, match: {path: /who}, respond: {text: ''}, plugins: [who]}\n"


async def who(client: RawClient) -> tuple[int, int]:
    """Which worker has the connection, and the number of the call."""
    worker, call = (await client.ask(request("/who"))).body.split()
    return int(worker), int(call)


async def everybody(gateway: GatewayProcess) -> dict[int, RawClient]:
    """An open connection to each of the workers that run, by their process ids. The system divides connections as it
    likes: more are made than are kept."""
    await gateway.admin()
    await eventually(lambda: len(gateway.workers()) == WORKERS)
    port, found = await gateway.port(), dict[int, RawClient]()
    for _ in range(200):
        client = await gateway.stack.enter_async_context(connected(port))
        found.setdefault((await who(client))[0], client)
        if len(found) == WORKERS:
            assert set(found) == set(gateway.workers())
            return found
    raise AssertionError(f"only {len(found)} of {WORKERS} workers answer")


async def statuses(clients: Sequence[RawClient], path: str, times: int) -> list[int]:
    """Of so many requests, spread over connections."""
    return [(await clients[number % len(clients)].ask(request(path))).status for number in range(times)]


async def kill(gateway: GatewayProcess, victim: int) -> int:
    """Kill a worker; the process id of its successor, once that serves."""
    others = set(gateway.workers()) - {victim}
    os.kill(victim, signal.SIGKILL)
    await gateway.says(rf"\({victim}\) was killed by SIGKILL")
    await eventually(lambda: len(gateway.workers()) == WORKERS)
    (successor,) = set(gateway.workers()) - others
    async with asyncio.timeout(PATIENCE):
        while all(row["pid"] != successor for row in (await admin(gateway, "/api/workers"))[1]["workers"]):
            await asyncio.sleep(0.01)
    return successor


async def admin(gateway: GatewayProcess, path: str, body: dict[str, Any] | None = None) -> tuple[int, Any]:
    """Status and data of one request to the admin listener, on a connection of its own: a POST with a body, else a
    GET."""
    url = f"http://{await gateway.admin()}{path}"

    async def exchange() -> tuple[int, Any]:
        method = "GET" if body is None else "POST"
        async with aiohttp.ClientSession() as session, session.request(method, url, json=body) as response:
            return response.status, await (response.json if "json" in response.content_type else response.text)()

    return await soon(exchange())


async def counts(gateway: GatewayProcess) -> dict[tuple[str, ...], float]:
    """Every number of the metrics that only grows."""
    _, text = await admin(gateway, "/metrics")
    return {
        (sample.name, *map(str, sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if family.type in ("counter", "histogram")
    }


ROUTES = f"""{PING}{WHO_ROUTE}
  - {{name: rated, match: {{path: /rated}}, respond: {{text: ''}}, plugins: [rate_limit: {{rate: 100/h, burst: 10}}]}}
  - {{name: held, match: {{path: /held}}, to: held, plugins: [concurrency_limit: {{limit: 4}}]}}
  - {{name: bad, match: {{path: /bad}}, to: bad, plugins: [breaker: {{requests: 4, sleep: 60s}}]}}
  - {{name: good, match: {{path: /good}}, to: good, plugins: [breaker: {{}}]}}
  - {{name: gone, match: {{path: /gone}}, to: gone}}
"""


async def test_what_one_worker_has_all_have_and_those_that_come_later(tmp_path: Path) -> None:
    go = asyncio.Event()

    async def failing(peer: Peer) -> None:
        while True:
            await peer.request()
            peer.send(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")

    write_plugin(tmp_path, "who", WHO)
    async with upstream(held_until(go)) as held, upstream(failing) as bad, upstream(answering) as good:
        ports = {"held": held.port, "bad": bad.port, "good": good.port, "gone": good.port}
        ups = "".join(f"  {name}: {{endpoints: ['http://127.0.0.1:{port}']}}\n" for name, port in ports.items())
        write_config(tmp_path, f"{HEAD}plugins: [rate_metrics]\nupstreams:\n{ups}{ROUTES}")
        async with gateway_run(tmp_path, "--workers", str(WORKERS)) as gateway:
            clients = await everybody(gateway)
            victim, *others = clients
            await _check_limits(gateway, list(clients.values()), held, go)
            await _change(gateway, list(clients.values()), good)
            await statuses(list(clients.values()), "/ping", 7)
            _, calls = await who(clients[others[0]])
            before = await counts(gateway)
            assert before["gateway_requests_total", "('code', '200')", "('method', 'GET')", "('route', 'ping')"] == 7

            successor = await kill(gateway, victim)
            after = await counts(gateway)
            assert {name: value for name, value in before.items() if after.get(name, 0.0) < value} == {}
            fresh = (await everybody(gateway))[successor]
            for word in ("/bad", "/good", "/gone"):
                await _until(fresh, word, 503)
            assert (await who(fresh))[1] > calls + 1


async def _check_limits(
    gateway: GatewayProcess, clients: list[RawClient], held: RawUpstream, go: asyncio.Event
) -> None:
    """Memory and limits are those of all workers."""
    calls = [(await who(client))[1] for client in clients]
    assert calls == list(range(calls[0], calls[0] + WORKERS))

    found = await statuses(clients, "/rated", 30)
    # Without a lock, two that count at the same moment may count as one.
    assert 10 <= found.count(200) <= 12
    assert found.count(200) + found.count(429) == 30

    # Two of each worker, when a worker alone would let all four pass.
    clients = [*clients, *(await everybody(gateway)).values()]
    for client in clients:
        client.send(request("/held"))
    await eventually(lambda: len(held.requests) == 4)
    go.set()
    found = [(await client.response()).status for client in clients]
    assert sorted(found) == [200] * 4 + [429] * 2


async def _change(gateway: GatewayProcess, clients: list[RawClient], good: RawUpstream) -> None:
    """A breaker that one worker opens, one that is forced, and an endpoint that is drained, are so in all workers."""
    first, *others = clients
    assert await statuses([first], "/bad", 4) == [500] * 4
    for other in others:
        await _until(other, "/bad", 503)

    assert await statuses(clients, "/good", WORKERS) == [200] * WORKERS
    assert (await admin(gateway, "/api/breakers/good", {"state": "forced_open"}))[0] == 200
    status, row = await admin(gateway, f"/api/upstreams/gone/endpoints/127.0.0.1:{good.port}", {"state": "drain"})
    assert (status, row["workers"]) == (200, {"drained": WORKERS})
    for word in ("/good", "/gone"):
        assert await statuses(clients, word, WORKERS) == [503] * WORKERS


async def _until(client: RawClient, path: str, status: int) -> None:
    async with asyncio.timeout(PATIENCE):
        while (await client.ask(request(path))).status != status:
            await asyncio.sleep(0.005)


VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)


async def test_sessions_of_tls_and_versions_are_those_of_all_workers(tmp_path: Path) -> None:
    write_plugin(tmp_path, "who", WHO)
    write_server(tmp_path, "server")
    head = HEAD.replace(
        "'127.0.0.1:0'}]", "'127.0.0.1:0', tls: {certificates: [{cert: server.crt, key: server.key}]}}]"
    )
    text = head + PING + WHO_ROUTE
    write_config(tmp_path, text)
    async with gateway_run(tmp_path, "--workers", str(WORKERS)) as gateway:
        contexts = [client_context(tmp_path, version=version) for version in VERSIONS]
        sessions = []
        for context in contexts:
            worker, reused, session = await asyncio.to_thread(visit, await gateway.port(), context)
            assert not reused
            sessions.append(session)
        await kill(gateway, worker)
        for context, session in zip(contexts, sessions, strict=True):
            visits = [await asyncio.to_thread(visit, await gateway.port(), context, session) for _ in range(10)]
            assert [reused for _, reused, _ in visits] == [True] * len(visits)
            assert {pid for pid, _, _ in visits} - {worker}

        for word in ("two", "three"):
            write_config(tmp_path, text.replace("pong", word))
            status, found = await admin(gateway, "/api/reload", {})
            assert (status, await _texts(gateway, contexts[1])) == (200, {word.encode()}), found
        status, found = await admin(gateway, "/api/rollback", {})
        assert (status, found["restored"], await _texts(gateway, contexts[1])) == (200, 2, {b"two"})
        write_config(tmp_path, text.replace("respond: {text: pong}", "repond: {}"))
        # Whichever worker is asked.
        for _ in range(4):
            status, found = await admin(gateway, "/api/reload", {})
            assert (status, found["version"], bool(found["problems"])) == (422, 4, True)
        assert await _texts(gateway, contexts[1]) == {b"two"}
        kept = [(await admin(gateway, "/api/versions"))[1] for _ in range(4)]
        assert all(one == kept[0] for one in kept)


async def _texts(gateway: GatewayProcess, context: ssl.SSLContext) -> set[bytes]:
    """What the workers answer."""
    found = set()
    for _ in range(8):
        async with connected(await gateway.port(), tls=context) as client:
            found.add((await client.ask(request("/ping"))).body)
    return found


def visit(
    port: int, context: ssl.SSLContext, session: ssl.SSLSession | None = None
) -> tuple[int, bool, ssl.SSLSession | None]:
    """A connection of its own: the worker that had it, whether that resumed the session, and what to go on with."""
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as sock,
        context.wrap_socket(sock, server_hostname="localhost", session=session) as secured,
    ):
        secured.sendall(request("/who", b"Connection: close"))
        answer = b""
        while data := secured.recv(65536):
            answer += data
        body = answer.rpartition(b"\r\n\r\n")[2]
        assert body.count(b" ") == 1, answer
        return int(body.split()[0]), bool(secured.session_reused), secured.session
