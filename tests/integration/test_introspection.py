"""Introspection and token exchange in a running worker: against services that misbehave, and against real ones."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import logging
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import jwt
import pytest
from pytest_aiohttp.plugin import AiohttpClient

from gateway.auth.exchanger import TOKEN_TYPE
from gateway.auth.token_service import MAX_ANSWER
from tests.support.auth_service import AuthClient, bearer
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.misbehaving import resetting, status
from tests.support.oidc import OidcProvider, needs_oidc_provider
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import Peer, RawUpstream, Script, answering, held_until, saying, silent, upstream
from tests.support.runtimes import HEAD, Running, running

TOKEN = "tok.en-1234567890"
SECRET = "gateway-secret"
WAYS = ("url", "upstream")
ACTIVE = status(200, body=b'{"active": true, "sub": "5", "aud": "api"}')
ISSUED = (
    b'{"access_token": "iss.ued", "token_type": "Bearer", "issued_token_type": "%baccess_token", "expires_in": 300}'
    % TOKEN_TYPE.encode()
)


def plugin(name: str, port: int, way: str, path: str, options: str = "") -> str:
    """An entry that asks the service at `port` by its url, or as the upstream `auth`."""
    place = f"url: 'http://127.0.0.1:{port}{path}'" if way == "url" else f"upstream: auth, path: {path}"
    return f"{name}: {{{place}, client_id: gateway, client_secret: {SECRET}{options and ', '}{options}}}"


@contextlib.asynccontextmanager
async def guarded(folder: Path, service: RawUpstream, auth_port: int, *plugins: str) -> AsyncIterator[Running]:
    """A worker with one route to `service` that has these plugins, and an access log."""
    listed = "".join(f"      - {entry}\n" for entry in plugins)
    text = (
        f"{HEAD}name: edge\nplugins: [{{access_log: {{to: 'file://{folder}/log'}}}}]\nupstreams:\n"
        f"  up: {{endpoints: ['http://127.0.0.1:{service.port}']}}\n"
        f"  auth: {{endpoints: ['http://127.0.0.1:{auth_port}'], outliers: off}}\n"
        f"routes:\n  - name: all\n    to: up\n    plugins:\n{listed}"
    )
    async with running(folder, text) as worker:
        yield worker
        await eventually(lambda: worker.runtime.proxy.active == 0)
    assert TOKEN not in (folder / "log").read_text()


async def ask(worker: Running, token: str | None = TOKEN, *fields: bytes, target: str = "/x") -> Message:
    credentials = () if token is None else (f"Authorization: Bearer {token}".encode(),)
    async with worker.client() as client:
        return await client.ask(request(target, *credentials, *fields))


# who passes


@pytest.mark.parametrize("way", WAYS)
async def test_an_active_token_passes_and_is_asked_about_once(way: str, tmp_path: Path) -> None:
    options = "claims_to_headers: {sub: X-User-Id}"
    async with (
        upstream(answering) as service,
        upstream(saying(ACTIVE)) as auth,
        guarded(
            tmp_path, service, auth.port, plugin("introspection", auth.port, way, "/introspect", options)
        ) as worker,
    ):
        spoofs = (b"X-User-Id: 1", b"X_User_Id: 1", b"x-user_id: 1")
        for _ in range(3):
            assert (await ask(worker, TOKEN, *spoofs)).status == 200

        [question] = auth.requests
        assert question.first == b"POST /introspect HTTP/1.1"
        assert parse_qs(question.body.decode())["token"] == [TOKEN]
        for passed in service.requests:
            assert [value for name, value in passed.fields if name.lower().replace(b"_", b"-") == b"x-user-id"] == [
                b"5"
            ]


async def test_many_at_once_are_one_question(tmp_path: Path) -> None:
    go_on = asyncio.Event()

    entry = plugin("introspection", 0, "upstream", "/introspect", "timeout: 10s")
    async with (
        upstream(answering) as service,
        upstream(held_until(go_on, ACTIVE)) as auth,
        guarded(tmp_path, service, auth.port, entry) as worker,
    ):
        callers = [asyncio.create_task(ask(worker)) for _ in range(20)]
        await eventually(lambda: worker.runtime.proxy.active == 20)
        go_on.set()
        assert {message.status for message in await soon(asyncio.gather(*callers))} == {200}
        assert len(auth.requests) == 1


@pytest.mark.parametrize("way", WAYS)
async def test_a_question_is_given_up_when_the_client_leaves(way: str, tmp_path: Path) -> None:
    left = asyncio.Event()

    async def waiting(peer: Peer) -> None:
        await peer.request()
        await peer.gone()
        left.set()

    async with (
        upstream(answering) as service,
        upstream(waiting) as auth,
        guarded(tmp_path, service, auth.port, plugin("introspection", auth.port, way, "/i", "timeout: 30s")) as worker,
    ):
        async with worker.client() as client:
            client.send(request("/x", f"Authorization: Bearer {TOKEN}".encode()))
            await eventually(lambda: auth.requests)
            client.reset()
        await soon(left.wait())
        assert not service.requests


# who does not


async def trickling(peer: Peer) -> None:
    """A head that comes, and a body that never does."""
    await peer.request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n" + b'{"active')
    await peer.gone()


def misdeed(name: str, script: Script) -> Any:
    return pytest.param(script, id=name)


MISDEEDS = [
    misdeed("nonsense", saying(b"nonsense\r\n\r\n")),
    misdeed("html", saying(status(200, body=b"<html>active: true</html>"))),
    misdeed("redirect", saying(status(302, b"Location: /ok", body=b'{"active": true}'))),
    misdeed("error", saying(status(500, body=b'{"active": true}'))),
    misdeed("huge", saying(status(200, body=b'{"active": true, "x": "' + b"x" * MAX_ANSWER + b'"}'))),
    misdeed("huge head", saying(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n")),
    misdeed("coded", saying(status(200, b"Content-Encoding: gzip", body=gzip.compress(b'{"active": true}')))),
    misdeed("cut off", saying(b'HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n{"active": true}', close=True)),
    misdeed("text", saying(status(200, body=b'{"active": "true", "sub": "5"}'))),
    misdeed("number", saying(status(200, body=b'{"active": 1}'))),
    misdeed("nothing", saying(status(200, body=b"{}"))),
    misdeed("echo", saying(status(400, body=b'{"error": "%b", "%b": 1}' % (TOKEN.encode(), SECRET.encode())))),
    misdeed("reset", resetting),
    misdeed("silent", silent),
    misdeed("trickling", trickling),
]


@pytest.mark.parametrize(
    ("name", "way"), [("introspection", "url"), ("introspection", "upstream"), ("token_exchange", "upstream")]
)
@pytest.mark.parametrize("script", MISDEEDS)
async def test_a_service_that_misbehaves_lets_nobody_in(
    script: Script, name: str, way: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    fallback = "breaker: {fallback: {text: instead}}"
    path = "/introspect?tenant=1"
    async with (
        upstream(answering) as service,
        upstream(script) as auth,
        guarded(tmp_path, service, auth.port, fallback, plugin(name, auth.port, way, path, "timeout: 150ms")) as worker,
    ):
        answer = await ask(worker)
        assert (answer.status, answer.get("content-type")) == (503, "application/problem+json")
        assert answer.get("retry-after") is not None
        assert not service.requests
        metrics = await worker.get("/metrics")
        assert f'gateway_auth_total{{plugin="{name}",result="error"}} 1.0' in metrics.body.decode()
        told = [answer.head.decode(), answer.body.decode(), caplog.text, metrics.body.decode()]
        assert "the token service at" in caplog.text
        assert not [text for text in told if TOKEN in text or SECRET in text]


@pytest.mark.parametrize("way", WAYS)
async def test_a_service_that_is_not_there_lets_nobody_in(way: str, tmp_path: Path, unused_tcp_port: int) -> None:
    entry = plugin("introspection", unused_tcp_port, way, "/introspect", "optional: true")
    async with upstream(answering) as service, guarded(tmp_path, service, unused_tcp_port, entry) as worker:
        assert (await ask(worker)).status == 503
        assert not service.requests
        assert (await ask(worker, None)).status == 200, "who shows nothing is nobody, whatever the service does"


async def test_there_is_one_place_for_a_token(tmp_path: Path) -> None:
    entry = plugin("introspection", 0, "upstream", "/introspect")
    again = f"Authorization: Bearer {TOKEN}".encode()
    async with (
        upstream(answering) as service,
        upstream(saying(ACTIVE)) as auth,
        guarded(tmp_path, service, auth.port, entry) as worker,
    ):
        assert (await ask(worker, TOKEN, again)).status == 400
        assert (await ask(worker, "other", again)).status == 400
        for target in ("/x?access_token=abc", "/x?token=abc"):
            assert (await ask(worker, None, target=target)).status == 401
        assert (await ask(worker, None, b"Authorization : Bearer abc")).status == 400
        assert (await ask(worker, None, b"Proxy-Authorization: Bearer abc")).status == 401
        assert not auth.requests
        assert not service.requests


@pytest.mark.parametrize("value", ["5\\r\\nX-Admin: 1", "5\\nX-Admin: 1", "\\u0000"])
async def test_a_claim_is_never_another_header(value: str, tmp_path: Path) -> None:
    rogue = status(200, body=f'{{"active": true, "sub": "{value}"}}'.encode())
    entry = plugin("introspection", 0, "upstream", "/introspect", "claims_to_headers: {sub: X-User-Id}")
    async with (
        upstream(answering) as service,
        upstream(saying(rogue)) as auth,
        guarded(tmp_path, service, auth.port, entry) as worker,
    ):
        assert (await ask(worker)).status == 401
        assert not service.requests


@pytest.mark.parametrize("way", WAYS)
async def test_an_exchanged_token_is_all_that_a_service_sees(way: str, tmp_path: Path) -> None:
    async with (
        upstream(answering) as service,
        upstream(saying(status(200, body=ISSUED))) as auth,
        guarded(tmp_path, service, auth.port, plugin("token_exchange", auth.port, way, "/token")) as worker,
    ):
        for _ in range(2):
            assert (await ask(worker)).status == 200
        assert len(auth.requests) == 1
        assert [passed.get("authorization") for passed in service.requests] == ["Bearer iss.ued"] * 2
        assert not [passed for passed in service.requests if TOKEN.encode() in passed.head]


# the sample auth service


@pytest.fixture
async def sample(aiohttp_client: AiohttpClient) -> AuthClient:
    client = await AuthClient.start(aiohttp_client)
    # The gateway has the time of the day, and looks at `exp` too.
    client.now = time.time()
    return client


def port_of(sample: AuthClient) -> int:
    assert sample.http.port is not None
    return sample.http.port


@pytest.mark.parametrize("way", WAYS)
async def test_the_sample_service_says_who_it_is(way: str, sample: AuthClient, tmp_path: Path) -> None:
    tokens = await sample.login("grace", "hopper")
    options = (
        "audience: api, scopes: ['items:read'], cache: {ttl: 0s}, claims_to_headers: {sub: X-User-Id, roles: X-Roles}"
    )
    entry = plugin("introspection", port_of(sample), way, "/introspect", options)
    async with upstream(answering) as service, guarded(tmp_path, service, port_of(sample), entry) as worker:
        assert (await ask(worker, tokens["access_token"])).status == 200
        [passed] = service.requests
        assert (passed.get("x-user-id"), passed.get("x-roles")) == ("2", "user")

        for wrong in ("never-issued", tokens["access_token"][:-4] + "AAAA", tokens["refresh_token"]):
            assert (await ask(worker, wrong)).status == 401
        await sample.http.post("/logout", headers=bearer(tokens["access_token"]))
        refused = await ask(worker, tokens["access_token"])
        assert (refused.status, 'error="invalid_token"' in (refused.get("www-authenticate") or "")) == (401, True)
        assert len(service.requests) == 1


async def test_the_sample_service_knows_another_secret(sample: AuthClient, tmp_path: Path) -> None:
    token = (await sample.login())["access_token"]
    entry = plugin("introspection", port_of(sample), "url", "/introspect").replace(SECRET, "wrong")
    async with upstream(answering) as service, guarded(tmp_path, service, port_of(sample), entry) as worker:
        assert (await ask(worker, token)).status == 503
        assert not service.requests


@pytest.mark.parametrize("way", WAYS)
async def test_the_sample_service_exchanges_tokens(way: str, sample: AuthClient, tmp_path: Path) -> None:
    token = (await sample.login())["access_token"]
    entries = (
        plugin("introspection", port_of(sample), way, "/introspect", "audience: api"),
        plugin("token_exchange", port_of(sample), way, "/token", "audience: catalog, scope: 'items:read'"),
    )
    async with upstream(answering) as service, guarded(tmp_path, service, port_of(sample), *entries) as worker:
        for _ in range(2):
            assert (await ask(worker, token)).status == 200
        first, second = [passed.get("authorization") or "" for passed in service.requests]
        assert first == second != f"Bearer {token}"
        claims = jwt.decode(first.removeprefix("Bearer "), options={"verify_signature": False})
        assert (claims["sub"], claims["aud"], claims["scope"]) == ("1", "catalog", "items:read")


@pytest.mark.parametrize(
    ("options", "user", "code"),
    [
        ("audience: nobody", ("ada", "lovelace"), 403),
        ("resource: 'https://a.example'", ("ada", "lovelace"), 403),
        ("audience: catalog, scope: 'items:write'", ("grace", "hopper"), 403),
        ("audience: catalog", None, 401),
    ],
)
async def test_the_sample_service_exchanges_no_token(
    options: str, user: tuple[str, str] | None, code: int, sample: AuthClient, tmp_path: Path
) -> None:
    token = TOKEN if user is None else (await sample.login(*user))["access_token"]
    entry = plugin("token_exchange", port_of(sample), "url", "/token", options)
    async with upstream(answering) as service, guarded(tmp_path, service, port_of(sample), entry) as worker:
        assert (await ask(worker, token)).status == code
        assert not service.requests


# oidc-provider


@needs_oidc_provider
@pytest.mark.parametrize(("way", "client_auth"), [("url", "basic"), ("upstream", "post")])
async def test_oidc_provider_says_what_a_token_is_worth(
    way: str, client_auth: str, provider: OidcProvider, tmp_path: Path
) -> None:
    token = await provider.access_token(opaque=True)
    endpoint = (await provider.metadata())["introspection_endpoint"]
    path, port = endpoint.removeprefix(provider.issuer), int(provider.issuer.rpartition(":")[2])
    options = (
        f"client_auth: {client_auth}, audience: api, issuers: ['{provider.issuer}'], scopes: ['items:read'],"
        " cache: {ttl: 0s}, claims_to_headers: {client_id: X-Client}"
    )
    entries = (plugin("introspection", port, way, path, options),)
    async with upstream(answering) as service, guarded(tmp_path, service, port, *entries) as worker:
        assert (await ask(worker, token)).status == 200
        assert [passed.get("x-client") for passed in service.requests] == ["gateway"]
        assert (await ask(worker, "never")).status == 401
        # It refuses to be asked about a JWT.
        assert (await ask(worker, await provider.access_token())).status == 401
        await provider.revoke(token)
        assert (await ask(worker, token)).status == 401
        assert len(service.requests) == 1


@needs_oidc_provider
async def test_oidc_provider_exchanges_no_tokens(provider: OidcProvider, tmp_path: Path) -> None:
    token = await provider.access_token(opaque=True)
    port = int(provider.issuer.rpartition(":")[2])
    entry = plugin("token_exchange", port, "url", "/token", "audience: api")
    async with upstream(answering) as service, guarded(tmp_path, service, port, entry) as worker:
        assert (await ask(worker, token)).status == 503
        assert not service.requests
