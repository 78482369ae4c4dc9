"""auth_delegation beside what it learnt from: an nginx that decides, nginx and Envoy that ask the same service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from pytest_aiohttp.plugin import AiohttpClient

from tests.support.auth_service import AuthClient
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.misbehaving import status
from tests.support.peers import envoy, nginx
from tests.support.raw_client import connected
from tests.support.raw_upstream import Peer, answering, upstream
from tests.support.runtimes import HEAD, running

# nginx decides

DECIDES = """
    server {
        listen 127.0.0.1:@PORT@;
        location = /verify {
            if ($http_authorization = "Bearer good") {
                add_header X-User-Id "$http_x_forwarded_method $http_x_forwarded_host$http_x_forwarded_uri";
                add_header Cache-Control "private, max-age=60";
                return 200;
            }
            if ($http_cookie = "browser=1") { return 302 "http://login.example/?next=$http_x_forwarded_uri"; }
            add_header WWW-Authenticate "Bearer realm=nginx" always;
            add_header Set-Cookie "a=1" always;
            add_header Set-Cookie "b=2" always;
            return 401 "who?";
        }
    }
"""


def config(auth: int, behind: int, options: str) -> str:
    return (
        f"{HEAD}upstreams:\n"
        f"  auth: {{endpoints: ['http://127.0.0.1:{auth}']}}\n"
        f"  up: {{endpoints: ['http://127.0.0.1:{behind}']}}\n"
        f"routes: [{{name: all, to: up, plugins: [auth_delegation: {{upstream: auth, {options}}}]}}]\n"
    )


async def test_nginx_decides(tmp_path: Path) -> None:
    options = "path: /verify, copy_on_allow: [X-User-Id], cache: {}, timeout: 5s"
    async with (
        nginx(tmp_path, DECIDES) as auth,
        upstream(answering) as behind,
        running(tmp_path, config(auth, behind.port, options)) as worker,
        worker.client() as client,
    ):
        for _ in range(2):
            good = await client.ask(request("/a%20b?x=1", b"Authorization: Bearer good", b"X-User-Id: 1", method="PUT"))
            assert good.status == 200
            denied = await client.ask(request("/a", b"Authorization: Bearer bad"))
            assert (denied.status, denied.get("www-authenticate"), denied.body) == (401, "Bearer realm=nginx", b"who?")
            assert denied.all("set-cookie") == ["a=1", "b=2"]
            away = await client.ask(request("/a", b"Cookie: browser=1"))
            assert (away.status, away.get("location")) == (302, "http://login.example/?next=/a")
            assert b"302 Found" in away.body
    assert [message.all("x-user-id") for message in behind.requests] == [["PUT a/a%20b?x=1"]] * 2


# the sample service decides


async def test_the_sample_service_decides(tmp_path: Path, aiohttp_client: AiohttpClient) -> None:
    service = await AuthClient.start(aiohttp_client)
    ada = (await service.login())["access_token"]
    grace = (await service.login("grace", "hopper"))["access_token"]
    options = "path: /verify, copy_on_allow: [X-User-Id, X-User-Roles], principal: X-User-Id, cache: {}, timeout: 5s"
    async with upstream(answering) as behind:
        text = config(service.http.port or 0, behind.port, options)
        async with running(tmp_path, text) as worker, worker.client() as client:

            async def ask(token: str, method: str = "GET", scheme: str = "Bearer") -> Message:
                return await client.ask(request("/x", f"Authorization: {scheme} {token}".encode(), method=method))

            assert [(await ask(ada)).status for _ in range(2)] == [200, 200]
            assert (await ask("YWRhOmxvdmVsYWNl", scheme="Basic")).status == 200
            assert [(await ask(token, "DELETE")).status for token in (grace, ada)] == [403, 200]
            denied = await client.ask(request("/x"))
            assert (denied.status, denied.get("www-authenticate")) == (401, 'Bearer realm="sample"')
            assert (denied.get("content-type") or "").startswith("application/")
            forged = await ask(f"{ada[:-4]}AAAA")
            assert (forged.status, forged.get("www-authenticate")) == (
                401,
                'Bearer realm="sample", error="invalid_token"',
            )
    who = {(message.get("x-user-id"), message.get("x-user-roles")) for message in behind.requests}
    assert (who, len(behind.requests)) == ({("1", "admin,user")}, 4)


# nginx and Envoy ask the same service


class Deciding:
    """A service that answers with what the query says: `?204` allows with 204. A script."""

    async def __call__(self, peer: Peer) -> None:
        while True:
            message = await peer.request()
            # Envoy asks at the path of the request, nginx tells it in a header.
            told = message.get("x-original-uri") or message.first.split(b" ")[1].decode()
            code = int(told.partition("?")[2][:3])
            fields = (b"X-User-Id: 5", b"WWW-Authenticate: Bearer", b"Location: /login", b"Set-Cookie: a=1")
            peer.send(status(code, *fields, body=b"" if code == 204 else b"said"))


ASKS_LIKE_NGINX = """
    server {{
        listen 127.0.0.1:@PORT@;
        location / {{
            auth_request /auth;
            auth_request_set $user $upstream_http_x_user_id;
            proxy_set_header X-User-Id $user;
            proxy_pass http://127.0.0.1:{behind};
        }}
        location = /auth {{
            internal;
            proxy_pass http://127.0.0.1:{auth}/verify;
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header X-Original-URI $request_uri;
            proxy_set_header X-Original-Method $request_method;
        }}
    }}
