"""Unix sockets on both sides, with curl and nginx."""

from __future__ import annotations

import asyncio
import contextlib
import json
import stat
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.gateways import request
from tests.support.hellos import hello_of, in_records
from tests.support.peers import nginx
from tests.support.polling import eventually, soon, turns
from tests.support.raw_client import RawClient
from tests.support.raw_upstream import Peer, answering, upstream
from tests.support.runtimes import running

ROUTES = """version: 1
listeners: [{{bind: 'unix:{folder}/gateway.sock', mode: "0660"}}]
admin: {{bind: 'unix:{folder}/admin.sock'}}
{more}
upstreams:
  app: {{endpoints: ['unix:{folder}/app.sock'], {options}}}
routes: [{{name: app, to: app}}]
"""
SERVER = """server {
    listen unix:@FOLDER@/app.sock; listen 127.0.0.1:@PORT@;
    location / {
        default_type application/json;
        return 200 '{"host": "$http_host", "for": "$http_x_forwarded_for", "proto": "$http_x_forwarded_proto"}';
    }
}"""


async def curl(path: Path, url: str, *options: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--max-time", "10", "--unix-socket", str(path), *options, url, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await soon(process.communicate())
    return said.decode()


async def test_curl_to_nginx_and_the_admin_listener(tmp_path: Path) -> None:
    text = ROUTES.format(folder=tmp_path, more="", options="health: {path: /, interval: 50ms}")
    async with nginx(tmp_path, SERVER), running(tmp_path, text) as worker:
        gateway, admin = tmp_path / "gateway.sock", tmp_path / "admin.sock"
        assert [stat.S_IMODE(path.stat().st_mode) for path in (gateway, admin)] == [0o660, 0o600]
        assert worker.admin.address == f"unix:{admin}"
        answer = json.loads(await curl(gateway, "http://a.example/x", "-H", "X-Forwarded-For: 203.0.113.9"))
        assert answer == {"host": "a.example", "for": "", "proto": "http"}, (
            "nobody's word is taken, and no address is known"
        )
        assert json.loads(await curl(gateway, "http://a/", "-0", "-H", "Host:"))["host"] == "localhost"
        endpoint = worker.runtime.proxy.table.upstreams["app"].endpoints[0]
        await eventually(lambda: endpoint.checked)
        assert (endpoint.healthy, endpoint.check_failure) == (True, "")
        (shown,) = json.loads(await curl(admin, "http://localhost/api/upstreams"))["upstreams"]
        address = f"unix:{tmp_path}/app.sock"
        assert shown["endpoints"][0]["address"] == address
        url = "http://localhost/api/upstreams/app/endpoints/" + address.replace("/", "%2F")
        said = await curl(admin, url, "-X", "POST", "-H", "Content-Type: application/json", "-d", '{"state": "drain"}')
        assert endpoint.state == "drain", said
        assert "421" in await curl(admin, "http://elsewhere/api/upstreams")
    assert not gateway.exists()
    assert not admin.exists()


@pytest.mark.parametrize(("trusted", "told"), [("", ""), ("trusted_proxies: [unix]", "203.0.113.9")])
async def test_who_comes_through_a_unix_socket_is_believed_where_it_says_so(
    tmp_path: Path, trusted: str, told: str
) -> None:
    text = ROUTES.format(folder=tmp_path, more=trusted, options="")
    async with nginx(tmp_path, SERVER), running(tmp_path, text):
        said = await curl(tmp_path / "gateway.sock", "http://a/", "-H", "X-Forwarded-For: 203.0.113.9")
        assert json.loads(said)["for"] == told


async def parrot(peer: Peer) -> None:
    while data := await peer.reader.read(65536):
        peer.send(data)
    peer.close()


@contextlib.asynccontextmanager
async def connected(path: Path) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_unix_connection(str(path))
    client = RawClient(reader, writer)
    yield client
    await client.close()


async def test_what_is_read_before_requests_on_a_unix_socket(tmp_path: Path) -> None:
    """A Unix socket wakes for bytes that were seen before, so it is looked at again after pauses."""
    hello = in_records(hello_of("a.example")[5:], [100])
    async with upstream(answering) as service, upstream(parrot) as tls:
        text = f"""version: 1
listeners:
  - {{bind: 'unix:{tmp_path}/proxied', proxy_protocol: [unix]}}
  - {{bind: 'unix:{tmp_path}/tls', passthrough: [{{names: [a.example], to: tls}}]}}
admin: {{bind: '127.0.0.1:0'}}
upstreams:
  app: {{endpoints: ['http://127.0.0.1:{service.port}']}}
  tls: {{endpoints: ['http://127.0.0.1:{tls.port}'], proxy_protocol: v1}}
routes: [{{name: app, to: app}}]
"""
        async with running(tmp_path, text) as worker:
            async with connected(tmp_path / "proxied") as client:
                header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"
                assert (await client.ask(header + request())).status == 200
            async with connected(tmp_path / "tls") as client:
                client.send(hello[:60])
                await eventually(lambda: worker.runtime.listeners[1].connections)
                await turns()
                client.send(hello[60:])
                expected = b"PROXY UNKNOWN\r\n" + hello
                assert await client.read(len(expected)) == expected
            await eventually(lambda: not worker.runtime.listeners[1].connections)
    assert service.requests[0].get("x-forwarded-for") == "192.0.2.7"
