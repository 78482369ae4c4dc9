"""Sessions in running workers: browsers log in by a real auth service, and workers share what they know of it."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pytest_aiohttp.plugin import AiohttpServer

from gateway.auth.sessions import session_key
from gateway.demo.auth import AuthService
from gateway.demo.signing import SigningKeys
from tests.support.auth_service import ISSUER, accounts, signing_key
from tests.support.gateways import request
from tests.support.messages import Message
from tests.support.polling import PATIENCE, eventually
from tests.support.raw_upstream import RawUpstream, answering, upstream
from tests.support.runtimes import HEAD, Running, running
from tests.support.servers import MEMCACHED, NO_MEMCACHED, Server, memcached_server, redis_server

NAME = "__Host-session"
CLEARED = f"{NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"
JSON = b"Content-Type: application/json"
HOME = b"Sec-Fetch-Site: same-origin"
ADA = b'{"user": "ada", "password": "lovelace"}'


class Service:
    """A service behind the gateway, and the auth service."""

    def __init__(self, items: RawUpstream, auth_port: int) -> None:
        self.items = items
        self.auth_port = auth_port

    @property
    def last(self) -> Message:
        return self.items.requests[-1]

    def config(self, state: str = "", options: str = "", more: str = "") -> str:
        session = f"login: {{upstream: auth}}, claims_to_headers: {{sub: X-User-Id, roles: X-Roles}}{options}"
        return (
            f"{HEAD}{state}"
            f"upstreams:\n  auth: {{endpoints: ['http://127.0.0.1:{self.auth_port}']}}\n"
            f"  items: {{endpoints: ['http://127.0.0.1:{self.items.port}']}}\n"
            f"routes:\n  - {{name: open, match: {{path: /open}}, to: items}}\n{more}"
            f"  - name: items\n    to: items\n    plugins:\n      - session: {{{session}}}\n"
        )


@pytest.fixture
async def service(aiohttp_server: AiohttpServer) -> AsyncIterator[Service]:
    auth = AuthService(ISSUER, accounts(), SigningKeys(signing_key()), time.time)
    server = await aiohttp_server(auth.app())
    async with upstream(answering) as items:
        assert server.port is not None
        yield Service(items, server.port)


class Browser:
    """Somebody's browser: it keeps the session's cookie, and shows it to every worker."""

    def __init__(self) -> None:
        self.session_id = ""
        self.csrf = ""

    async def log_in(self, worker: Running, body: bytes = ADA, *fields: bytes) -> Message:
        answer = await ask(worker, "/login", *(fields or (JSON,)), method="POST", body=body)
        if answer.status == 200:
            (cookie,) = answer.all("set-cookie")
            self.session_id = cookie.partition("=")[2].partition(";")[0]
            assert cookie == f"{NAME}={self.session_id}; Path=/; Secure; HttpOnly; SameSite=Lax"
            self.csrf = orjson.loads(answer.body)["csrf"]
        return answer

    async def ask(self, worker: Running, target: str = "/items", *fields: bytes, **options: Any) -> Message:
        return await ask(worker, target, f"Cookie: {NAME}={self.session_id}".encode(), *fields, **options)

    async def log_out(self, worker: Running) -> Message:
        return await self.ask(worker, "/logout", f"X-CSRF-Token: {self.csrf}".encode(), method="POST")


async def ask(worker: Running, target: str, *fields: bytes, method: str = "GET", body: bytes = b"") -> Message:
    async with worker.client() as client:
        return await client.ask(request(target, *fields, method=method, body=body), method)


async def becomes(browser: Browser, worker: Running, status: int) -> Message:
    """The first answer with that status. Until then there may be others."""
    deadline = time.monotonic() + PATIENCE
    while True:
        answer = await browser.ask(worker)
        if answer.status == status:
            return answer
        assert time.monotonic() < deadline, answer.head


async def key_set(worker: Running) -> jwt.PyJWKSet:
    answer = await ask(worker, "/.well-known/jwks.json")
    assert (answer.status, answer.get("cache-control")) == (200, "max-age=300")
    return jwt.PyJWKSet.from_json(answer.body.decode())


def verified(token: str | None, keys: jwt.PyJWKSet) -> Any:
    """The claims of a token that a service got, verified as a service does."""
    assert token is not None
    scheme, _, token = token.partition(" ")
    assert scheme == "Bearer"
    return jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=["EdDSA"], audience="items")


async def test_from_login_to_logout(tmp_path: Path, service: Service) -> None:
    browser = Browser()
    async with running(tmp_path, service.config()) as worker:
        assert (await ask(worker, "/items")).status == 401
        login = await browser.log_in(worker)
        assert orjson.loads(login.body) == {"sub": "1", "csrf": browser.csrf, "expires_in": 43200}
        assert login.get("cache-control") == "no-store"

        answer = await browser.ask(worker, "/items/42", b"Authorization: Bearer mine", b"X-Other: 1")
        assert (answer.status, answer.body) == (200, b"ok")
        seen = service.last
        claims = verified(seen.get("authorization"), await key_set(worker))
        assert (claims["sub"], claims["preferred_username"], claims["iss"]) == ("1", "ada", "gateway")
        assert (seen.get("x-user-id"), seen.get("x-roles"), seen.get("x-other")) == ("1", "admin,user", "1")
        assert seen.all("cookie") == []

        gone = await browser.log_out(worker)
        assert (gone.status, gone.all("set-cookie")) == (204, [CLEARED])
        refused = await browser.ask(worker)
        assert (refused.status, refused.all("set-cookie")) == (401, [CLEARED])
        assert len(service.items.requests) == 1


async def test_a_form_logs_in_too_and_a_wrong_password_does_not(tmp_path: Path, service: Service) -> None:
    browser = Browser()
    form = b"Content-Type: application/x-www-form-urlencoded"
    async with running(tmp_path, service.config()) as worker:
        wrong = await browser.log_in(worker, b"user=ada&password=wrong", form)
        assert (wrong.status, wrong.all("set-cookie")) == (401, [])
        assert b"wrong user or password" in wrong.body
        assert (await browser.log_in(worker, b"user=ada&password=lovelace", form)).status == 200
        assert (await browser.ask(worker)).status == 200


@pytest.mark.parametrize("target", ["/items", "/open"])
@pytest.mark.parametrize("name", [b"X-User-Id", b"x-user-id", b"X_User_Id", b"X-USER_ID", b"X-Roles"])
async def test_nobody_names_himself(tmp_path: Path, service: Service, name: bytes, target: str) -> None:
    browser = Browser()
    async with running(tmp_path, service.config(options=", optional: true")) as worker:
        assert (await ask(worker, target, name + b": 2")).status == 200
        assert b"user" not in service.last.head.lower()
        assert b"roles" not in service.last.head.lower()
        await browser.log_in(worker)
        assert (await browser.ask(worker, "/items", name + b": 2")).status == 200
        assert (service.last.all("x-user-id"), service.last.all("x-roles")) == (["1"], ["admin,user"])
        assert not any("_" in name for name in service.last.names)


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([b"Cookie: %b=%%b; %b=%%b" % (NAME.encode(), NAME.encode())], 400),
        ([b"Cookie: %b=%%b" % NAME.encode(), b"Cookie: %b=planted" % NAME.encode()], 400),
        ([b"Cookie: %b=%%b" % NAME.encode(), b"Connection: Cookie"], 401),
        ([b"Cookie: %b=%%bx" % NAME.encode()], 401),
        ([b"Cookie: a=%b=%%b" % NAME.encode()], 401),
        ([b"Cookie: %b=%%b" % NAME.lower().encode()], 401),
        ([b"Authorization: Bearer %b"], 401),
    ],
)
async def test_cookies_that_let_nobody_in(tmp_path: Path, service: Service, fields: list[bytes], status: int) -> None:
    browser = Browser()
    async with running(tmp_path, service.config()) as worker:
        await browser.log_in(worker)
        brought = [field.replace(b"%b", browser.session_id.encode()) for field in fields]
        assert (await ask(worker, "/items", *brought)).status == status
        assert service.items.requests == []


async def test_only_a_login_is_read_before_it_goes_on(tmp_path: Path, service: Service) -> None:
    browser = Browser()
    large = b"x" * (256 * 1024)
    async with running(tmp_path, service.config()) as worker:
        assert (await browser.log_in(worker, b'{"user": "%b"}' % large)).status == 413
        await browser.log_in(worker)
        assert (await browser.ask(worker, "/items", HOME, method="PUT", body=large)).status == 200
        assert service.last.body == large


async def test_changes_of_other_sites_do_not_arrive(tmp_path: Path, service: Service) -> None:
    browser = Browser()
    async with running(tmp_path, service.config()) as worker:
        evil = (b"Origin: https://evil.example", b"Sec-Fetch-Site: cross-site")
        assert (await browser.log_in(worker, ADA, JSON, *evil)).status == 403
        await browser.log_in(worker)
        for fields in (evil, ()):
            assert (await browser.ask(worker, "/items", *fields, method="DELETE")).status == 403
        assert (await browser.ask(worker, "/logout", *evil, method="POST")).status == 403
        assert service.items.requests == []
        assert (await browser.ask(worker, "/items", HOME, method="DELETE")).status == 200


async def test_other_methods_of_own_paths_are_the_files(tmp_path: Path, service: Service) -> None:
    page = "  - {name: page, match: {path: /login, methods: [GET]}, respond: {text: form}}\n"
    async with running(tmp_path, service.config(more=page)) as worker:
        assert (await ask(worker, "/login")).body == b"form"
        assert (await ask(worker, "/.well-known/jwks.json", method="HEAD")).status == 200
        assert (await ask(worker, "/login", JSON, method="POST", body=ADA)).status == 200


def pem() -> str:
    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_keys_are_rotated_by_a_reload_and_sessions_stay(tmp_path: Path, service: Service) -> None:
    browser, (old, new) = Browser(), (pem(), pem())
    (tmp_path / "keys.pem").write_text(old)
    async with running(tmp_path, service.config(options=", token: {key_file: keys.pem}")) as worker:
        await browser.log_in(worker)
        await browser.ask(worker)
        before, token = await key_set(worker), service.last.get("authorization")

        (tmp_path / "keys.pem").write_text(new + old)
        assert await worker.runtime.reload()

        after = await key_set(worker)
        assert (len(before.keys), len(after.keys)) == (1, 2)
        assert verified(token, after)["sub"] == "1"
        assert (await browser.ask(worker)).status == 200
        assert verified(service.last.get("authorization"), after)["sub"] == "1"
        with pytest.raises(KeyError):
            verified(service.last.get("authorization"), before)

        (tmp_path / "keys.pem").write_text("no key")
        assert not await worker.runtime.reload()
        assert (await browser.ask(worker)).status == 200


# workers that share a store


@pytest.fixture(params=["redis", "memcached"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Server]]:
    """A real one, as `state` names it."""
    if request.param == "redis":
        with redis_server(tmp_path / "redis") as server:
            yield f"state: {{redis: {{url: 'redis://{server.address}', timeout: 10s, connect_timeout: 10s}}}}\n", server
    elif MEMCACHED is None:
        pytest.skip(NO_MEMCACHED)
    else:
        with memcached_server(tmp_path / "memcached") as server:
            yield f"state: {{memcached: {{address: '{server.address}', timeout: 10s}}}}\n", server


@pytest.fixture
def short_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker knows of a session is soon too old for it."""
    monkeypatch.setattr("gateway.auth.sessions.LOCAL_SECONDS", 0.1)


