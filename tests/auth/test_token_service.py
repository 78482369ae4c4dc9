"""A token service is asked by form, and nothing but its own clear answer counts as one."""

from __future__ import annotations

import asyncio
import gzip
import logging
import ssl
from base64 import b64decode
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from gateway.auth.token_service import MAX_ANSWER, TokenService, TokenServiceError, TokenServiceOptions
from gateway.errors import ANSWERS
from gateway.plugin import Duration, GatewayError, Kind, Secret, UpstreamReply
from gateway.testing import FakeClock, FakeUpstream, make_env
from tests.support.misbehaving import resetting, status
from tests.support.polling import soon
from tests.support.raw_upstream import Peer, RawUpstream, Script, in_turn, saying, silent, upstream

TOKEN = "tok.en-1234567890"
SECRET = "s3cr&t ü:%"
FORM = (("token", TOKEN), ("token_type_hint", "access_token"))
ACTIVE = UpstreamReply(200, {}, b'{"active": true}')
GOOD = status(200, body=b'{"active": true}')
RESET = GatewayError(Kind.UPSTREAM_RESET, cause=f"closed before a head {TOKEN}")


def options(**fields: Any) -> TokenServiceOptions:
    place = {} if "url" in fields or "upstream" in fields else {"upstream": "auth", "path": "/introspect"}
    return TokenServiceOptions(**{"client_id": "gate way", "client_secret": Secret(SECRET), **place, **fields})


def service(fake: FakeUpstream, clock: FakeClock | None = None, **fields: Any) -> TokenService:
    return TokenService(options(**fields), make_env(clock, upstreams={"auth": fake}))


async def failure(asked: TokenService) -> TokenServiceError:
    """Why there is no answer. Nobody's secret is in it."""
    with pytest.raises(TokenServiceError) as raised:
        await soon(asked.ask(FORM))
    assert TOKEN not in str(raised.value)
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None
    return raised.value


# options


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"url": "https://a.example/x", "upstream": "auth", "path": "/x"}, "say where the service is"),
        ({"url": "https://a.example/x", "path": "/x"}, "say where the service is"),
        ({"upstream": "auth"}, "say where the service is"),
        ({"url": None}, "say where the service is"),
        ({"upstream": "auth", "path": "introspect"}, "no raw path"),
        ({"upstream": "auth", "path": "/a b"}, "no raw path"),
        ({"upstream": "auth", "path": "/a\r\nX: 1"}, "no raw path"),
        ({"upstream": "auth", "path": "/a#b"}, "no raw path"),
        ({"url": "http://a.example/x"}, "is not https"),
        ({"url": "http://127.0.0.1.a.example/x"}, "is not https"),
        ({"url": "http://10.0.0.1/x"}, "is not https"),
        ({"url": "ftp://a.example/x"}, "no URL to ask"),
        ({"url": "a.example/x"}, "no URL to ask"),
        ({"url": "https:///x"}, "no URL to ask"),
        ({"url": "https://a.example:99999/x"}, "no URL to ask"),
        ({"url": "https://a.example/x#y"}, "no URL to ask"),
        ({"url": "https://a.example/x y"}, "no URL to ask"),
        ({"url": "https://a.example/\nx"}, "no URL to ask"),
        ({"client_id": ""}, "neither is empty"),
        ({"client_secret": Secret("")}, "neither is empty"),
        ({"timeout": Duration(0)}, "more than 0"),
        ({"status_on_error": 200}, "400 to 599"),
        ({"status_on_error": 600}, "400 to 599"),
    ],
)
def test_options_that_cannot_be(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        options(**fields)


def test_a_password_in_the_url_is_not_told_on() -> None:
    with pytest.raises(ValueError, match="client_secret") as raised:
        options(url="https://user:hunter2@a.example/x")
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://a.example/x?tenant=1",
        "http://localhost:9004/introspect",
        "http://127.0.0.2/x",
        "http://[::1]:8080/x",
    ],
)
def test_where_a_secret_may_be_sent(url: str) -> None:
    assert options(url=url).url == url


