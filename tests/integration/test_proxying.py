"""What passes between a client and a service, byte for byte."""

from __future__ import annotations

import pytest

from gateway.exchange import Exchange, Reply
from gateway.routing.actions import Forward, Rewrite
from gateway.routing.pattern import parse_template
from tests.support.gateways import gateway, make_settings, request
from tests.support.messages import read_head
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import OK, Peer, answering, echoing, saying, upstream
from tests.support.recording import ReadsRequest, ReadsResponse, Requester

HEAD = b"HTTP/1.1 200 OK\r\n"
RESPONSES = {
    "length": (HEAD + b"Content-Length: 5\r\n\r\nhello", b"hello", "5", None),
    "length 0": (HEAD + b"Content-Length: 0\r\n\r\n", b"", "0", None),
    "chunks": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello", None, "chunked"),
    "chunks, none": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"", None, "chunked"),
    "extensions and trailers": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0;z\r\nX-Late: 1\r\n\r\n",
        b"hello",
        None,
        "chunked",
    ),
    "upper-case chunked": (
        HEAD + b"Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"hello",
        None,
        "chunked",
    ),
    "until the end": (HEAD + b"\r\nhello", b"hello", None, "chunked"),
    "until the end, HTTP/1.0": (b"HTTP/1.0 200 OK\r\n\r\nhello", b"hello", None, "chunked"),
    "until the end, nothing": (HEAD + b"\r\n", b"", None, "chunked"),
    "HTTP/1.0 with a length": (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", "5", None),
    "no reason": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok", b"ok", "2", None),
}


@pytest.mark.parametrize("step", [1 << 20, 1, 7])
@pytest.mark.parametrize("name", RESPONSES)
async def test_response_is_framed_anew(name: str, step: int) -> None:
    raw, body, length, coding = RESPONSES[name]
    pieces = [raw[start : start + step] for start in range(0, len(raw), step)]
    async with (
        upstream(saying(*pieces, close=True)) as service,
        gateway(service.port) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert (answer.status, answer.body) == (200, body)
        assert (answer.get("content-length"), answer.get("transfer-encoding")) == (length, coding)
        assert "X-Late" not in answer.names
        assert (await client.ask(request("/ping"))).body == b"pong", "the client's connection lives on"


@pytest.mark.parametrize("step", [1 << 20, 1])
@pytest.mark.parametrize(
    ("sent", "chunked"),
    [
        (request(method="POST", body=b"hello\r\n\r\nGET / HTTP/1.1\r\n\r\n"), False),
        (request("/x", b"Transfer-Encoding: chunked", method="POST", body=b"5\r\nhello\r\n0\r\n\r\n"), True),
        (
            request(
                "/x", b"Transfer-Encoding: Chunked", method="POST", body=b"A;x=y\r\n0123456789\r\n0;z\r\nT: x\r\n\r\n"
            ),
            True,
        ),
        (
            request("/x", b"Transfer-Encoding: chunked", method="PUT", body=b"4\r\n\r\n\r\n\r\n1\r\na\r\n0\r\n\r\n"),
            True,
        ),
        (request("/x", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), True),
        (request("/x", b"Content-Length: 0", method="POST"), False),
    ],
)
async def test_request_body_is_framed_anew(sent: bytes, chunked: bool, step: int) -> None:
    async with upstream(echoing) as service, gateway(service.port) as running, running.client() as client:
        await client.send_slowly(sent + request("/next"), step)
        first = await client.response()
        second = await client.response()

        asked = service.requests[0]
        assert first.body == asked.body
        assert asked.all("transfer-encoding") == (["chunked"] if chunked else [])
        assert len(asked.all("content-length")) == (not chunked)
        assert not asked.all("t")
        assert second.body == b""
        assert service.requests[1].first == b"GET /next HTTP/1.1"
        assert service.connections == 1


@pytest.mark.parametrize(
    "target",
    ["/", "/a%2Fb", "/a%20b?x=%00&y", "/A/b;c=d", "/?", "/a?b?c", "/a/./b", "/x//y", "/%7euser", "/a+b", "/'\"<>{}|^`"],
)
async def test_raw_target_is_forwarded_as_it_came(target: str) -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request(target))).status == 200
    assert service.requests[0].first == b"GET %b HTTP/1.1" % target.encode()


