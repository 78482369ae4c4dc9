"""TLS with endpoints: whom the gateway believes, what it shows, and what it calls a failure."""

from __future__ import annotations

import asyncio
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Kind
from gateway.upstreams.retry import RetryPolicy
from gateway.wire.certificates import KeyPair
from gateway.wire.pool import Pool, PoolLimits
from gateway.wire.upstream_tls import UpstreamTls, UpstreamTlsSettings, tls_failure
from tests.support.certificates import authority, issue, server_context, vouched, write_server
from tests.support.gateways import gateway, limits, request
from tests.support.polling import eventually
from tests.support.raw_upstream import OK, Peer, answering, saying, upstream


def tls(folder: Path, **options: Any) -> UpstreamTls:
    (folder / "ca.crt").write_bytes(authority().pem)
    return UpstreamTls(UpstreamTlsSettings(**{"ca": folder / "ca.crt", **options}))


def secured(folder: Path, **options: Any) -> PoolLimits:
    return limits(tls=tls(folder, **options))


async def asked(folder: Path, context: ssl.SSLContext, **options: Any) -> tuple[int, str | None, list[str | None]]:
    """Status, Proxy-Status and the attempts' errors of a request to an upstream that speaks by `context`."""
    async with (
        upstream(answering, tls=context) as service,
        gateway(service.port, limits=secured(folder, **options)) as running,
        running.client() as client,
    ):
        answer = await client.ask(request("/x"))
        return answer.status, answer.get("proxy-status"), running.recorder.errors


async def test_an_upstream_that_can_be_believed(tmp_path: Path) -> None:
    assert await asked(tmp_path, server_context(tmp_path)) == (200, None, [None])


@pytest.mark.parametrize(
    ("name", "names", "options", "error"),
    (
        ("other", ("other.test",), {}, "tls_certificate_error"),
        ("other", ("other.test",), {"server_name": "other.test"}, None),
        ("other", ("other.test",), {"verify": False, "ca": None}, None),
        ("server", ("127.0.0.1",), {"ca": None}, "tls_certificate_error"),
        ("server", ("127.0.0.1",), {"server_name": "localhost"}, "tls_certificate_error"),
    ),
)
async def test_the_certificate_has_to_hold(
    tmp_path: Path, name: str, names: tuple[str, ...], options: dict[str, Any], error: str | None
) -> None:
    write_server(tmp_path, name, *names)
    status, said, errors = await asked(tmp_path, server_context(tmp_path, name), **options)
    assert errors == [error]
    assert (status, said) == (200, None) if error is None else (502, f"gateway; error={error}")


async def test_the_name_that_is_asked_for(tmp_path: Path) -> None:
    names: list[str | None] = []
    context = server_context(tmp_path)
    context.sni_callback = lambda _, name, __: names.append(name)
    await asked(tmp_path, context, server_name="localhost")
    await asked(tmp_path, context)
    assert names == ["localhost", None], "an address is no name to ask for (RFC 6066 §3)"


async def test_certificate_of_our_own(tmp_path: Path) -> None:
    vouched("gateway").write(tmp_path, "gateway")
    pair = KeyPair(tmp_path / "gateway.crt", tmp_path / "gateway.key")
    strict = server_context(tmp_path, asks=True)
    assert await asked(tmp_path, strict, pair=pair) == (200, None, [None])
    # In TLS 1.3 the refusal comes after the handshake, and so after the request.
    assert await asked(tmp_path, strict) == (502, "gateway; error=connection_terminated", ["upstream_reset"])


async def test_an_upstream_that_refuses_the_handshake(tmp_path: Path) -> None:
    strict = server_context(tmp_path, asks=True)
    strict.maximum_version = ssl.TLSVersion.TLSv1_2
    listening = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        connection, _ = listening.accept()
        with connection, pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN"):
            strict.wrap_socket(connection, server_side=True)

    with listening:
        refusing = asyncio.create_task(asyncio.to_thread(refuse))
        port = listening.getsockname()[1]
        async with gateway(port, limits=secured(tmp_path)) as running, running.client() as client:
            assert (await client.ask(request("/x"))).get("proxy-status") == "gateway; error=tls_alert_received"
        await refusing


async def test_an_upstream_that_speaks_no_tls(tmp_path: Path) -> None:
    async def rude(peer: Peer) -> None:
        peer.send(OK)
        await peer.gone()

    async with (
        upstream(rude) as service,
        gateway(service.port, limits=secured(tmp_path)) as running,
        running.client() as client,
    ):
        assert (await client.ask(request("/x"))).get("proxy-status") == "gateway; error=tls_protocol_error"


