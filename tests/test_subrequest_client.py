"""What handlers call upstreams with: real upstreams, and the request that it is done for."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.support.apps import mounts, serving
from tests.support.gateways import request
from tests.support.polling import eventually
from tests.support.raw_upstream import Peer, answering, upstream
from tests.support.runtimes import Running, write_plugin

IDENTIFY = '''
from gateway.plugin import Plugin

class Identify(Plugin):
    """Says who asks."""

    def identity_headers(self):
        return ["X-User-Id"]

    def on_request(self, exchange):
        exchange.principal = "ada"
        exchange.headers.set("X-User-Id", "ada")
'''
HANDLERS = """
import json
from gateway.plugin import GatewayError

@routes.route("*", "/ask")
async def ask(request):
    given = json.loads(request.query["given"])
    try:
        reply = await request[GATEWAY].fetch(given.pop("upstream", "up"), given.pop("path", "/"), **given)
    except (GatewayError, LookupError, ValueError) as error:
        kind = error.kind.word if isinstance(error, GatewayError) else type(error).__name__
        return web.json_response({"failed": kind, "said": str(error)})
    EVENTS.append("answered")
    return web.json_response({"status": reply.status, "body": reply.body.decode(), "headers": dict(reply.headers),
                              "cookies": list(reply.cookies)})
"""
CONFIG = """
plugins: [tracing_ids, identify]
upstreams:
  up: {endpoints: ["http://127.0.0.1:%d"], retries: {attempts: 2, on: ["503"]}}
routes: [{name: all, app: 'bff.web:app'}]
"""


async def ask(worker: Running, *fields: bytes, **given: object) -> dict[str, object]:
    """What a handler says of the call that it made."""
    target = "/ask?given=" + quote(json.dumps(given), safe="")
    async with worker.client() as client:
        answer = await client.ask(request(target, *fields))
    assert answer.status == 200, answer.body
    found: dict[str, object] = json.loads(answer.body)
    return found


async def test_a_call_carries_who_asks_and_the_trace_and_nothing_else(tmp_path: Path) -> None:
    write_plugin(tmp_path, "identify", IDENTIFY)
    async with upstream(answering) as up, serving(tmp_path, HANDLERS, CONFIG % up.port) as worker:
        secrets = (b"Cookie: a=b", b"Authorization: Basic eA==", b"X-User-Id: eve", b"Accept-Language: de")
        for given in ({"path": "/a?b=c", "headers": {"X-Own": "1"}}, {"method": "POST", "json": {"n": 1}}):
            found = await ask(worker, *secrets, **given)
            assert (found["status"], found["body"]) == (200, "ok")
        first, second = up.requests
        assert first.first == b"GET /a?b=c HTTP/1.1"
        assert first.get("x-user-id") == "ada"
        assert len(first.get("traceparent") or "") == 55
        assert (first.get("x-own"), first.get("via")) == ("1", "1.1 gateway")
        assert first.get("x-forwarded-for") == "127.0.0.1"
        assert [first.get(name) for name in ("cookie", "authorization", "accept-language")] == [None] * 3
        assert (second.first, second.body) == (b"POST / HTTP/1.1", b'{"n":1}')
        assert second.get("content-type") == "application/json"


async def test_calls_are_retried_as_the_upstream_says(tmp_path: Path) -> None:
    write_plugin(tmp_path, "identify", IDENTIFY)
    turns = iter([503, 200, 503, 503])

    async def in_turn(peer: Peer) -> None:
        while True:
            await peer.request()
            peer.send(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % next(turns))

    async with upstream(in_turn) as up, serving(tmp_path, HANDLERS, CONFIG % up.port) as worker:
        assert (await ask(worker))["status"] == 200
        assert (await ask(worker))["status"] == 503
        assert len(up.requests) == 4


@pytest.mark.parametrize(
    ("given", "failed"),
    [
        ({"upstream": "nobody"}, "LookupError"),
        ({"path": "items"}, "ValueError"),
        ({"path": "/a b"}, "ValueError"),
        ({"method": "G T"}, "ValueError"),
        ({"headers": {"Host": "x"}}, "ValueError"),
        ({"headers": {"Transfer-Encoding": "chunked"}}, "ValueError"),
        ({"headers": {"X": "a\r\nb: c"}}, "ValueError"),
        ({"timeout": 0.05}, "total_timeout"),
        ({"max_body": 3, "path": "/long"}, "upstream_body_too_large"),
    ],
)
async def test_what_is_no_answer_is_raised(tmp_path: Path, given: dict[str, object], failed: str) -> None:
    write_plugin(tmp_path, "identify", IDENTIFY)

    async def silent_or_long(peer: Peer) -> None:
        while True:
            message = await peer.request()
            if b"/long" in message.first:
                peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n")
            await peer.gone()

    async with upstream(silent_or_long) as up, serving(tmp_path, HANDLERS, CONFIG % up.port) as worker:
        assert (await ask(worker, **given))["failed"] == failed
        (endpoint,) = worker.runtime.proxy.table.upstreams["up"].endpoints
        await eventually(lambda: endpoint.in_flight == 0 and not endpoint.pool.active)


async def test_a_client_that_leaves_ends_the_call(tmp_path: Path) -> None:
    write_plugin(tmp_path, "identify", IDENTIFY)
    gone = asyncio.Event()

    async def silent(peer: Peer) -> None:
        await peer.request()
        await peer.gone()
        gone.set()

    async with upstream(silent) as up, serving(tmp_path, HANDLERS, CONFIG % up.port) as worker:
        async with worker.client() as client:
            client.send(request("/ask?given=%7B%7D"))
            await eventually(lambda: len(up.requests) == 1)
        await eventually(gone.is_set)
        (mount,) = mounts(worker.runtime)
        await eventually(lambda: mount.endpoint.in_flight == 0)


async def test_cookies_are_told_apart(tmp_path: Path) -> None:
    write_plugin(tmp_path, "identify", IDENTIFY)

    async def baker(peer: Peer) -> None:
        await peer.request()
        peer.send(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 0\r\n\r\n"
        )

    async with upstream(baker) as up, serving(tmp_path, HANDLERS, CONFIG % up.port) as worker:
        found = await ask(worker)
        assert found["cookies"] == ["a=1", "b=2"]
        assert dict(found["headers"])["x-a"] == "1, 2"  # type: ignore[call-overload]