def test_plain_http_is_allowed_in_so_many_words() -> None:
    assert options(url="http://idp.internal/x", insecure_http=True).place == "http://idp.internal/x"


def test_an_unknown_upstream_is_found_at_construction() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        TokenService(options(upstream="nowhere", path="/x"), make_env())


def test_an_upstream_that_has_gone_makes_a_new_instance_necessary() -> None:
    asked = service(FakeUpstream())

    assert asked.is_current(make_env(upstreams={"auth": FakeUpstream()}))
    assert not asked.is_current(make_env())
    assert TokenService(options(url="https://a.example/x"), make_env()).is_current(make_env())


# what is sent


async def test_the_token_goes_in_the_form_and_the_client_in_authorization() -> None:
    fake = FakeUpstream([ACTIVE])

    assert await service(fake).ask(FORM) == {"active": True}

    [(method, path, headers, body)] = fake.calls
    assert (method, path) == ("POST", "/introspect")
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert headers["Accept"] == "application/json"
    assert parse_qs(body.decode(), strict_parsing=True) == {"token": [TOKEN], "token_type_hint": ["access_token"]}
    scheme, _, pair = headers["Authorization"].partition(" ")
    # RFC 6749 §2.3.1
    assert scheme == "Basic"
    assert [unquote_plus(part) for part in b64decode(pair).decode("ascii").split(":")] == ["gate way", SECRET]


async def test_the_client_in_the_form() -> None:
    fake = FakeUpstream([ACTIVE])
    await service(fake, client_auth="post").ask(FORM)

    [(_, path, headers, body)] = fake.calls
    assert "Authorization" not in headers
    assert path == "/introspect"
    fields = parse_qs(body.decode(), strict_parsing=True)
    assert (fields["client_id"], fields["client_secret"]) == (["gate way"], [SECRET])


async def test_a_field_may_come_twice() -> None:
    fake = FakeUpstream([ACTIVE])
    await service(fake).ask((("audience", "a&b"), ("audience", "c")))

    assert parse_qs(fake.calls[0][3].decode()) == {"audience": ["a&b", "c"]}


def test_what_is_shown_of_the_options() -> None:
    assert SECRET not in repr(options())


# what is an answer


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>active: true</html>", b'"active"', b"true", b"[1]", b"null", b'{"active": tru', b"\xff", b"[" * 5000],
)
async def test_what_is_no_json_object_is_no_answer(body: bytes) -> None:
    error = await failure(service(FakeUpstream([UpstreamReply(200, {}, body)])))
    assert "no JSON object" in str(error)


@pytest.mark.parametrize("code", [201, 204, 301, 302, 307, 400, 401, 403, 404, 429, 500, 503])
async def test_another_status_than_200_is_no_answer(code: int) -> None:
    error = await failure(service(FakeUpstream([UpstreamReply(code, {}, ACTIVE.body)])))
    assert (str(error), error.code) == (f"it answered {code}", "")


@pytest.mark.parametrize(
    ("code", "body", "text", "told"),
    [
        (400, b'{"error": "invalid_target"}', "it answered 400 invalid_target", "invalid_target"),
        (401, b'{"error": "invalid_client"}', "it answered 401 invalid_client", ""),
        (403, b'{"error": "invalid_grant"}', "it answered 403 invalid_grant", ""),
        (400, f'{{"error": "{TOKEN}"}}'.encode(), "it answered 400", ""),
        (400, b'{"error": ["invalid_grant"]}', "it answered 400", ""),
        (400, f'{{"error": "invalid_grant", "error_description": "{TOKEN}"}}'.encode(), None, "invalid_grant"),
    ],
)
async def test_a_refusal_with_a_reason(code: int, body: bytes, text: str | None, told: str) -> None:
    error = await failure(service(FakeUpstream([UpstreamReply(code, {}, body)])))

    assert error.code == told
    assert text is None or str(error) == text