async def test_an_upstream_that_never_answers_the_handshake(tmp_path: Path) -> None:
    async def mute(peer: Peer) -> None:
        await peer.gone()

    slow = limits(tls=tls(tmp_path), connect=0.05)
    async with upstream(mute) as service, gateway(service.port, limits=slow) as running, running.client() as client:
        assert (await client.ask(request("/x"))).status == 504


@pytest.mark.parametrize("notified", (True, False))
async def test_what_ends_without_close_notify_is_not_whole(tmp_path: Path, notified: bool) -> None:
    async def ending(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nwhole?")
        await peer.writer.drain()
        if not notified:
            raw = peer.writer.get_extra_info("socket").dup()
            await asyncio.sleep(0)
            raw.shutdown(1)
            raw.close()
            await peer.gone()

    async with (
        upstream(ending, tls=server_context(tmp_path)) as service,
        gateway(service.port, limits=secured(tmp_path)) as running,
        running.client() as client,
    ):
        client.send(request("/x"))
        if notified:
            assert (await client.response()).body == b"whole?"
        else:
            assert (await client.head()).status == 200
            assert await client.ends() == "reset"
    assert running.recorder.errors == [None if notified else "upstream_incomplete"]


async def test_sessions_are_resumed(tmp_path: Path) -> None:
    reused: list[bool] = []

    async def noting(peer: Peer) -> None:
        reused.append(peer.writer.get_extra_info("ssl_object").session_reused)
        while True:
            await peer.request()
            await both.wait()
            peer.send(OK)

    both = asyncio.Event()
    async with (
        upstream(noting, tls=server_context(tmp_path)) as service,
        gateway(service.port, limits=secured(tmp_path, server_name="localhost")) as running,
        running.client() as one,
        running.client() as two,
    ):
        both.set()
        assert (await one.ask(request("/1"))).status == 200
        both.clear()
        one.send(request("/2"))
        await eventually(lambda: len(service.requests) == 2)
        two.send(request("/3"))
        await eventually(lambda: len(service.requests) == 3)
        both.set()
        assert [(await one.response()).status, (await two.response()).status] == [200, 200]
    assert reused == [False, True]


async def test_other_rules_are_for_new_connections(tmp_path: Path) -> None:
    async with (
        upstream(answering, tls=server_context(tmp_path)) as service,
        gateway(service.port, limits=secured(tmp_path)) as running,
        running.client() as client,
    ):
        for _ in range(2):
            assert (await client.ask(request("/x"))).status == 200
        assert service.connections == 1
        running.pool.adopt(running.pool.limits)
        assert (await client.ask(request("/x"))).status == 200
        assert service.connections == 1
        running.pool.adopt(secured(tmp_path, server_name="localhost"))
        assert (await client.ask(request("/x"))).status == 200
        assert service.connections == 2
        assert running.pool.origin == f"https://127.0.0.1:{service.port}"


def test_files_that_change(tmp_path: Path) -> None:
    before = tls(tmp_path)
    assert not before.changed()
    (tmp_path / "ca.crt").write_bytes(issue("another", authority=True).pem)
    assert before.changed()
    after = UpstreamTls(before.settings)
    context = before.context
    before.adopt(after)
    assert not before.changed()
    assert before.connecting("a") == {"ssl": after.context, "server_hostname": "a"}
    assert before.context is not context
    assert repr(before) == "<UpstreamTls by host>"


def test_kinds_of_failure() -> None:
    assert tls_failure("a:1", ssl.SSLError(1, "?")).kind is Kind.TLS_PROTOCOL_ERROR
    error = tls_failure("a:1", ssl.SSLError(1, "?"))
    assert (error.answer.status, error.answer.condition, error.answer.retry) == (502, "connect", "always")
    assert error.cause == "a:1: no tls"


async def test_a_refused_endpoint_is_no_reason_to_fail(tmp_path: Path) -> None:
    other = server_context(tmp_path, "server")
    write_server(tmp_path, "wrong", "wrong.test")
    wrong = server_context(tmp_path, "wrong")
    async with (
        upstream(saying(OK), tls=wrong) as bad,
        upstream(answering, tls=other) as good,
        gateway(bad.port, good.port, limits=secured(tmp_path), retries=RetryPolicy()) as running,
        running.client() as client,
    ):
        for _ in range(2):
            assert (await client.ask(request("/x", method="POST", body=b"abc"))).status == 200
    assert "tls_certificate_error" in running.recorder.errors
    assert isinstance(running.pool, Pool)
    assert not bad.requests