@contextlib.asynccontextmanager
async def two_workers(folder: Path, text: str) -> AsyncIterator[tuple[Running, Running]]:
    folders = folder / "one", folder / "other"
    keys = pem()
    for path in folders:
        path.mkdir()
        (path / "keys.pem").write_text(keys)
    async with running(folders[0], text) as one, running(folders[1], text) as other:
        yield one, other


@pytest.mark.usefixtures("short_memory")
async def test_workers_share_sessions(tmp_path: Path, service: Service, store: tuple[str, Server]) -> None:
    state, _ = store
    browser, another = Browser(), Browser()
    async with two_workers(tmp_path, service.config(state, ", token: {key_file: keys.pem}")) as (one, other):
        await browser.log_in(one)
        await another.log_in(one, b'{"user": "grace", "password": "hopper"}')
        for worker in (one, other):
            for who, sub in ((browser, "1"), (another, "2")):
                assert (await who.ask(worker)).status == 200
                assert verified(service.last.get("authorization"), await key_set(other))["sub"] == sub

        assert (await browser.log_out(other)).status == 204

        assert (await browser.ask(other)).status == 401
        await becomes(browser, one, 401)
        assert (await another.ask(one)).status == 200


@pytest.mark.usefixtures("short_memory")
async def test_the_last_login_is_the_only_one(tmp_path: Path, service: Service, store: tuple[str, Server]) -> None:
    state, _ = store
    async with two_workers(tmp_path, service.config(state)) as (one, other):
        planted, browser = Browser(), Browser()
        await planted.log_in(one)
        brought = f"Cookie: {NAME}={planted.session_id}".encode()
        await browser.log_in(other, ADA, JSON, brought)

        assert browser.session_id != planted.session_id
        await becomes(planted, one, 401)
        assert (await browser.ask(one)).status == 200