@pytest.mark.parametrize("kind", [kind for kind in Kind if ANSWERS[kind].side == "upstream"])
async def test_an_upstream_that_gives_no_answer(kind: Kind) -> None:
    fake = FakeUpstream([GatewayError(kind, cause=f"said {TOKEN}")])

    assert str(await failure(service(fake))) == ANSWERS[kind].title
    assert len(fake.calls) == (2 if kind is Kind.UPSTREAM_RESET else 1)


async def test_an_upstream_that_a_reload_took_away() -> None:
    class Gone(FakeUpstream):
        async def request(self, *arguments: Any, **named: Any) -> UpstreamReply:
            raise LookupError("no upstream 'auth' in this configuration")

    assert "no upstream" in str(await failure(service(Gone())))


# a second try


async def test_a_connection_that_ended_is_tried_once_more() -> None:
    fake = FakeUpstream([RESET, ACTIVE])

    assert await service(fake).ask(FORM) == {"active": True}
    assert fake.calls[0] == fake.calls[1]


async def test_the_second_try_has_the_rest_of_the_time() -> None:
    clock = FakeClock()
    given: list[float] = []

    class Slow(FakeUpstream):
        async def request(
            self,
            method: str,
            path: str,
            headers: Mapping[str, str] | None = None,
            body: bytes = b"",
            timeout: float = 5.0,
            max_body: int = 1 << 20,
        ) -> UpstreamReply:
            assert max_body == MAX_ANSWER
            given.append(timeout)
            clock.advance(0.4)
            raise RESET

    asked = service(Slow(), clock, timeout=Duration("500ms"))
    await failure(asked)
    assert given == [0.5, pytest.approx(0.1)]
    given.clear()
    await failure(service(Slow(), clock, timeout=Duration("300ms")))
    assert given == [0.3]


# what is told


async def test_the_log_hears_of_it_once_a_second(caplog: pytest.LogCaptureFixture) -> None:
    clock = FakeClock()
    asked = service(FakeUpstream(), clock)
    for _ in range(3):
        error = asked.unavailable(TokenServiceError("it hung up"))
        clock.advance(0.4)
    assert (error.kind, error.answer.status, error.cause) == (Kind.AUTH_UNAVAILABLE, 503, "it hung up")
    assert error.failure is None, "a fallback would stand in for access"
    assert [record.getMessage() for record in caplog.records] == [
        "the token service at /introspect of auth cannot be used: it hung up"
    ]
    asked.unavailable(TokenServiceError("it hung up"))
    assert len(caplog.records) == 2


def test_another_status_while_it_cannot_be_decided() -> None:
    error = service(FakeUpstream(), status_on_error=403).unavailable(TokenServiceError("x"))
    assert (error.kind, error.answer.status) == (Kind.AUTH_UNAVAILABLE, 403)


def test_the_log_does_not_show_the_query() -> None:
    assert options(url="https://a.example/x?key=1").place == "https://a.example/x"


# over a socket


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield session


def at(peer: RawUpstream, http: aiohttp.ClientSession, timeout: str = "5s", path: str = "/introspect") -> TokenService:
    url = f"http://127.0.0.1:{peer.port}{path}"
    return TokenService(options(url=url, timeout=Duration(timeout)), make_env(http=http))


