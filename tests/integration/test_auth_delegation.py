"""auth_delegation in a running worker: nothing that a service, a client or a reload does lets anybody pass unasked."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.gateways import request
from tests.support.leftovers import exchanges, no_collector
from tests.support.messages import Message
from tests.support.misbehaving import closing, resetting, status
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import OK, Peer, RawUpstream, Script, answering, echoing, saying, silent, upstream
from tests.support.runtimes import HEAD, Running, running, write_plugin

TOKEN = b"Authorization: Bearer t"
ALLOW = b"HTTP/1.1 200 OK\r\nX-User-Id: 5\r\nCache-Control: private, max-age=60\r\nContent-Length: 0\r\n\r\n"
DENY = status(401, b"WWW-Authenticate: Bearer", body=b"who?")
ASKS = "copy_on_allow: [X-User-Id], timeout: 300ms"


class Door:
    """A script: `answer` for the token, and 401 for everybody else. While `go_on` is clear it holds answers back."""

    def __init__(self, answer: bytes = ALLOW) -> None:
        self.answer = answer
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self, peer: Peer) -> None:
        while True:
            message = await peer.request()
            await self.go_on.wait()
            peer.send(self.answer if message.get("authorization") == "Bearer t" else DENY)


def config(auth: int, behind: int, options: str = ASKS, more: str = "", first: str = "") -> str:
    """Everything below / is asked about, and nothing below /public."""
    return (
        f"{HEAD}upstreams:\n"
        f"  auth: {{endpoints: ['http://127.0.0.1:{auth}']}}\n"
        f"  up: {{endpoints: ['http://127.0.0.1:{behind}']}}\n"
        f"routes:\n  - {{name: public, match: {{path: '/public/**'}}, to: up}}\n{more}"
        f"  - {{name: all, to: up, plugins: [{first}auth_delegation: {{upstream: auth, {options}}}]}}\n"
    )


@contextlib.asynccontextmanager
async def guarded(
    folder: Path, auth: RawUpstream, behind: RawUpstream, *args: Any, **more: Any
) -> AsyncIterator[Running]:
    """A worker. At the end nothing is under way, and every question has been given back."""
    async with running(folder, config(auth.port, behind.port, *args, **more)) as worker:
        yield worker
        await eventually(lambda: worker.runtime.proxy.active == 0)
        for plugin in worker.runtime.generation.plugin("auth_delegation"):
            circuits = plugin.breakers().values()  # type: ignore[attr-defined]
            await eventually(lambda circuits=circuits: not any(one.in_flight for one in circuits))


async def ask(worker: Running, target: str = "/x", *fields: bytes, **options: Any) -> Message:
    async with worker.client() as client:
        return await client.ask(request(target, *fields, **options), options.get("method", "GET"))


# yes and no


async def test_identities_come_from_the_service_alone(tmp_path: Path) -> None:
    forged = (b"X-User-Id: 1", b"x_user_id: 1", b"X-User_Id: 1", b"X-USER-ID: 1")
    async with upstream(Door()) as auth, upstream(answering) as behind, guarded(tmp_path, auth, behind) as worker:
        assert (await ask(worker, "/x?q=1", TOKEN, *forged)).status == 200
        assert (await ask(worker, "/public/x", TOKEN, *forged)).status == 200
        auth_head, (first, second) = auth.requests[0], behind.requests
    assert first.all("x-user-id") == ["5"]
    assert second.all("x-user-id") == []
    for message in (auth_head, first, second):
        assert not any("_" in name for name in message.names)
    assert len(auth.requests) == 1, "nobody asks about what is public"
    assert first.get("authorization") == "Bearer t"


async def test_a_refusal_reaches_the_client(tmp_path: Path) -> None:
    fields = (
        b"WWW-Authenticate: Bearer",
        b"Set-Cookie: a=1; Path",
        b"Set-Cookie: b=2",
        b"Retry-After: 7",
        b"X-In: 1",
    )
    async with (
        upstream(saying(status(403, *fields, b"Content-Type: a/b", body=b"no"))) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind) as worker,
        worker.client() as client,
    ):
        for _ in range(2):
            answer = await client.ask(request("/x", TOKEN))
            assert (answer.status, answer.body, answer.get("content-type")) == (403, b"no", "a/b")
            assert (answer.get("www-authenticate"), answer.get("retry-after")) == ("Bearer", "7")
            assert answer.all("set-cookie") == ["a=1; Path", "b=2"]
            assert (answer.get("cache-control"), answer.get("x-in")) == ("no-store", None)
        head = await client.ask(request("/x", TOKEN, method="HEAD"), "HEAD")
        assert (head.status, head.get("content-length"), head.body) == (403, "2", b"")
        post = await client.ask(request("/x", TOKEN, method="POST", body=b"abc"))
        assert (post.status, post.body) == (403, b"no")
        assert (await client.ask(request("/public/x"))).status == 200, "the connection goes on"
    assert len(behind.requests) == 1


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_for_the_client(tmp_path: Path, code: int) -> None:
    async with upstream(answering) as behind:
        location = f"http://127.0.0.1:{behind.port}/followed"
        async with (
            upstream(saying(status(code, f"Location: {location}".encode(), body=b""))) as auth,
            guarded(tmp_path, auth, behind) as worker,
        ):
            answer = await ask(worker, "/x", TOKEN)
            assert (answer.status, answer.get("location")) == (code, location)
    assert (len(auth.requests), behind.connections) == (1, 0)


async def test_two_authorizations_ask_nobody(tmp_path: Path) -> None:
    async with upstream(Door()) as auth, upstream(answering) as behind, guarded(tmp_path, auth, behind) as worker:
        for fields in ((TOKEN, b"authorization: Bearer u"), (TOKEN, TOKEN, b"Connection: authorization")):
            assert (await ask(worker, "/x", *fields)).status == 400
        hidden = await ask(worker, "/x", TOKEN, b"Connection: authorization")
        assert hidden.status == 401, "what is for this hop alone is shown to nobody"
    assert [message.get("authorization") for message in auth.requests] == [None]
    assert behind.connections == 0


# no decision


async def half_a_body(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nX-User-Id: 1\r\nContent-Length: 5\r\n\r\nab")
    await peer.gone()


async def waiting_room(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 103 Early Hints\r\nX-User-Id: 1\r\n\r\n")
    await peer.gone()


async def endless(peer: Peer) -> None:
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nX-User-Id: 1\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        peer.send(b"ffff\r\n" + bytes(0xFFFF) + b"\r\n")
        await peer.writer.drain()


YES = b"HTTP/1.1 200 OK\r\nX-User-Id: 1\r\n"
FAILING: dict[str, Script] = {
    "500": saying(status(500, b"X-User-Id: 1")),
    "503": saying(status(503)),
    "304": saying(b"HTTP/1.1 304 Not Modified\r\nX-User-Id: 1\r\n\r\n"),
    "hangs": silent,
    "hangs in the body": half_a_body,
    "hangs after an interim answer": waiting_room,
    "interim answers and the end": saying(b"HTTP/1.1 100 Continue\r\n\r\n" * 3, close=True),
    "closes": closing,
    "resets": resetting,
    "half a head": saying(YES, close=True),
    "half a body": saying(YES + b"Content-Length: 5\r\n\r\nab", close=True),
    "half a chunk": saying(YES + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab", close=True),
    "rubbish": saying(b"nonsense\r\n\r\n"),
    "rubbish in a chunk": saying(YES + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"),
    "two framings": saying(YES + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "two lengths": saying(YES + b"Content-Length: 0\r\nContent-Length: 1\r\n\r\na"),
    "a control character": saying(b"HTTP/1.1 200 OK\r\nX-User-Id: 1\x00\r\nContent-Length: 0\r\n\r\n"),
    "an upgrade": saying(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", close=True),
    "too large a head": saying(YES + b"X: " + b"a" * 40_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    "too large a body": saying(YES + b"Content-Length: 1048577\r\n\r\n" + bytes(1048577)),
    "an endless body": endless,
}
OPEN = "  - {name: open, match: {path: '/open/**'}, to: up, plugins: [auth_delegation: {upstream: auth, %s}]}\n"


@pytest.mark.parametrize("script", FAILING.values(), ids=FAILING)
async def test_without_an_answer_nobody_passes(tmp_path: Path, script: Script) -> None:
    more = OPEN % f"{ASKS}, fail: open, name: open"
    async with (
        upstream(script) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, f"{ASKS}, status_on_error: 502, cache: {{ttl: 60s}}", more) as worker,
    ):
        answer = await ask(worker, "/x", TOKEN)
        assert (answer.status, answer.get("proxy-status")) == (502, "gateway; error=proxy_internal_error")
        assert b"auth_unavailable" in answer.body
        assert f"{auth.port}".encode() not in answer.body
        assert (len(auth.requests), behind.connections) == (1, 0)
        opened = await ask(worker, "/open/x", TOKEN, b"X-User-Id: 1")
        assert (opened.status, len(auth.requests)) == (200, 2)
        assert behind.requests[0].all("x-user-id") == []


async def test_a_service_that_is_not_there(tmp_path: Path, unused_tcp_port: int) -> None:
    async with (
        upstream(answering) as behind,
        running(tmp_path, config(unused_tcp_port, behind.port, f"{ASKS}, status_on_error: 403")) as worker,
    ):
        assert (await ask(worker, "/x", TOKEN)).status == 403
    assert behind.connections == 0


async def test_a_kept_connection_that_died_costs_nobody_an_answer(tmp_path: Path) -> None:
    async def once(peer: Peer) -> None:
        await peer.request()
        peer.send(ALLOW)
        await peer.head()  # and hang up

    async with upstream(once) as auth, upstream(answering) as behind, guarded(tmp_path, auth, behind) as worker:
        assert (await ask(worker, "/x", TOKEN)).status == 200
        assert (await ask(worker, "/x", TOKEN)).status == 200
        assert (auth.connections, len(auth.requests)) == (2, 3)


# what is told


async def test_what_the_service_is_told(tmp_path: Path) -> None:
    forged = (
        b"X-Forwarded-Uri: /p", b"X-Forwarded-Method: GET", b"X-Forwarded-For: 6.6.6.6", b"X-Original-URI: /p",
        b"X_Forwarded_Uri: /p", b"Forwarded: for=6.6.6.6", b"X-Forwarded-Host: b", b"X-Forwarded-Proto: https",
        b"X-Request-Id: mine", b"traceparent: 00-1", b"X-Hop: 1", b"Connection: x-hop, x-api-key", b"TE: trailers",
        b"X-Api-Key: hop", b"Proxy-Authorization: Basic YTpi", b"Cookie: a=\xff; b=%0d%0a", b"Expect: 100-continue",
    )  # fmt: skip
    options = f"{ASKS}, path: /verify?x=1, send_headers: [Authorization, Cookie, X-Api-Key, X-Hop]"
    chunks = request("/a%2Fb/%C3%A9?q=%20&x", TOKEN, *forged, b"Transfer-Encoding: chunked", method="PUT", host=b"h:1")
    async with (
        upstream(Door()) as auth,
        upstream(echoing) as behind,
        guarded(tmp_path, auth, behind, options) as worker,
        worker.client() as client,
    ):
        client.send(chunks)
        assert (await client.head()).status == 100
        answer = await client.ask(b"3\r\nabc\r\n0\r\n\r\n")
        assert (answer.status, answer.body) == (200, b"abc")
    (asked,) = auth.requests
    assert asked.first == b"GET /verify?x=1 HTTP/1.1"
    assert asked.body == b""
    request_id = asked.get("x-request-id")
    assert request_id != "mine"
    assert sorted(asked.fields) == sorted(
        [
            (b"Host", f"127.0.0.1:{auth.port}".encode()),
            (b"Authorization", b"Bearer t"),
            (b"Cookie", b"a=\xff; b=%0d%0a"),
            (b"X-Request-Id", (request_id or "").encode()),
            (b"X-Forwarded-Method", b"PUT"),
            (b"X-Forwarded-Proto", b"http"),
            (b"X-Forwarded-Host", b"h:1"),
            (b"X-Forwarded-Uri", b"/a%2Fb/%C3%A9?q=%20&x"),
            (b"X-Forwarded-For", b"127.0.0.1"),
        ]
    )


@pytest.mark.parametrize("target", ["/a\r\nX-User-Id: 1", "/a\nX: 1", "/a\x00", "/a b", "/a\x85"])
async def test_nothing_gets_between_the_lines(tmp_path: Path, target: str) -> None:
    async with upstream(Door()) as auth, upstream(answering) as behind, guarded(tmp_path, auth, behind) as worker:
        answer = await ask(worker, target, TOKEN)
        assert answer.status in (400, 505)
    assert (auth.connections, behind.connections) == (0, 0)


async def test_unusual_methods_are_asked_about(tmp_path: Path) -> None:
    options = f"{ASKS}, dialect: envoy, path: /check"
    async with (
        upstream(Door()) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, options) as worker,
    ):
        assert (await ask(worker, "/x?y", TOKEN, method="M-SEARCH")).status == 200
        assert (await ask(worker, "/x", method="PROPFIND")).status == 401
        assert (await ask(worker, "/x", TOKEN, method="HEAD")).status == 200
    assert [message.first.split(b" HTTP")[0] for message in auth.requests] == [
        b"M-SEARCH /check/x?y", b"PROPFIND /check/x", b"HEAD /check/x",
    ]  # fmt: skip
    assert [message.get("host") for message in auth.requests] == ["a", "a", "a"]


# bodies

BODY = bytes(range(256)) * 4


@pytest.mark.parametrize("framing", ["length", "chunked", "expect"])
async def test_the_service_reads_the_body_and_so_does_the_one_behind(tmp_path: Path, framing: str) -> None:
    options = f"{ASKS}, method: original, with_body: {{max: 1KiB}}"
    fields = [TOKEN, b"Content-Type: a/b"]
    sent = request("/x", *fields, method="POST", body=BODY)
    if framing == "expect":
        sent = request("/x", *fields, b"Expect: 100-continue", b"Content-Length: 1024", method="POST")
    elif framing == "chunked":
        sent = request("/x", *fields, b"Transfer-Encoding: chunked", method="POST")
        sent += b"1;x=y\r\n%b\r\n3ff\r\n%b\r\n0\r\nX: 1\r\n\r\n" % (BODY[:1], BODY[1:])
    async with (
        upstream(Door()) as auth,
        upstream(echoing) as behind,
        guarded(tmp_path, auth, behind, options) as worker,
        worker.client() as client,
    ):
        client.send(sent)
        if framing == "expect":
            assert (await client.head()).status == 100
            client.send(BODY)
        answer = await client.response()
        assert (answer.status, answer.body) == (200, BODY)
        assert (await client.ask(request("/x", TOKEN))).status == 200, "a request without one"
    first, second = auth.requests
    assert (first.body, first.get("content-length"), first.get("content-type")) == (BODY, "1024", "a/b")
    assert (second.body, behind.requests[0].get("content-length")) == (b"", "1024")


@pytest.mark.parametrize(
    "sent",
    [
        request("/x", TOKEN, method="POST", body=b"123456789"),
        request("/x", TOKEN, b"Content-Length: 9", b"Expect: 100-continue", method="POST"),
        request("/x", TOKEN, b"Transfer-Encoding: chunked", method="POST") + b"9\r\n123456789\r\n0\r\n\r\n",
        request("/x", TOKEN, b"Transfer-Encoding: chunked", method="POST") + b"8\r\n12345678\r\n1\r\n9\r\n",
    ],
)
async def test_a_body_that_is_too_long_to_judge_is_refused(tmp_path: Path, sent: bytes) -> None:
    async with (
        upstream(Door()) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, f"{ASKS}, with_body: {{max: 8B}}") as worker,
        worker.client() as client,
    ):
        client.send(sent)
        if b"Expect" in sent:
            assert (await client.head()).status == 100
            client.send(b"123456789")
        assert (await client.response()).status == 413
    assert (auth.connections, behind.connections) == (0, 0)


async def test_a_refusal_leaves_the_bodys_place_in_order(tmp_path: Path) -> None:
    async with (
        upstream(Door()) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind) as worker,
        worker.client() as client,
    ):
        client.send(request("/x", method="POST", body=request("/x", TOKEN)) + request("/public/y"))
        assert [(await client.response()).status for _ in range(2)] == [401, 200]
    assert [message.first for message in behind.requests] == [b"GET /public/y HTTP/1.1"]


# what is kept

KEPT = f"{ASKS}, cache: {{negative_ttl: 60s}}"


async def test_one_question_for_many_clients(tmp_path: Path) -> None:
    door = Door()
    door.go_on.clear()
    async with (
        upstream(door) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, KEPT.replace("300ms", "10s")) as worker,
        contextlib.AsyncExitStack() as stack,
    ):
        clients = [await stack.enter_async_context(worker.client()) for _ in range(10)]
        for client in clients:
            client.send(request("/x", TOKEN, b"X-User-Id: 1"))
        await eventually(lambda: worker.runtime.proxy.active == 10)
        await eventually(lambda: auth.requests)
        clients[0].reset()
        await eventually(lambda: worker.runtime.proxy.active == 9)
        door.go_on.set()
        assert [(await client.response()).status for client in clients[1:]] == [200] * 9
        assert (await ask(worker, "/x", TOKEN)).status == 200
        assert [(await ask(worker, "/x")).status for _ in range(2)] == [401, 401]
        assert [message.get("authorization") for message in auth.requests] == ["Bearer t", None]
        assert (await ask(worker, "/x?", TOKEN, method="DELETE")).status == 200
    assert (len(auth.requests), len(behind.requests)) == (3, 11)
    assert {tuple(message.all("x-user-id")) for message in behind.requests} == {("5",)}


async def test_a_question_that_nobody_waits_for_is_given_up(tmp_path: Path) -> None:
    left: list[str] = []

    async def script(peer: Peer) -> None:
        await peer.request()
        left.append(await peer.gone())

    async with (
        upstream(script) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, KEPT.replace("300ms", "60s")) as worker,
        worker.client() as first,
        worker.client() as second,
    ):
        for client in (first, second):
            client.send(request("/x", TOKEN))
        await eventually(lambda: worker.runtime.proxy.active == 2 and auth.requests)
        first.reset()
        second.reset()
        await eventually(lambda: left)
    assert behind.connections == 0


@pytest.mark.parametrize("options", [ASKS, KEPT, f"{ASKS}, breaker: {{requests: 1, sleep: 60s}}, fail: open"])
@pytest.mark.parametrize("script", [Door(), Door(DENY), saying(status(500)), closing, silent])
async def test_nothing_is_left_of_a_request_that_only_the_collector_finds(
    tmp_path: Path, script: Script, options: str
) -> None:
    async with (
        upstream(script) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, options.replace("300ms", "50ms")) as worker,
    ):
        with no_collector():
            before = exchanges()
            for _ in range(3):
                await ask(worker, "/x", TOKEN)
            await eventually(lambda: exchanges() == before, "a cycle holds an exchange")


@pytest.mark.parametrize("options", [ASKS, KEPT])
async def test_nothing_is_left_of_a_client_that_went_away(tmp_path: Path, options: str) -> None:
    async with (
        upstream(silent) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, options.replace("300ms", "60s")) as worker,
    ):
        with no_collector():
            before = exchanges()
            async with worker.client() as client:
                client.send(request("/x", TOKEN))
                await eventually(lambda: auth.requests)
                client.reset()
            await eventually(lambda: exchanges() == before, "a cycle holds the exchange")


# the breaker


async def test_a_service_that_is_down_is_spared_and_comes_back(tmp_path: Path) -> None:
    door = Door(status(500))
    async with (
        upstream(door) as auth,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, f"{ASKS}, breaker: {{requests: 4, sleep: 60s}}") as worker,
    ):
        for _ in range(6):
            answer = await ask(worker, "/x", TOKEN)
            assert (answer.status, b"auth_unavailable" in answer.body) == (503, True)
        assert answer.get("retry-after") == "60"
        assert (len(auth.requests), behind.connections) == (4, 0)
        shown = (await worker.get("/api/breakers")).data["breakers"]
        assert [(row["name"], row["state"], row["calls"]) for row in shown] == [("auth:auth", "open", 4)]
        metrics = (await worker.get("/metrics")).body
        assert b'gateway_breaker_state{breaker="auth:auth",state="open"} 1' in metrics
        assert b'gateway_auth_total{plugin="auth_delegation",result="error"} 6' in metrics
        door.answer = ALLOW
        (circuit,) = worker.runtime.generation.plugin("auth_delegation")[0].breakers().values()  # type: ignore[attr-defined]
        circuit.since -= 60
        assert (await ask(worker, "/x", TOKEN)).status == 200
        assert circuit.state == "closed"


# reloads


async def test_a_reload_keeps_what_it_knows(tmp_path: Path) -> None:
    async with (
        upstream(Door()) as auth,
        upstream(Door()) as other,
        upstream(answering) as behind,
        guarded(tmp_path, auth, behind, KEPT) as worker,
    ):
        assert (await ask(worker, "/x", TOKEN)).status == 200
        (before,) = worker.runtime.generation.plugin("auth_delegation")
        worker.write(config(other.port, behind.port, KEPT))
        assert await worker.runtime.reload()
        assert worker.runtime.generation.plugin("auth_delegation") == [before]
        assert (await ask(worker, "/x", TOKEN)).status == 200
        assert (len(auth.requests), len(other.requests)) == (1, 0), "it is known"
        assert (await ask(worker, "/y", TOKEN)).status == 200
        assert (len(auth.requests), len(other.requests)) == (1, 1), "the service is where it is now"
        worker.write(config(other.port, behind.port, KEPT.replace("negative_ttl: 60s", "negative_ttl: 61s")))
        assert await worker.runtime.reload()
        assert worker.runtime.generation.plugin("auth_delegation") != [before]
        assert (await ask(worker, "/x", TOKEN)).status == 200
        assert len(other.requests) == 2


async def test_a_service_that_no_upstream_is_called(tmp_path: Path) -> None:
    async with upstream(Door()) as auth, upstream(answering) as behind, guarded(tmp_path, auth, behind) as worker:
        text = config(auth.port, behind.port)
        for wrong in (text.replace("  auth: {end", "  auht: {end"), text.replace("{upstream: auth", "{upstream: auht")):
            worker.write(wrong)
            assert not await worker.runtime.reload()
            (problem,) = [text for text in worker.runtime.last.texts if "warning" not in text]
            assert problem.startswith(f"{tmp_path}/routes.yaml:9:35: the plugin 'auth_delegation' refuses its options")
            assert "unknown upstream 'au" in problem
            assert "did you mean 'au" in problem
        assert (await ask(worker, "/x")).status == 401, "the one in service stays"


WAITS = '''
import asyncio
from gateway.plugin import Plugin

GO_ON = asyncio.Event()
WAITING = []

class Waits(Plugin):
    """Lets a request wait in an old configuration."""

    async def admit(self, exchange):
        WAITING.append(exchange)
        await GO_ON.wait()
'''


async def test_a_service_that_went_with_a_reload_lets_nobody_pass(tmp_path: Path) -> None:
    write_plugin(tmp_path, "waits", WAITS)
    async with (
        upstream(Door()) as auth,
        upstream(answering) as behind,
        running(tmp_path, config(auth.port, behind.port, first="waits, ")) as worker,
        worker.client() as client,
    ):
        waits = sys.modules[worker.runtime.library.find("waits").__module__]
        client.send(request("/x", TOKEN))
        await eventually(lambda: waits.WAITING)
        up = f"upstreams: {{up: {{endpoints: ['http://127.0.0.1:{behind.port}']}}}}\n"
        worker.write(f"{HEAD}{up}routes: [{{name: all, to: up}}]\n")
        assert await worker.runtime.reload()
        waits.GO_ON.set()
        answer = await soon(client.response())
        assert (answer.status, b"auth_unavailable" in answer.body) == (503, True)
        waits.WAITING.clear()
    assert (auth.connections, behind.connections) == (0, 0)


async def test_two_entries_of_one_service_have_names_of_their_own(tmp_path: Path) -> None:
    async with upstream(Door()) as auth, upstream(answering) as behind, guarded(tmp_path, auth, behind) as worker:
        worker.write(config(auth.port, behind.port, more=OPEN % "fail: open"))
        assert not await worker.runtime.reload()
        assert "two plugins 'auth_delegation' are named 'auth:auth'; give one a `name`" in worker.runtime.last.texts[0]
        worker.write(config(auth.port, behind.port, more=OPEN % "fail: open, name: second"))
        assert await worker.runtime.reload()
        shown = (await worker.get("/api/breakers")).data["breakers"]
        assert sorted(row["name"] for row in shown) == ["auth:auth", "second"]
        worker.write(config(auth.port, behind.port, more=OPEN % ASKS))
        assert await worker.runtime.reload()
        assert len(worker.runtime.generation.plugin("auth_delegation")) == 1, "routes with the same options share it"
        assert (await ask(worker, "/open/x", TOKEN)).body == OK.partition(b"\r\n\r\n")[2]