"""
ASKS_LIKE_ENVOY = """
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: @PORT@}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
          http_filters:
          - name: envoy.filters.http.ext_authz
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz
              status_on_error: {{code: ServiceUnavailable}}
              http_service:
                server_uri: {{uri: "http://auth", cluster: auth, timeout: 5s}}
                path_prefix: /check
                authorization_request:
                  allowed_headers: {{patterns: [{{exact: cookie}}]}}
                authorization_response:
                  allowed_upstream_headers: {{patterns: [{{exact: x-user-id}}]}}
                  allowed_client_headers:
                    patterns: [{{exact: location}}, {{exact: set-cookie}}, {{exact: www-authenticate}}]
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: "/"}}, route: {{cluster: behind}}}}]
  clusters:
  - {{name: auth, type: STATIC, load_assignment: {{cluster_name: auth, endpoints: [{{lb_endpoints: [
      {{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {auth}}}}}}}}}]}}]}}}}
  - {{name: behind, type: STATIC, load_assignment: {{cluster_name: behind, endpoints: [{{lb_endpoints: [
      {{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {behind}}}}}}}}}]}}]}}}}
"""
FIELDS = (b"Authorization: Bearer t", b"Cookie: a=1; b=2", b"X-User-Id: 1", b"X-Other: 1", b"X-Original-URI: /forged")
REQUESTS = [
    ("/a%20b/%2F?%d&y=%%20", "GET", b""),
    ("/a?%d", "HEAD", b""),
    ("/a?%d", "POST", b"abc"),
    ("/a?%d", "DELETE", b""),
]
CODES = (200, 201, 204, 301, 302, 400, 401, 403, 404, 429, 500, 503)


@pytest.fixture
async def services() -> AsyncIterator[tuple[Any, Any]]:
    async with upstream(Deciding()) as auth, upstream(answering) as behind:
        yield auth, behind


async def walk(port: int, services: tuple[Any, Any]) -> tuple[list[Message], list[list[str]], list[Message]]:
    """Every kind of request with every kind of decision, through who listens on `port`: what the service was asked,
    the identities that came behind, and the answers."""
    auth, behind = services
    del auth.requests[:], behind.requests[:]
    answers = []
    for code in CODES:
        for target, method, body in REQUESTS:
            async with connected(port) as client:
                text = request(target.replace("%%", "%").replace("%d", str(code)), *FIELDS, method=method, body=body)
                answers.append(await client.ask(text, method))
    return list(auth.requests), [message.all("x-user-id") for message in behind.requests], answers


def question(message: Message, *names: str) -> dict[str, object]:
    """What matters of a question, whoever asks."""
    told: dict[str, object] = {name: message.all(name) for name in ("authorization", "cookie", "x-user-id", *names)}
    framing = message.get("content-length") in (None, "0") and message.get("transfer-encoding") is None
    return {"line": message.first.split(b" HTTP")[0], "bodyless": framing and not message.body, **told}


async def test_it_asks_as_nginx_does(tmp_path: Path, services: tuple[Any, Any]) -> None:
    ports = {"auth": services[0].port, "behind": services[1].port}
    options = "path: /verify, dialect: nginx, copy_on_allow: [X-User-Id], status_on_error: 500, timeout: 5s"
    async with nginx(tmp_path, ASKS_LIKE_NGINX.format(**ports)) as port:
        asked, identities, answers = await walk(port, services)
    text = config(*ports.values(), options + ", breaker: {requests: 1000}")
    async with running(tmp_path, text) as worker:
        ours, our_identities, our_answers = await walk(worker.port, services)
    assert len(asked) == len(ours) == len(CODES) * len(REQUESTS)
    names = ("x-original-uri", "x-original-method")
    for theirs, mine in zip(asked, ours, strict=True):
        # nginx passes on every header that a client sends, unless it is told to leave it out.
        assert question(mine, *names) == {**question(theirs, *names), "x-user-id": []}
    assert identities == our_identities
    assert set(map(tuple, identities)) == {("5",)}
    for theirs, mine in zip(answers, our_answers, strict=True):
        assert mine.status == theirs.status
        if mine.status == 401:
            assert mine.get("www-authenticate") == theirs.get("www-authenticate") == "Bearer"


async def test_it_asks_as_envoy_does(tmp_path: Path, services: tuple[Any, Any]) -> None:
    ports = {"auth": services[0].port, "behind": services[1].port}
    options = "path: /check, dialect: envoy, copy_on_allow: [X-User-Id], status_on_error: 503, timeout: 5s"
    async with envoy(tmp_path, ASKS_LIKE_ENVOY.format(**ports)) as port:
        asked, identities, answers = await walk(port, services)
    text = config(*ports.values(), options + ", breaker: {requests: 1000}")
    async with running(tmp_path, text) as worker:
        ours, our_identities, our_answers = await walk(worker.port, services)
    assert len(asked) == len(ours) == len(CODES) * len(REQUESTS)
    for theirs, mine in zip(asked, ours, strict=True):
        assert question(mine, "host") == question(theirs, "host")
    assert identities == our_identities
    assert set(map(tuple, identities)) == {("5",)}
    for theirs, mine in zip(answers, our_answers, strict=True):
        # Envoy takes 201 for a refusal with that status: for us it is an answer that says nothing.
        assert mine.status == (theirs.status if theirs.status not in (201, 204) else 503)
        if 300 <= mine.status < 500:
            assert mine.body == theirs.body
            for name in ("location", "www-authenticate", "set-cookie"):
                assert mine.all(name) == theirs.all(name)
