"""What a client may not send: a clear answer, a closed connection, one on_finish, and nothing goes to the service."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from tests.support.gateways import gateway, make_settings, request
from tests.support.messages import Message
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import RawUpstream, answering, upstream

CL3 = b"Content-Length: 3"
CHUNKED = b"Transfer-Encoding: chunked"


class Case(NamedTuple):
    name: str
    sent: bytes
    statuses: tuple[int, ...] = (400,)


def post(*fields: bytes, body: bytes = b"", version: str = "1.1") -> bytes:
    return request("/x", *fields, method="POST", body=body, version=version)


def line(first: bytes) -> bytes:
    return first + b"\r\nHost: a\r\n\r\n"


FRAMING = [
    Case("CL+TE", post(CL3, CHUNKED, body=b"0\r\n\r\n")),
    Case("TE+CL", post(CHUNKED, CL3, body=b"0\r\n\r\n")),
    Case("CL twice, equal", post(CL3, CL3, body=b"abc")),
    Case("CL twice, different", post(CL3, b"Content-Length: 4", body=b"abc")),
    Case("CL twice, another case", post(CL3, b"content-length: 3", body=b"abc")),
    Case("CL +3", post(b"Content-Length: +3", body=b"abc")),
    Case("CL -3", post(b"Content-Length: -3", body=b"abc")),
    Case("CL 0x3", post(b"Content-Length: 0x3", body=b"abc")),
    Case("CL 3,3", post(b"Content-Length: 3,3", body=b"abc")),
    Case("CL 3, 3", post(b"Content-Length: 3, 3", body=b"abc")),
    Case("CL 1_0", post(b"Content-Length: 1_0", body=b"abc")),
    Case("CL 3 3", post(b"Content-Length: 3 3", body=b"abc")),
    Case("CL empty", post(b"Content-Length:", body=b"abc")),
    Case("CL blank", post(b"Content-Length:  ", body=b"abc")),
    Case("CL of 25 digits", post(b"Content-Length: " + b"9" * 25, body=b"abc")),
    Case("CL just over 64 bits", post(b"Content-Length: 18446744073709551616")),
    Case("CL over the limit", post(b"Content-Length: 10485761"), (413,)),
    Case("CL of 64 bits", post(b"Content-Length: 18446744073709551615"), (413,)),
    Case("TE xchunked", post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n"), (400, 501)),
    Case("TE chunkedx", post(b"Transfer-Encoding: chunkedx", body=b"0\r\n\r\n"), (400, 501)),
    Case("TE gzip, chunked", post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), (501,)),
    Case("TE chunked, gzip", post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n"), (400, 501)),
    Case("TE chunked, chunked", post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n"), (400, 501)),
    Case("TE twice", post(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    Case("TE chunked and identity", post(CHUNKED, b"Transfer-Encoding: identity", body=b"0\r\n\r\n")),
    Case("TE identity", post(b"Transfer-Encoding: identity", body=b"abc"), (400, 501)),
    Case("TE empty", post(b"Transfer-Encoding:", body=b"0\r\n\r\n"), (400, 501)),
    Case("TE quoted", post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n"), (400, 501)),
    Case("TE with a parameter", post(b"Transfer-Encoding: chunked;q=1", body=b"0\r\n\r\n"), (400, 501)),
    Case("TE after a vertical tab", post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")),
    Case("TE in HTTP/1.0", post(CHUNKED, body=b"0\r\n\r\n", version="1.0")),
    Case("TE with blank before colon", post(b"Transfer-Encoding : chunked", body=b"0\r\n\r\n")),
    Case("TE folded", post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n")),
]
SYNTAX = [
    Case("obs-fold", request("/x", b"X: a\r\n b")),
    Case("obs-fold with a tab", request("/x", b"X: a\r\n\tb")),
    Case("fold before the first field", b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n"),
    Case("bare LF after a field", request("/x", b"X: a\nY: b")),
    Case("bare LF after the request line", b"GET /x HTTP/1.1\nHost: a\r\n\r\n"),
    Case("bare LFs at the end", b"GET /x HTTP/1.1\r\nHost: a\n\n"),
    Case("bare LF before the request", b"\n" + request()),
    Case("bare CRs before the request", b"\r\r\n" + request()),
    Case("bare CR in a value", request("/x", b"X: a\rb")),
    Case("bare CR in a name", request("/x", b"X\rY: b")),
    Case("NUL in a value", request("/x", b"X: a\x00b")),
    Case("NUL in a name", request("/x", b"X\x00Y: b")),
    Case("control byte in a value", request("/x", b"X: a\x01b")),
    Case("DEL in a value", request("/x", b"X: a\x7fb")),
    Case("control byte in a name", request("/x", b"X\x01Y: b")),
    Case("blank before colon", request("/x", b"X : a")),
    Case("tab before colon", request("/x", b"X\t: a")),
    Case("space before a name", b"GET /x HTTP/1.1\r\nHost: a\r\n X: a\r\n\r\n"),
    Case("no name", request("/x", b": a")),
    Case("no colon", request("/x", b"XYZ")),
    Case("parenthesis in a name", request("/x", b"X(: a")),
    Case("high byte in a name", request("/x", b"X\xe9: a")),
    Case("double space before the version", line(b"GET /x  HTTP/1.1")),
    Case("double space before the target", line(b"GET  /x HTTP/1.1")),
    Case("tab in the request line", line(b"GET\t/x HTTP/1.1")),
    Case("blank after the version", line(b"GET /x HTTP/1.1 ")),
    Case("space in the target", line(b"GET /x y HTTP/1.1")),
    Case("control byte in the target", line(b"GET /\x01 HTTP/1.1")),
    Case("NUL in the target", line(b"GET /\x00 HTTP/1.1")),
    Case("high bytes in the target", line(b"GET /\xc3\xa9 HTTP/1.1")),
    Case("fragment in the target", line(b"GET /x#y HTTP/1.1")),
    Case("fragment in the query", line(b"GET /x?q#y HTTP/1.1")),
    Case("target without a slash", line(b"GET x HTTP/1.1")),
    Case("HTTP/1.2", line(b"GET /x HTTP/1.2"), (505,)),
    Case("HTTP/2.0", line(b"GET /x HTTP/2.0"), (505,)),
    Case("HTTP/0.9", line(b"GET /x HTTP/0.9"), (400, 505)),
    Case("HTTP/1.10", line(b"GET /x HTTP/1.10"), (400, 505)),
    Case("HTTP/1,1", line(b"GET /x HTTP/1,1"), (400, 505)),
    Case("http/1.1", line(b"GET /x http/1.1"), (400, 505)),
    Case("no version", line(b"GET /x"), (400, 505)),
    Case("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", (400, 501, 505)),
    Case("lower-case method", line(b"get /x HTTP/1.1"), (400, 501)),
    Case("unknown method", line(b"FROB /x HTTP/1.1"), (501,)),
    Case("method with a known beginning", line(b"GETX /x HTTP/1.1"), (400, 501)),
    Case("method with a control byte", line(b"G\x01T /x HTTP/1.1")),
    Case("TLS on a plain port", bytes.fromhex("16030100c8010000c40303") + bytes(200)),
    Case("empty lines only", b"\r\n" * 50),
    Case("unknown expectation", request("/x", b"Expect: 200-ok"), (417,)),
]
CREDENTIALS = [
    Case("Authorization twice", request("/x", b"Authorization: Bearer a", b"Authorization: Bearer b")),
    Case("Authorization twice, the same", request("/x", b"Authorization: Bearer a", b"authorization: Bearer a")),
    Case(
        "Authorization twice, hidden",
        request("/x", b"Authorization: a", b"Authorization: b", b"Connection: authorization"),
    ),
]
HOSTS = [
    Case("Host missing", request(host=None)),
    Case("Host twice", request("/x", b"Host: a")),
    Case("Host twice, different", request("/x", b"host: b")),
    Case("Host empty", request(host=b"")),
    Case("Host with a space", request(host=b"a b")),
    Case("Host with a comma list", request(host=b"a, b")),
    Case("Host with a path", request(host=b"a/b")),
    Case("Host with a user", request(host=b"user@a")),
    Case("Host with a bad port", request(host=b"a:x")),
    Case("Host with two ports", request(host=b"a:1:2")),
    Case("Host with a query", request(host=b"a?b")),
    Case("Host with a fragment", request(host=b"a#b")),
    Case("Host with a high byte", request(host=b"\xe9")),
    Case("Host an open bracket", request(host=b"[::1")),
    Case("absolute target, another Host", request("http://b/x")),
    Case("absolute target, another port", request("http://a:81/x")),
    Case("absolute target without Host", request("http://a/x", host=None)),
    Case("absolute target with a user", request("http://user@a/x", host=b"a")),
    Case("absolute target, empty authority", request("http:///x")),
    Case("absolute target, another scheme", request("ftp://a/x")),
]
BODIES = [
    Case("sign before a chunk's size", post(CHUNKED, body=b"+3\r\nabc\r\n0\r\n\r\n")),
    Case("minus before a chunk's size", post(CHUNKED, body=b"-3\r\nabc\r\n0\r\n\r\n")),
    Case("blank before a chunk's size", post(CHUNKED, body=b" 3\r\nabc\r\n0\r\n\r\n")),
    Case("blank after a chunk's size", post(CHUNKED, body=b"3 \r\nabc\r\n0\r\n\r\n")),
    Case("0x before a chunk's size", post(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n")),
    Case("underscore in a chunk's size", post(CHUNKED, body=b"0_3\r\nabc\r\n0\r\n\r\n")),
    Case("empty chunk size", post(CHUNKED, body=b"\r\nabc\r\n0\r\n\r\n")),
    Case("chunk size over 64 bits", post(CHUNKED, body=b"1" + b"0" * 17 + b"\r\nabc\r\n0\r\n\r\n")),
    Case("bare LF after a chunk's size", post(CHUNKED, body=b"3\nabc\r\n0\r\n\r\n")),
    Case("bare CR after a chunk's size", post(CHUNKED, body=b"3\rabc\r\n0\r\n\r\n")),
    Case("no CRLF after a chunk", post(CHUNKED, body=b"3\r\nabc0\r\n\r\n")),
    Case("bare LF after a chunk", post(CHUNKED, body=b"3\r\nabc\n0\r\n\r\n")),
    Case("bare LF after the last chunk", post(CHUNKED, body=b"3\r\nabc\r\n0\n\n")),
    Case("longer than its chunk", post(CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n")),
    Case("bare LF in a chunk's extension", post(CHUNKED, body=b"3;a\nb\r\nabc\r\n0\r\n\r\n")),
    Case("NUL in a trailer", post(CHUNKED, body=b"0\r\nX: \x00\r\n\r\n")),
    Case("folded trailer", post(CHUNKED, body=b"0\r\nX: a\r\n b\r\n\r\n")),
    Case("endless chunk extension", post(CHUNKED, body=b"3;" + b"e" * 70_000)),
    Case("endless trailers", post(CHUNKED, body=b"0\r\n" + b"X: aaaaaaaaaaaaa\r\n" * 5_000)),
    Case("one endless trailer", post(CHUNKED, body=b"0\r\nX: " + b"a" * 70_000)),
]
SIZES = [
    Case("head too large at once", request("/x", b"X: " + b"a" * 40_000), (431,)),
    Case("head too large in many fields", request("/x", *[b"X%d: " % n + b"a" * 500 for n in range(100)]), (431,)),
    Case("too many fields", request("/x", *[b"X: 1"] * 128), (431,)),
    Case("long target", request("/" + "a" * 40_000), (414,)),
    Case("endless target", b"GET /" + b"a" * 40_000, (414,)),
    Case("endless method", b"G" * 40_000, (400, 414, 501)),
]
HEADS = FRAMING + SYNTAX + CREDENTIALS + HOSTS + SIZES


def is_a_refusal(answer: Message, statuses: tuple[int, ...]) -> None:
    assert answer.status in statuses, (answer.head, answer.body)
    assert answer.get("connection") == "close"
    assert answer.get("content-type") == "application/problem+json"
    assert answer.get("proxy-status") is None


@pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)
async def test_head_is_refused(case: Case) -> None:
    async with upstream(answering) as service, gateway(service.port) as running:
        async with running.client() as client:
            answer = await client.ask(case.sent)

            is_a_refusal(answer, case.statuses)
            assert await client.rest() == b""
        await running.settled()
        assert running.recorder.total("on_finish") == 1
        assert running.recorder.total("on_attempt") == 0
    assert (service.connections, service.requests) == (0, [])


@pytest.mark.parametrize("case", HEADS, ids=lambda case: case.name)
async def test_head_is_refused_after_a_good_request_and_byte_by_byte(case: Case) -> None:
    async with upstream(answering) as service, gateway(service.port) as running:
        async with running.client() as client:
            assert (await client.ask(request("/first"))).status == 200
            for start in range(0, len(case.sent), 1 + len(case.sent) // 400):
                client.send(case.sent[start : start + 1 + len(case.sent) // 400])
                await client.writer.drain()

            answer = await client.response()

            is_a_refusal(answer, case.statuses)
            assert await client.rest() == b""
        await running.settled()
        assert running.recorder.total("on_finish") == 2
    assert [message.first for message in service.requests] == [b"GET /first HTTP/1.1"]


@pytest.mark.parametrize("case", BODIES, ids=lambda case: case.name)
async def test_body_is_refused(case: Case) -> None:
    async with upstream(answering) as service, gateway(service.port) as running:
        async with running.client() as client:
            answer = await client.ask(case.sent)

            is_a_refusal(answer, case.statuses)
            assert await client.rest() == b""
        await running.settled()
        assert running.recorder.total("on_finish") == 1
        assert running.endpoint.errors == 0, "a client's mistake is no error of the service"
    assert not any(message.body for message in service.requests)


async def test_garbage_after_a_counted_body_is_the_next_request_and_refused() -> None:
    async with upstream(answering) as service, gateway(service.port) as running:
        async with running.client() as client:
            client.send(post(CL3, body=b"abc") + b"xyz garbage\r\n\r\n")

            assert (await client.response()).status == 200
            is_a_refusal(await client.response(), (400, 501))
            assert await client.rest() == b""
        await running.settled()
        assert running.recorder.total("on_finish") == 2
    assert [message.body for message in service.requests] == [b"abc"]


async def test_chunked_body_over_the_limit_is_cut_where_it_passes_it() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=make_settings(request_body=10)) as running,
    ):
        async with running.client() as client:
            client.send(post(CHUNKED, body=b"8\r\n12345678\r\n"))
            client.send(b"8\r\n12345678\r\n0\r\n\r\n")

            is_a_refusal(await client.response(), (413,))
            assert await client.rest() == b""
        await running.settled()
        assert running.endpoint.errors == 0
    assert not any(message.body for message in service.requests)


async def test_body_just_at_the_limit_passes() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=make_settings(request_body=8)) as running,
        running.client() as client,
    ):
        assert (await client.ask(post(CHUNKED, body=b"8\r\n12345678\r\n0\r\n\r\n"))).status == 200
        assert (await client.ask(post(body=b"12345678"))).status == 200
        is_a_refusal(await client.ask(post(body=b"123456789")), (413,))
    assert [message.body for message in service.requests] == [b"12345678", b"12345678"]


async def test_refused_client_may_finish_its_sentence() -> None:
    """Without that, its bytes would be answered by a reset, which takes the refusal out of its hands."""
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        client.send(post(b"Content-Length: 99999999"))
        client.send(b"a" * 200_000)

        is_a_refusal(await client.response(), (413,))
        client.send(b"a" * 200_000)
        assert await client.rest() == b""
    assert service.connections == 0


async def test_refused_client_may_not_talk_for_ever() -> None:
    async def talk(client: RawClient) -> None:
        for _ in range(1000):
            client.send(b"a" * 65_536)
            await client.writer.drain()

    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        is_a_refusal(await client.ask(request(host=None)), (400,))

        with pytest.raises(ConnectionError):
            await talk(client)
    assert service.connections == 0


async def test_head_in_time_or_408() -> None:
    settings = make_settings(head_timeout=0.1)
    async with upstream(answering) as service, gateway(service.port, settings=settings) as running:
        async with running.client() as client:
            client.send(b"GET / HT")

            is_a_refusal(await client.response(), (408,))
            assert await client.rest() == b""
        async with running.client() as silent:
            assert await silent.rest() == b"", "who says nothing is told nothing"
        await running.settled()
        assert running.recorder.total("on_finish") == 1
    assert service.connections == 0


async def test_dripping_does_not_renew_the_time_for_the_head() -> None:
    settings = make_settings(head_timeout=0.2)
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=settings) as running,
        running.client() as client,
    ):
        answered = client.reader.readuntil(b"\r\n\r\n")

        waiting = asyncio.ensure_future(answered)
        for letter in request("/" + "a" * 2000):
            if waiting.done():
                break
            client.send(bytes([letter]))
            await asyncio.wait([waiting], timeout=0.01)
        assert waiting.done(), "the whole head was allowed to drip in"
        assert (await waiting).startswith(b"HTTP/1.1 408 ")


async def test_too_many_connections() -> None:
    async with (
        upstream(answering) as service,
        gateway(service.port, settings=make_settings(connections=1)) as running,
        running.client() as first,
    ):
        assert (await first.ask(request())).status == 200
        async with running.client() as second:
            answer = await second.response()
            assert (answer.status, answer.get("connection")) == (503, "close")
            assert answer.get("retry-after")
            assert await second.rest() == b""
        assert (await first.ask(request())).status == 200


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
async def test_method_that_is_never_forwarded(method: str) -> None:
    target = "a:80" if method == "CONNECT" else "/x"
    async with upstream(answering) as service, gateway(service.port) as running:
        async with running.client() as client:
            answer = await client.ask(request(target, method=method))

            assert answer.status == 405
            assert answer.get("allow")
        assert running.recorder.total("on_finish") == 1
    assert service.connections == 0


async def test_asterisk_target() -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request("*", method="OPTIONS"))).status == 405
    assert service.connections == 0


def only(service: RawUpstream) -> Message:
    (message,) = service.requests
    return message


@pytest.mark.parametrize("path", ["/%FF%2541", "/%ff%25%34%31", "/a/%C0%AF%2525", "/%ED%A0%80%2541"])
async def test_path_that_is_not_utf8_is_no_crash(path: str) -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request(path))).status in (200, 400)


@pytest.mark.parametrize("path", ["/%00", "/a%0d%0ab", "/%7F", "/%zz", "/%", "/a%2", "/%250a"])
async def test_path_with_a_bad_escape(path: str) -> None:
    async with upstream(answering) as service, gateway(service.port) as running, running.client() as client:
        assert (await client.ask(request(path))).status == 400
    assert service.connections == 0
