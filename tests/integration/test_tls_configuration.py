"""TLS from a configuration: certificates that change, clients that are known by theirs, redirects, upstreams."""

from __future__ import annotations

import asyncio
import logging
import shutil
import ssl
from pathlib import Path

import pytest

from gateway.process import certificate_watch
from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import collected
from gateway.wire.upstream_tls import UpstreamTls
from tests.support.certificates import authority, client_context, issue, server_context, vouched, write_server
from tests.support.gateways import request
from tests.support.peers import nginx
from tests.support.polling import eventually
from tests.support.ports import free_port
from tests.support.raw_client import connected
from tests.support.raw_upstream import answering, upstream
from tests.support.runtimes import Running, running

CURL = shutil.which("curl")
ADMIN = "admin: {bind: '127.0.0.1:0'}\n"
SERVER = "{cert: server.crt, key: server.key}"
PING = "routes: [{name: ping, match: {path: /ping}, respond: {text: pong}}, {name: all, to: up}]\n"


def listening(tls: str, more: str = "") -> str:
    return f"version: 1\nlisteners: [{{bind: '127.0.0.1:0', tls: {tls}}}{more}]\n{ADMIN}"


def up(port: int, options: str = "", scheme: str = "http") -> str:
    return f"upstreams: {{up: {{endpoints: ['{scheme}://127.0.0.1:{port}'] {options}}}}}\n{PING}"


async def shown_to(worker: Running, folder: Path, name: str = "localhost") -> int:
    """The serial number of the certificate that a client gets who asks for `name`."""
    context = client_context(folder)
    context.check_hostname = False
    async with connected(worker.port, tls=context, server_name=name) as client:
        assert (await client.ask(request("/ping"))).status == 200
        return int(client.writer.get_extra_info("peercert")["serialNumber"], 16)


def put(path: Path, data: bytes) -> None:
    """At once: half a file would be another change."""
    new = path.with_suffix(".new")
    new.write_bytes(data)
    new.replace(path)


async def test_certificates_that_change_go_into_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "gateway.process")
    monkeypatch.setattr(certificate_watch, "INTERVAL", 0.01)
    first = write_server(tmp_path)
    other = vouched("other", "other.test")
    other.write(tmp_path, "other")
    text = listening(f"{{certificates: [{SERVER}, {{cert: other.crt, key: other.key}}]}}") + up(9)
    async with running(tmp_path, text) as worker, connected(worker.port, tls=client_context(tmp_path)) as before:
        assert (await before.ask(request("/ping"))).status == 200
        assert await shown_to(worker, tmp_path) == first.certificate.serial_number
        assert await shown_to(worker, tmp_path, "other.test") == other.certificate.serial_number
        # Of two files one is written first.
        second = issue("second", ["localhost"], authority(), days=7)
        put(tmp_path / "server.crt", second.pem)
        await eventually(lambda: "server.key is not the key of" in caplog.text)
        assert await shown_to(worker, tmp_path) == first.certificate.serial_number
        put(tmp_path / "server.key", second.key_pem())
        await eventually(lambda: "new certificates are in service" in caplog.text)
        assert await shown_to(worker, tmp_path) == second.certificate.serial_number
        assert await shown_to(worker, tmp_path, "other.test") == other.certificate.serial_number
        assert (await before.ask(request("/ping"))).status == 200, "the old connection goes on"
        address = worker.runtime.listeners[0].address
        body, _ = expose([collected(worker.runtime.metrics)])
        until = int(second.certificate.not_valid_after_utc.timestamp())
        line = f'gateway_tls_certificate_expiry_seconds{{listener="{address}",name="localhost"}} '
        (found,) = [one for one in body.decode().splitlines() if one.startswith(line)]
        assert float(found.removeprefix(line)) == until
        assert worker.runtime.version == 1
    assert caplog.text.count("certificates are not changed") == 1