async def test_a_session_ends_without_requests(tmp_path: Path, service: Service, store: tuple[str, Server]) -> None:
    state, server = store
    browser = Browser()
    async with two_workers(tmp_path, service.config(state, ", idle: 1s")) as (one, other):
        await browser.log_in(one)
        key = session_key(browser.session_id)
        assert key is not None
        active = f"aiogate:session:auth:{NAME}:{key.hex()}:active"
        await eventually(lambda: server.ask("get", active) in (b"$-1\r\n", b"END\r\n"))

        for worker in (one, other):
            assert (await becomes(browser, worker, 401)).all("set-cookie") == [CLEARED]


async def test_a_store_that_is_read_gives_no_session_away(tmp_path: Path, service: Service) -> None:
    browser = Browser()
    with redis_server(tmp_path / "redis") as server:
        state = f"state: {{redis: {{url: 'redis://{server.address}', timeout: 10s, connect_timeout: 10s}}}}\n"
        async with running(tmp_path, service.config(state)) as worker:
            await browser.log_in(worker)
            key = session_key(browser.session_id)
            assert key is not None
            names = server.ask("KEYS", "*").decode()
            record = server.ask("GET", f"aiogate:session:auth:{NAME}:{key.hex()}").decode()
            assert '"sub":"1"' in record
            assert '"refresh_token"' in record
            for shown in (browser.session_id, "lovelace"):
                assert shown not in names + record
            for stolen in (key.hex(), browser.csrf):
                thief = Browser()
                thief.session_id = stolen
                assert (await thief.ask(worker)).status == 401