@pytest.mark.parametrize(
    ("target", "forwarded"),
    [("http://a/x?y", "/x?y"), ("http://a", "/"), ("http://A?q", "/?q"), ("HTTPS://a/%41", "/%41")],
)
async def test_absolute_target_becomes_a_path(target: str, forwarded: str) -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request(target))).status == 200
    assert service.requests[0].first == b"GET %b HTTP/1.1" % forwarded.encode()


async def test_fields_keep_order_case_and_duplicates() -> None:
    fields = (b"x-b: 1", b"X-A: 2", b"X-B: 3", b"Cookie: a=1", b"cookie: b=2", b"Accept: \xe9", b"X-Empty:", b"x-a:4 ")
    answer = HEAD + b"x-one: 1\r\nSet-Cookie: a\r\nX-ONE: 2\r\nset-cookie: b\r\nContent-Length: 0\r\n\r\n"
    async with upstream(saying(answer)) as service, gateway(service.port) as running, running.client() as client:
        got = await client.ask(request("/x", *fields))
    asked = service.requests[0]
    assert asked.names[:9] == ["Host", "x-b", "X-A", "X-B", "Cookie", "cookie", "Accept", "X-Empty", "x-a"]
    assert asked.all("x-b") == ["1", "3"]
    assert asked.all("accept") == ["\xe9"]
    assert [value.strip() for value in asked.all("x-a")] == ["2", "4"]
    assert got.names[:4] == ["x-one", "Set-Cookie", "X-ONE", "set-cookie"]
    assert got.all("set-cookie") == ["a", "b"]


async def test_what_is_added_for_an_untrusted_peer() -> None:
    forged = (
        b"X-Forwarded-For: 6.6.6.6",
        b"x_forwarded_for: 6.6.6.6",
        b"X_Forwarded-Host: evil",
        b"X-Forwarded-Anything: 1",
        b"Forwarded: for=6.6.6.6",
        b"X-Real-IP: 6.6.6.6",
        b"x_real_ip: 6.6.6.6",
        b"X-Request-Id: mine",
        b"traceparent: 00-1-1-01",
        b"tracestate: a",
        b"baggage: a",
        b"b3: 1",
        b"X-B3-TraceId: 1",
        b"X-Request-Deadline-Ms: 1",
        b"Proxy: http://evil",
        b"X-User: admin",
        b"x_user: admin",
    )
    settings = make_settings(identity_headers=["X-User"])
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=settings) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x", *forged, b"Via: 1.0 before"))).status == 200
    asked = service.requests[0]
    assert asked.get("x-forwarded-for") == "127.0.0.1"
    assert (asked.get("x-forwarded-proto"), asked.get("x-forwarded-host")) == ("http", "a")
    assert asked.all("via") == ["1.0 before", "1.1 gateway"]
    assert sorted(asked.names) == sorted(
        ["Host", "Via", "Via", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"]
    )


async def test_what_a_trusted_peer_may_say() -> None:
    fields = (
        b"X-Forwarded-For: 1.1.1.1",
        b"X-Forwarded-For: 2.2.2.2, 127.0.0.9",
        b"X-Forwarded-Proto: https",
        b"X-Forwarded-Host: shop.example",
        b"X-Request-Id: abc",
        b"traceparent: 00-1-1-01",
        b"Proxy: evil",
        b"X_User: admin",
    )
    settings = make_settings(trusted=True, identity_headers=["X-User"])
    async with upstream(answering) as service, gateway(service.port, settings=settings) as running:
        async with running.client() as client:
            assert (await client.ask(request("/x", *fields))).status == 200
        assert running.recorder.exchanges[0].client_ip == "2.2.2.2"
    asked = service.requests[0]
    assert asked.get("x-forwarded-for") == "1.1.1.1, 2.2.2.2, 127.0.0.9, 127.0.0.1"
    assert (asked.get("x-forwarded-proto"), asked.get("x-forwarded-host")) == ("https", "shop.example")
    assert (asked.get("x-request-id"), asked.get("traceparent")) == ("abc", "00-1-1-01")
    assert not asked.all("proxy")
    assert not asked.all("x_user")


@pytest.mark.parametrize("trusted", [True, False])
async def test_forwarded_of_rfc7239(trusted: bool) -> None:
    settings = make_settings(trusted=trusted)
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=settings, forwarded=True) as running,
        running.client() as client,
    ):
        await client.ask(request("/x", b"Forwarded: for=1.1.1.1", b"X-Forwarded-For: 1.1.1.1", host=b"a:80"))
    asked = service.requests[0]
    ours = 'for=127.0.0.1;host="a:80";proto=http'
    assert asked.get("forwarded") == (f"for=1.1.1.1, {ours}" if trusted else ours)
    assert not asked.all("x-forwarded-for")