async def test_a_reload_brings_other_certificates(tmp_path: Path) -> None:
    write_server(tmp_path)
    other = vouched("other", "other.test")
    other.write(tmp_path, "other")
    text = listening(f"{{certificates: [{SERVER}]}}") + up(9)
    async with running(tmp_path, text) as worker, connected(worker.port, tls=client_context(tmp_path)) as before:
        assert (await before.ask(request("/ping"))).status == 200
        worker.write(text.replace("server.", "other."))
        assert await worker.runtime.reload()
        assert await shown_to(worker, tmp_path) == other.certificate.serial_number
        worker.write(text.replace("server.", "absent."))
        assert not await worker.runtime.reload()
        assert "absent.crt cannot be read" in worker.runtime.last.texts[0]
        worker.write(text.replace(f", tls: {{certificates: [{SERVER}]}}", ""))
        assert not await worker.runtime.reload()
        assert "a reload cannot change where the gateway listens, 127.0.0.1:0 with TLS" in worker.runtime.last.texts[0]
        assert await shown_to(worker, tmp_path) == other.certificate.serial_number
        assert (await before.ask(request("/ping"))).status == 200


MUTUAL = (
    "{certificates: [{cert: server.crt, key: server.key}], client_ca: ca.crt, client_auth: optional, client_headers: "
    "{subject: X-Client-Subject, san: X-Client-San, certificate: Client-Cert, fingerprint: X-Client-Fingerprint}}"
)
# In TLS 1.3 a client learns of it after the handshake, and perhaps only that nobody answers.
REFUSED = (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)
URI = "spiffe://example.org/ns/shop/sa/ada"
ACCESS = "plugins: [{access: {allow: [{certificate: {uris: ['spiffe://example.org/ns/shop/*']}}]}}]\n"


async def test_clients_are_known_by_their_certificates(tmp_path: Path) -> None:
    write_server(tmp_path)
    plain = ", {bind: '127.0.0.1:0'}"
    forged = [b"X-Client-Subject: CN=root", b"x_client_san: URI:spiffe://root", b"Client-Cert: :aaaa:"]
    async with (
        upstream(answering) as service,
        running(tmp_path, listening(MUTUAL, plain) + up(service.port)) as worker,
    ):
        ada = client_context(tmp_path, vouched("ada", URI, "ada.test"))
        for context in (ada, client_context(tmp_path)):
            async with connected(worker.port, tls=context) as client:
                for _ in range(2):
                    assert (await client.ask(request("/x", *forged))).status == 200
        async with connected(worker.runtime.listeners[1].port) as client:
            assert (await client.ask(request("/x", *forged))).status == 200
    known, again, *others = service.requests
    assert known.get("x-client-subject") == again.get("x-client-subject") == "CN=ada"
    assert known.get("x-client-san") == f"DNS:ada.test, URI:{URI}"
    assert len(known.get("x-client-fingerprint") or "") == 64
    assert (known.get("client-cert") or "").startswith(":MII")
    assert len(others) == 3
    for seen in (known, *others):
        assert not seen.all("x_client_san")
    for seen in others:
        assert not {"x-client-subject", "x-client-san", "client-cert", "x-client-fingerprint"} & {
            name.lower() for name in seen.names
        }


async def test_access_by_certificate(tmp_path: Path) -> None:
    write_server(tmp_path)
    async with running(tmp_path, listening(MUTUAL) + ACCESS + up(9)) as worker:
        for shows, status in (
            (vouched("ada", URI), 200),
            (vouched("bob", "spiffe://example.org/ns/other/sa/bob"), 403),
            (None, 403),
        ):
            async with connected(worker.port, tls=client_context(tmp_path, shows)) as client:
                assert (await client.ask(request("/ping"))).status == status


async def test_a_required_certificate(tmp_path: Path) -> None:
    write_server(tmp_path)
    required = "{certificates: [{cert: server.crt, key: server.key}], client_ca: ca.crt}"
    async with running(tmp_path, listening(required) + up(9)) as worker:
        with pytest.raises(REFUSED):
            async with connected(worker.port, tls=client_context(tmp_path)) as client:
                await client.ask(request("/ping"))
        async with connected(worker.port, tls=client_context(tmp_path, vouched("ada"))) as client:
            assert (await client.ask(request("/ping"))).status == 200


