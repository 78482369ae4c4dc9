"""PROXY headers to and from HAProxy and nginx."""

from __future__ import annotations

import asyncio
import json
import ssl
from pathlib import Path

import pytest

from tests.support.certificates import make_certificate
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.peers import haproxy, nginx
from tests.support.polling import eventually, soon
from tests.support.ports import free_port
from tests.support.raw_client import connected
from tests.support.runtimes import running

# The source that HAProxy connects from, so that it is not the client's.
PROXY = """
listen front
  bind 127.0.0.1:@PORT@
  server gateway 127.0.0.1:{port} {how} source 127.0.0.9
"""
# It tells what the PROXY header said.
NGINX = """server {
    listen 127.0.0.1:@PORT@ proxy_protocol;
    location / {
        default_type application/json;
        return 200 '{"client": "$proxy_protocol_addr", "port": "$proxy_protocol_port", "for": "$http_x_forwarded_for"}';
    }
}"""
ROUTES = """version: 1
listeners: [{{bind: '127.0.0.1:{port}', proxy_protocol: [127.0.0.9]}}]
admin: {{bind: '127.0.0.1:0'}}
upstreams:
  app: {{endpoints: ['http://127.0.0.1:{app}'], proxy_protocol: {out}, health: {{path: /, interval: 50ms}}}}
routes: [{{name: app, to: app}}]
"""


def said(answer: Message) -> dict[str, str]:
    assert answer.status == 200, answer.head
    told: dict[str, str] = json.loads(answer.body)
    return told


@pytest.mark.parametrize(("how", "out"), [("send-proxy", "v2"), ("send-proxy-v2", "v1")])
async def test_haproxy_before_and_nginx_behind(tmp_path: Path, how: str, out: str) -> None:
    port = free_port()
    async with (
        nginx(tmp_path, NGINX) as app,
        running(tmp_path, ROUTES.format(port=port, app=app, out=out)) as worker,
        haproxy(tmp_path, PROXY.format(port=port, how=how)) as front,
    ):
        async with connected(front) as first, connected(front) as second:
            asked = request("/", b"X-Forwarded-For: 203.0.113.9")
            answers = [said(await client.ask(asked)) for client in (first, second, first, second)]
            ports = [client.writer.get_extra_info("sockname")[1] for client in (first, second)] * 2
        assert answers == [{"client": "127.0.0.1", "port": str(one), "for": "127.0.0.1"} for one in ports]
        pool = worker.runtime.proxy.table.upstreams["app"].endpoints[0].pool
        assert len(pool.connections) == 2, "each client has its own, and keeps it"
        # Not from HAProxy: a header is not believed, and none is needed.
        async with worker.client() as client:
            assert said(await client.ask(request("/")))["client"] == "127.0.0.1"
        async with worker.client() as client:
            header = b"PROXY TCP4 192.0.2.7 192.0.2.8 1 2\r\n"
            assert (await client.ask(header + request("/"))).status >= 400
        endpoint = worker.runtime.proxy.table.upstreams["app"].endpoints[0]
        await eventually(lambda: endpoint.checked)
        assert (endpoint.healthy, endpoint.check_failure) == (True, "")


@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_haproxy_takes_our_headers_and_those_of_what_is_passed_through(tmp_path: Path, version: str) -> None:
    certificate, key = make_certificate(tmp_path, "a.example")
    (tmp_path / "both.pem").write_text(certificate.read_text() + key.read_text())
    config = f"""
frontend plain
  bind 127.0.0.1:@PORT@ accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]"
frontend tls
  bind unix@{tmp_path}/tls.sock accept-proxy ssl crt {tmp_path}/both.pem alpn h2,http/1.1
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[ssl_fc_alpn]"
"""
    async with haproxy(tmp_path, config) as app:
        text = f"""version: 1
listeners: [{{bind: '127.0.0.1:0'}}, {{bind: '127.0.0.1:0', passthrough: [{{names: [a.example], to: tls}}]}}]
admin: {{bind: '127.0.0.1:0'}}
upstreams:
  plain: {{endpoints: ['http://127.0.0.1:{app}'], proxy_protocol: {version}}}
  tls: {{endpoints: ['http://127.0.0.1:{free_port()}', 'unix:{tmp_path}/tls.sock'], proxy_protocol: {version}}}
routes: [{{name: plain, to: plain}}]
"""
        async with running(tmp_path, text) as worker:
            async with worker.client() as client:
                port = client.writer.get_extra_info("sockname")[1]
                assert (await client.ask(request())).body == f"127.0.0.1 {port}".encode()
            context = ssl.create_default_context(cafile=str(certificate))
            passing = worker.runtime.listeners[1]
            for _ in range(2):
                reader, writer = await soon(
                    asyncio.open_connection("127.0.0.1", passing.port, ssl=context, server_hostname="a.example")
                )
                port = writer.get_extra_info("sockname")[1]
                writer.write(request(host=b"a.example"))
                assert f"127.0.0.1 {port} ".encode() in await soon(reader.readuntil(str(port).encode() + b" "))
                writer.close()
            await eventually(lambda: not passing.connections)