@pytest.mark.parametrize("trusted", [True, False])
async def test_hop_by_hop_fields_stay_behind(trusted: bool) -> None:
    fields = (
        b"Connection: keep-alive, X-Private, Host, X-Forwarded-For, Content-Length, x-forwarded-proto",
        b"X-Private: 1",
        b"Keep-Alive: timeout=5",
        b"TE: trailers",
        b"Trailer: X",
        b"Upgrade: websocket",
        b"Proxy-Connection: keep-alive",
        b"Proxy-Authorization: Basic x",
        b"HTTP2-Settings: x",
    )
    answer = (
        HEAD + b"Connection: X-Back\r\nX-Back: 1\r\nKeep-Alive: timeout=5\r\nTrailer: X\r\nUpgrade: h2c\r\n"
        b"Proxy-Authenticate: x\r\nContent-Length: 2\r\n\r\nok"
    )
    settings = make_settings(trusted=trusted)
    async with (
        upstream(saying(answer)) as service,
        gateway(service.port, settings=settings) as running,
        running.client() as client,
    ):
        got = await client.ask(request("/x", *fields, method="POST", body=b"abc"))
    asked = service.requests[0]
    assert asked.body == b"abc"
    assert sorted(asked.names) == sorted(
        ["Host", "Content-Length", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Via"]
    )
    assert asked.get("x-forwarded-for") == "127.0.0.1"
    assert sorted(got.names) == ["Content-Length", "Date"]


@pytest.mark.parametrize(("host", "sent"), [(None, "a"), ("", None), ("inner.example", "inner.example")])
async def test_host_field(host: str | None, sent: str | None) -> None:
    async with upstream(answering) as service, gateway(service.port, host=host) as running, running.client() as client:
        assert (await client.ask(request())).status == 200
    assert service.requests[0].get("host") == (sent or f"127.0.0.1:{service.port}")
    assert service.requests[0].get("x-forwarded-host") == "a"


async def test_http_1_0_client() -> None:
    chunked = HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
    async with upstream(saying(chunked)) as service, gateway(service.port) as running:
        async with running.client() as client:
            answer = await client.ask(request(host=None, version="1.0"))
            assert (answer.body, answer.get("transfer-encoding"), answer.get("connection")) == (b"ok", None, "close")
        async with running.client() as client:
            kept = await client.ask(request("/ping", b"Connection: keep-alive", version="1.0"))
            assert kept.get("connection") == "keep-alive"
            assert (await client.ask(request("/ping", version="1.0"))).get("connection") == "close"
            assert await client.rest() == b""
    assert service.requests[0].first == b"GET /x HTTP/1.1"
    assert service.requests[0].get("host") == f"127.0.0.1:{service.port}"


async def test_client_asks_to_close() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        answer = await client.ask(request("/x", b"Connection: close") + request("/ping"))
        assert answer.get("connection") == "close"
        assert await client.rest() == b""
        assert len(running.pool.idle) == 1, "the service's connection is kept all the same"


@pytest.mark.parametrize("field", [b"Content-Length: 7\r\n", b"Transfer-Encoding: chunked\r\n", b""])
async def test_head_has_no_body_and_keeps_its_length(field: bytes) -> None:
    async with (
        upstream(saying(HEAD + field + b"\r\n")) as service,
        gateway(service.port) as running,
        running.client() as client,
    ):
        for _ in range(2):
            answer = await client.ask(request(method="HEAD"), "HEAD")
            assert answer.get("content-length") == ("7" if b"7" in field else None)
        assert (await client.ask(request("/ping", method="HEAD"), "HEAD")).get("content-length") == "4"
        assert (await client.ask(request("/ping"))).body == b"pong"
    assert service.connections == 1


@pytest.mark.parametrize(
    ("status", "field", "length"),
    [(204, b"", None), (204, b"Content-Length: 0\r\n", None), (304, b"Content-Length: 7\r\n", "7"), (304, b"", None)],
)
async def test_answers_without_a_body(status: int, field: bytes, length: str | None) -> None:
    raw = b"HTTP/1.1 %d X\r\n%b\r\n" % (status, field)
    async with upstream(saying(raw)) as service, gateway(service.port) as running, running.client() as client:
        for _ in range(2):
            answer = await client.ask(request())
            assert (answer.status, answer.get("content-length"), answer.get("transfer-encoding")) == (
                status,
                length,
                None,
            )
        assert (await client.ask(request("/ping"))).body == b"pong"
    assert service.connections == 1


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with upstream(echoing) as service, gateway(service.port) as running, running.client() as client:
        sent = b"".join(
            request("/ping") if number % 3 == 0 else request(f"/{number}", method="POST", body=b"%d" % number)
            for number in range(100)
        )
        client.send(sent)
        got = [(await client.response()).body for _ in range(100)]
    assert got == [b"pong" if number % 3 == 0 else b"%d" % number for number in range(100)]
    assert service.connections == 1


async def test_pipelined_in_pieces() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        await client.send_slowly(request("/1") + request("/2") + request("/ping") + request("/3"), 3)
        assert [(await client.response()).body for _ in range(4)] == [b"ok", b"ok", b"pong", b"ok"]


async def test_expect_is_relayed_and_the_service_decides() -> None:
    async def script(peer: Peer) -> None:
        message = await peer.head()
        assert message.get("expect") == "100-continue"
        peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await peer.reader.readexactly(3) == b"abc"
        peer.send(OK)
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        client.send(request("/x", b"Expect: 100-continue", b"Content-Length: 3", method="POST"))
        assert (await client.head()).status == 100
        client.send(b"abc")
        assert (await client.response()).body == b"ok"
        assert (await client.ask(request("/ping"))).body == b"pong"


async def test_expect_answered_by_a_refusal() -> None:
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
        await peer.gone()

    async with upstream(script) as service, gateway(service.port) as running, running.client() as client:
        client.send(request("/x", b"Expect: 100-continue", b"Content-Length: 3", method="POST"))
        answer = await client.response()
        assert (answer.status, answer.get("connection")) == (401, "close")
        assert await client.rest() == b""


@pytest.mark.parametrize("says_continue", [True, False])
async def test_expect_is_answered_once(says_continue: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the gateway when the service keeps silent; and never twice, however slowly the client goes on."""
    monkeypatch.setattr("gateway.attempt.CONTINUE_AFTER", 0.1)

    async def script(peer: Peer) -> None:
        await peer.head()
        if says_continue:
            peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await peer.reader.readexactly(3)
        peer.send(OK)
        await peer.gone()

    settings = make_settings(body_timeout=0.6)
    async with (
        upstream(script) as service,
        gateway(service.port, settings=settings) as running,
        running.client() as client,
    ):
        client.send(request("/x", b"Expect: 100-continue", b"Content-Length: 3", method="POST"))
        assert (await client.head()).status == 100
        assert (await soon(read_head(client.reader))).status == 408, "the client's time is over, and that is all"


async def test_interim_answers_are_relayed() -> None:
    pieces = [b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\nlink: </b>\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", OK]
    async with upstream(saying(*pieces)) as service, gateway(service.port) as running, running.client() as client:
        for _ in range(2):
            client.send(request())
            hints = await client.head()
            assert (hints.status, hints.all("link")) == (103, ["</a>", "</b>"])
            assert (await client.head()).status == 102
            assert (await client.response()).body == b"ok"
        assert (await client.ask(request(version="1.0", host=None))).status == 200, "HTTP/1.0 knows no interim answers"
        assert await client.rest() == b""


async def test_100_that_nobody_asked_for_is_dropped() -> None:
    async with (
        upstream(saying(b"HTTP/1.1 100 Continue\r\n\r\n" + OK)) as service,
        gateway(service.port) as running,
        running.client() as client,
    ):
        assert (await client.ask(request(method="POST", body=b"abc"))).body == b"ok"


async def test_rewritten_path() -> None:
    names = frozenset(["id"])
    action = Forward((("up", 1),), Rewrite(parse_template("/items/{id}", names)))
    async with (
        upstream(answering) as service,
        gateway(service.port, paths=[("/api/{id}", action)]) as running,
        running.client() as client,
    ):
        await client.ask(request("/api/a%20b?x=1"))
        assert (await client.ask(request("/api/..%2Fadmin"))).status == 400
    assert [message.first for message in service.requests] == [b"GET /items/a%20b?x=1 HTTP/1.1"]


async def test_plugin_reads_the_request_first() -> None:
    reader = ReadsRequest()
    async with (
        upstream(echoing) as service,
        gateway(service.port, plugins=[reader]) as running,
        running.client() as client,
    ):
        chunks = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        client.send(request("/x", b"Transfer-Encoding: chunked", b"Expect: 100-continue", method="POST"))
        assert (await client.head()).status == 100
        client.send(chunks)
        assert (await client.response()).body == b"abcde"
    assert reader.bodies == [b"abcde"]
    assert service.requests[0].get("content-length") == "5"
    assert not service.requests[0].all("expect")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_plugin_makes_a_body_where_the_client_sent_none(method: str) -> None:
    class MakesBody(ReadsRequest):
        def on_request(self, exchange: Exchange) -> Reply | None:
            exchange.body = b"made"
            return None

    async with (
        upstream(echoing) as service,
        gateway(service.port, plugins=[MakesBody()]) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x", method=method))).body == b"made"
    assert service.requests[0].get("content-length") == "4"


@pytest.mark.parametrize("framing", [b"Content-Length: 101", b"Transfer-Encoding: chunked"])
async def test_more_than_a_plugin_can_read_is_413_and_logged(framing: bytes) -> None:
    async with upstream(echoing) as service, gateway(service.port, plugins=[ReadsRequest()]) as running:
        async with running.client() as client:
            body = b"a" * 101 if b"101" in framing else b"65\r\n" + b"a" * 101 + b"\r\n0\r\n\r\n"
            assert (await client.ask(request("/x", framing, method="POST", body=body))).status == 413
        assert running.recorder.total("on_finish") == 1
    assert service.connections == 0


@pytest.mark.parametrize("replacement", [None, b"", b"other body"])
async def test_plugin_reads_the_response_first(replacement: bytes | None) -> None:
    reader = ReadsResponse(replacement)
    pieces = [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"5\r\nhello\r\n", b"0\r\n\r\n"]
    async with (
        upstream(saying(*pieces)) as service,
        gateway(service.port, plugins=[reader]) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert answer.body == (b"hello" if replacement is None else replacement)
        assert answer.get("content-length") == str(len(answer.body))
    assert reader.bodies == [b"hello"]


@pytest.mark.parametrize("pieces", [[b"a" * 101], [b"a" * 60, b"a" * 41]])
async def test_more_than_a_plugin_can_read_of_a_response_is_502(pieces: list[bytes]) -> None:
    raw = [HEAD + b"Content-Length: 101\r\n\r\n" + pieces[0], *pieces[1:]]
    async with (
        upstream(saying(*raw)) as service,
        gateway(service.port, plugins=[ReadsResponse()]) as running,
        running.client() as client,
    ):
        answer = await client.ask(request())
        assert answer.status == 502
        assert "error=http_response_body_size" in (answer.get("proxy-status") or "")


def _set_length(exchange: Exchange) -> None:
    exchange.headers.set("Content-Length", "1")


def _set_coding(exchange: Exchange) -> None:
    exchange.headers.set("Transfer-Encoding", "chunked")


def _remove_length(exchange: Exchange) -> None:
    exchange.headers.remove("content-length")


def _remove_host(exchange: Exchange) -> None:
    exchange.headers.remove("host")


@pytest.mark.parametrize("act", [_set_length, _set_coding, _remove_length, _remove_host])
async def test_plugin_cannot_break_the_framing_of_a_request(act: object) -> None:
    """Whatever it does to the fields, the service reads the body that the client sent, and no second request."""
    async with (
        upstream(echoing) as service,
        gateway(service.port, plugins=[Requester(act)]) as running,
        running.client() as client,
    ):
        answer = await client.ask(request("/x", method="POST", body=b"abcdef"))
        assert answer.status >= 500 or answer.body == b"abcdef"
        await eventually(lambda: running.proxy.active == 0)
    assert all(message.get("host") for message in service.requests)