async def test_an_authority_that_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_watch, "INTERVAL", 0.01)
    write_server(tmp_path)
    required = "{certificates: [{cert: server.crt, key: server.key}], client_ca: ca.crt}"
    async with running(tmp_path, listening(required) + up(9)) as worker:
        context = client_context(tmp_path, vouched("ada"))
        async with connected(worker.port, tls=context) as before:
            assert (await before.ask(request("/ping"))).status == 200
            (listener,) = worker.runtime.listeners
            assert listener.tls is not None
            old = listener.tls.context
            (tmp_path / "ca.crt").write_bytes(issue("another", authority=True).pem)
            await eventually(lambda: listener.tls is not None and listener.tls.context is not old)
            with pytest.raises(REFUSED):
                async with connected(worker.port, tls=context) as client:
                    await client.ask(request("/ping"))
            assert (await before.ask(request("/ping"))).status == 200


async def test_a_certificate_that_ends_while_its_connection_goes_on(tmp_path: Path) -> None:
    write_server(tmp_path)
    ada = client_context(tmp_path, vouched("ada"))
    async with running(tmp_path, listening(MUTUAL) + up(9)) as worker, connected(worker.port, tls=ada) as client:
        assert (await client.ask(request("/ping"))).status == 200
        (connection,) = worker.runtime.listeners[0].connections
        assert connection.certificate is not None
        connection.certificate.until = 1.0
        assert (await client.ask(request("/ping"))).status == 403
        assert await client.rest() == b""


@pytest.mark.parametrize(
    ("redirect", "sent", "status", "location"),
    (
        ("https", request("/a%20b?c=d", host=b"a.test"), 308, "https://a.test/a%20b?c=d"),
        ("https", request("/", host=b"a.test:8080"), 308, "https://a.test/"),
        ("{https: 8443, status: 301}", request("/x", host=b"[::1]:80"), 301, "https://[::1]:8443/x"),
        ("{https: 8443}", request("/x", method="POST", body=b"abc", host=b"a"), 308, "https://a:8443/x"),
        ("https", request("http://b.test/x", host=b"b.test"), 308, "https://b.test/x"),
        ("https", request("//evil.test", host=b"a.test"), 308, "https://a.test//evil.test"),
        ("https", request("/x", host=None, version="1.0"), 400, None),
        ("https", request("*", method="OPTIONS"), 405, None),
        ("https", request("/x", method="TRACE"), 405, None),
    ),
)
async def test_redirect(tmp_path: Path, redirect: str, sent: bytes, status: int, location: str | None) -> None:
    text = f"version: 1\nlisteners: [{{bind: '127.0.0.1:0', redirect: {redirect}}}]\n{ADMIN}plugins: [rate_metrics]\n"
    async with running(tmp_path, text + PING.replace(", {name: all, to: up}", "")) as worker, worker.client() as client:
        answer = await client.ask(sent)
        assert (answer.status, answer.get("location")) == (status, location)
        if location is not None:
            assert (await client.ask(request("/ping"))).status == status
        body, _ = expose([collected(worker.runtime.metrics)])
        assert b'gateway_requests_total{code="%d"' % status in body
        assert b'route="ping"' not in body.replace(b'route="ping"} 0', b"")


NGINX = """
server {
    listen 127.0.0.1:@PORT@ ssl; server_name localhost; keepalive_requests 3; ssl_protocols TLSv1.3;
    ssl_certificate @FOLDER@/server.crt; ssl_certificate_key @FOLDER@/server.key;
    ssl_client_certificate @FOLDER@/ca.crt; ssl_verify_client on;
    location / { return 200 "$ssl_client_s_dn $ssl_server_name $ssl_protocol $http_x_forwarded_proto"; }
}
"""