@pytest.mark.usefixtures("short_memory")
@pytest.mark.parametrize("harm", ["kill", "freeze"])
async def test_while_the_store_is_away_nobody_is_let_in(tmp_path: Path, service: Service, harm: str) -> None:
    browser = Browser()
    with redis_server(tmp_path / "redis") as server:
        text = service.config(f"state: {{redis: {{url: 'redis://{server.address}', timeout: 500ms}}}}\n")
        async with running(tmp_path, text) as worker:
            assert (await browser.log_in(worker)).status == 200
            assert (await browser.ask(worker)).status == 200
            getattr(server, harm)()

            refused = await becomes(browser, worker, 503)
            assert b"auth_unavailable" in refused.body
            assert refused.all("set-cookie") == []
            seen = len(service.items.requests)
            assert [(await browser.ask(worker)).status for _ in range(5)] == [503] * 5
            assert (await Browser().log_in(worker)).status == 503
            assert (await browser.log_out(worker)).status == 503
            assert (await ask(worker, "/items")).status == 401
            assert len(service.items.requests) == seen

            if harm == "freeze":
                server.thaw()
                await becomes(browser, worker, 200)
            else:
                # What was in its memory is gone.
                server.start()
                await becomes(browser, worker, 401)
                assert (await browser.log_in(worker)).status == 200
                assert (await browser.ask(worker)).status == 200