async def test_a_url_is_asked(http: aiohttp.ClientSession) -> None:
    async with upstream(saying(GOOD)) as peer:
        assert await soon(at(peer, http, path="/x?tenant=1").ask(FORM)) == {"active": True}

    [message] = peer.requests
    assert message.first == b"POST /x?tenant=1 HTTP/1.1"
    assert parse_qs(message.body.decode()) == {"token": [TOKEN], "token_type_hint": ["access_token"]}
    assert message.get("content-type") == "application/x-www-form-urlencoded"
    assert message.get("accept-encoding") == "identity"
    assert (message.get("authorization") or "").startswith("Basic ")
    assert message.all("cookie") == []


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
MISDEEDS = [
    (saying(status(200, body=b"<html><body>active: true</body></html>")), "no JSON object"),
    (saying(status(302, b"Location: http://127.0.0.1:9/", body=ACTIVE.body)), "it answered 302"),
    (saying(status(200, body=b'{"active": true, "x": "' + b"x" * MAX_ANSWER + b'"}')), "more than 262144 bytes"),
    (saying(status(200, b"Content-Encoding: gzip", body=gzip.compress(ACTIVE.body))), "no JSON object"),
    (saying(b"nonsense\r\n\r\n"), "broken"),
    (saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n"), "broken"),
    (saying(CHUNKED + b"zz\r\n" + ACTIVE.body, close=True), "broken"),
    (saying(CHUNKED + b"10\r\n" + ACTIVE.body + b"\r\n", close=True), "broken"),
    (saying(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n" + ACTIVE.body, close=True), "broken"),
    (resetting, "hung up"),
]


@pytest.mark.parametrize(("script", "text"), MISDEEDS)
async def test_a_service_that_misbehaves(
    script: Script, text: str, http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        async with upstream(script) as peer:
            error = await failure(at(peer, http))
    assert text in str(error)
    assert TOKEN not in caplog.text


async def endless(peer: Peer) -> None:
    """A body that never ends, and is cut off by who reads it."""
    await peer.request()
    peer.send(CHUNKED)
    while True:
        peer.send(b"ffff\r\n" + bytes(0xFFFF) + b"\r\n")
        await peer.writer.drain()


async def test_a_body_without_end_is_cut_off(http: aiohttp.ClientSession) -> None:
    async with upstream(endless) as peer:
        assert "more than 262144 bytes" in str(await failure(at(peer, http)))


async def trickling(peer: Peer) -> None:
    """A head that comes, and a body that never does."""
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + ACTIVE.body[:8])
    await peer.gone()


@pytest.mark.parametrize("script", [silent, trickling])
async def test_a_service_that_hangs_is_left(script: Script, http: aiohttp.ClientSession) -> None:
    async with upstream(script) as peer:
        assert str(await failure(at(peer, http, "100ms"))) == "it did not answer in 100ms"
        assert len(peer.requests) == 1


async def test_a_service_that_is_not_there(http: aiohttp.ClientSession, unused_tcp_port: int) -> None:
    url = f"http://127.0.0.1:{unused_tcp_port}/introspect"
    error = await failure(TokenService(options(url=url), make_env(http=http)))
    assert "cannot be reached" in str(error)


async def once(peer: Peer) -> None:
    """One answer, and the connection ends when the next request is there."""
    await peer.request()
    peer.send(GOOD)
    await peer.request()


async def test_a_kept_connection_that_was_closed_costs_nobody_an_answer(http: aiohttp.ClientSession) -> None:
    async with upstream(in_turn(once, saying(GOOD))) as peer:
        asked = at(peer, http)
        for _ in range(2):
            assert await soon(asked.ask(FORM)) == {"active": True}
        assert peer.connections == 2


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a server for 127.0.0.1 speaks TLS with that nobody vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(serialization.Encoding.PEM, *plain))
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


@pytest.mark.parametrize("insecure_http", [False, True])
async def test_nothing_is_sent_to_whom_nobody_vouches_for(
    insecure_http: bool, http: aiohttp.ClientSession, tmp_path: Path
) -> None:
    peer = RawUpstream(saying(GOOD))
    server = await asyncio.start_server(peer._accepted, "127.0.0.1", 0, ssl=self_signed(tmp_path))
    url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/introspect"
    try:
        error = await failure(TokenService(options(url=url, insecure_http=insecure_http), make_env(http=http)))
        assert "cannot be reached" in str(error)
        assert not peer.requests
    finally:
        server.close()
        await peer.stop()