async def test_nginx_behind_and_its_health(tmp_path: Path) -> None:
    write_server(tmp_path)
    vouched("gateway").write(tmp_path, "gateway")
    options = ", tls: {ca: ca.crt, cert: gateway.crt, key: gateway.key, server_name: localhost}, health: {path: /}"
    async with nginx(tmp_path, NGINX) as port:
        text = listening(f"{{certificates: [{SERVER}]}}") + up(port, options, "https")
        async with running(tmp_path, text) as worker, connected(worker.port, tls=client_context(tmp_path)) as client:
            for _ in range(7):
                assert (await client.ask(request("/x"))).body == b"CN=gateway localhost TLSv1.3 https"
            (endpoint,) = worker.runtime.proxy.table.upstreams["up"].endpoints
            await eventually(lambda: endpoint.checked)
            assert (endpoint.healthy, endpoint.check_failure) == (True, "")
            reply = await worker.runtime.env.upstream("up").request("GET", "/")
            assert reply.body.startswith(b"CN=gateway localhost")


async def test_health_of_an_upstream_that_cannot_be_believed(tmp_path: Path) -> None:
    text = listening(f"{{certificates: [{SERVER}]}}")
    async with (
        upstream(answering, tls=server_context(tmp_path)) as service,
        running(tmp_path, text + up(service.port, ", health: {path: /}", "https")) as worker,
    ):
        (endpoint,) = worker.runtime.proxy.table.upstreams["up"].endpoints
        await eventually(lambda: endpoint.checked)
        assert (endpoint.healthy, endpoint.check_failure) == (False, "its certificate does not hold")


async def test_an_upstreams_certificates_that_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(certificate_watch, "INTERVAL", 0.01)
    write_server(tmp_path)
    (tmp_path / "believed.crt").write_bytes(issue("another", authority=True).pem)
    text = listening(f"{{certificates: [{SERVER}]}}")
    options = ", tls: {ca: believed.crt}"
    async with (
        upstream(answering, tls=server_context(tmp_path)) as service,
        running(tmp_path, text + up(service.port, options, "https")) as worker,
        connected(worker.port, tls=client_context(tmp_path)) as client,
    ):
        assert (await client.ask(request("/x"))).status == 502
        (tmp_path / "believed.crt").write_bytes(authority().pem)
        (tls,) = upstreams_of(worker)
        await eventually(lambda: not tls.changed())
        assert (await client.ask(request("/x"))).status == 200
        assert await worker.runtime.reload()
        assert upstreams_of(worker) == [tls]
        assert (await client.ask(request("/x"))).status == 200
        assert len(service.requests) == 2
        assert service.open == 1


def upstreams_of(worker: Running) -> list[UpstreamTls]:
    generation = worker.runtime.generation
    assert generation is not None
    assert generation.tls is not None
    return list(generation.tls.upstreams.values())


async def test_an_upstream_that_begins_to_speak_tls(tmp_path: Path) -> None:
    """The same address, and not one connection of the old kind."""
    write_server(tmp_path)
    port = free_port()
    text = f"version: 1\nlisteners: [{{bind: '127.0.0.1:0'}}]\n{ADMIN}"
    async with running(tmp_path, text + up(port)) as worker, worker.client() as client:
        assert (await client.ask(request("/x"))).status == 502
        worker.write(text + up(port, ", tls: {ca: ca.crt}", "https"))
        assert await worker.runtime.reload()
        server = await asyncio.start_server(_answer, "127.0.0.1", port, ssl=server_context(tmp_path))
        try:
            assert (await client.ask(request("/x"))).status == 200
        finally:
            server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    writer.close()
    await writer.wait_closed()


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize("options", (("--tlsv1.2", "--tls-max", "1.2"), ("--tlsv1.3",)))
async def test_curl(tmp_path: Path, options: tuple[str, ...]) -> None:
    write_server(tmp_path)
    text = listening(f"{{certificates: [{SERVER}]}}") + up(9)
    async with running(tmp_path, text) as worker:
        url = f"https://localhost:{worker.port}/ping"
        command = (str(CURL), "-sS", "--http1.1", "--cacert", str(tmp_path / "ca.crt"), *options, url, url)
        process = await asyncio.create_subprocess_exec(
            *command,
            "--resolve",
            f"localhost:{worker.port}:127.0.0.1",
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        assert (process.returncode, said) == (0, b"pongpong")
