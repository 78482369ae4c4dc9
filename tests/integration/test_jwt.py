"""The jwt plugin in a running worker: no forgery, no second header and no odd path comes to the service."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import time
from collections.abc import AsyncIterator, Iterator
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from gateway.auth import remote_keys
from tests.support.commands import command, config
from tests.support.forgeries import ALPHA, BETA, GAMMA, forgeries, good, keys
from tests.support.gateways import request
from tests.support.issuer import SECRET, IssuerService, Key, claims, issuer_service, key, mint
from tests.support.messages import Message
from tests.support.oidc import OidcProvider, needs_oidc_provider
from tests.support.polling import eventually, soon
from tests.support.raw_upstream import RawUpstream, answering, upstream
from tests.support.runtimes import HEAD, Running, running

NO_TOKEN = 'Bearer realm="gateway"'
IDENTITY = {"sub": "X-User-Id", "roles": "X-User-Roles"}


def jwt_options(*issuers: dict[str, Any], **options: Any) -> dict[str, Any]:
    return {"issuers": list(issuers), "claims_to_headers": IDENTITY, **options}


def remote(service: IssuerService, issuer: str = "", **more: Any) -> dict[str, Any]:
    """An issuer whose keys are fetched: of its own name by discovery, of another from its key set."""
    place = {"jwks": service.jwks} if issuer else {"discovery": True}
    return {"issuer": issuer or service.url, "audience": "api", **place, **more}


def three_issuers(service: IssuerService) -> list[dict[str, Any]]:
    return [
        remote(service, ALPHA, algorithms=["RS256", "ES256"]),
        {"issuer": BETA, "audience": ["api", "web"], "key": keys()[BETA][0].pem},
        {"issuer": GAMMA, "audience": "api", "algorithms": ["HS256"], "key": SECRET},
    ]


def written(service: RawUpstream, options: dict[str, Any], more: str = "") -> str:
    """A configuration: /admin needs a token, /public does not, and one service is behind both."""
    return (
        f"{HEAD}{more}upstreams: {{up: {{endpoints: ['http://127.0.0.1:{service.port}']}}}}\nroutes:\n"
        "  - {name: public, match: {path: '/public/**'}, to: up}\n"
        f"  - {{name: admin, match: {{path: '/admin/**'}}, to: up, plugins: [jwt: {json.dumps(options)}]}}\n"
    )


def ours(tasks: set[asyncio.Task[Any]]) -> list[str]:
    """Those of the plugin: its fetches, and requests that wait in `admit`."""
    return [repr(task) for task in tasks if re.search("RemoteKeys|_Rest|Jwt", repr(task))]


@contextlib.asynccontextmanager
async def guarded(folder: Path, options: dict[str, Any], more: str = "") -> AsyncIterator[tuple[Running, RawUpstream]]:
    """A worker and its service. At the end no task of the worker's is left."""
    before = asyncio.all_tasks()
    async with upstream(answering) as service:
        async with running(folder, written(service, options, more)) as worker:
            yield worker, service
        await eventually(lambda: not ours(asyncio.all_tasks() - before), "a task of the plugin is left")


def bearer(token: str) -> bytes:
    return f"Authorization: Bearer {token}".encode("latin-1")


async def ask(worker: Running, *fields: bytes, target: str = "/admin/x", **options: Any) -> Message:
    async with worker.client() as client:
        return await client.ask(request(target, *fields, **options))


async def status(worker: Running, token: str) -> int:
    return (await ask(worker, bearer(token))).status


def invalid(why: str) -> str:
    return f'Bearer realm="gateway", error="invalid_token", error_description="{why}"'


def seen(message: Message, name: str) -> list[str]:
    """What a service finds under a name that cannot tell `-` and `_` apart."""
    fields = message.fields
    return [value.decode("latin-1") for found, value in fields if found.lower().replace(b"_", b"-") == name.encode()]


# forgeries


async def test_no_forgery_reaches_the_service(tmp_path: Path) -> None:
    async with issuer_service(*keys()[ALPHA]) as service:
        options = jwt_options(*three_issuers(service))
        async with guarded(tmp_path, options) as (worker, up), worker.client() as client:
            answers = {}
            for name, token, why in forgeries():
                answer = await client.ask(request("/admin/x", bearer(token(time.time()))))
                answers[name] = (answer.status, answer.get("www-authenticate"), why)
            assert {name: found for name, found in answers.items() if found[:2] != (401, invalid(found[2]))} == {}
            assert up.requests == []
            assert len(answers) > 200
            for issuer, number in ((ALPHA, 0), (ALPHA, 1), (ALPHA, 2), (BETA, 0), (GAMMA, 0)):
                token = good(time.time(), issuer, number, roles=["a", "b"])
                assert (await client.ask(request("/admin/x", bearer(token)))).status == 200
                assert (seen(up.requests[-1], "x-user-id"), seen(up.requests[-1], "x-user-roles")) == (["ada"], ["a,b"])
            # Many of these name keys that nobody has: the issuer was asked for them once.
            assert service.fetches == 2


def gamma(**options: Any) -> dict[str, Any]:
    return jwt_options({"issuer": GAMMA, "audience": "api", "algorithms": ["HS256"], "key": SECRET}, **options)


GOOD = good(time.time() - 10, GAMMA, exp=time.time() + 3600)
FIELDS: list[tuple[str, list[bytes], int, str | None]] = [
    ("none", [], 401, NO_TOKEN),
    ("empty", [b"Authorization:"], 401, NO_TOKEN),
    ("twice", [bearer(GOOD), bearer(GOOD)], 400, None),
    ("twice, another first", [b"Authorization: Basic YTpi", bearer(GOOD)], 400, None),
    ("twice, another last", [bearer(GOOD), b"authorization: Bearer a.b.c"], 400, None),
    ("twice, one of them empty", [bearer(GOOD), b"AUTHORIZATION:"], 400, None),
    ("twice, as if for one hop", [bearer(GOOD), bearer(GOOD), b"Connection: authorization"], 400, None),
    ("for one hop", [bearer(GOOD), b"Connection: authorization"], 401, NO_TOKEN),
    ("two in one", [bearer(f"{GOOD}, Bearer {GOOD}")], 401, invalid("the token is malformed")),
    ("folded", [b"Authorization: Bearer", b" " + GOOD.encode()], 400, None),
    ("a blank before the colon", [b"Authorization : Bearer " + GOOD.encode()], 400, None),
    ("a tab after the scheme", [b"Authorization: Bearer\t" + GOOD.encode()], 401, invalid("the token is malformed")),
    ("Basic", [b"Authorization: Basic YTpi"], 401, NO_TOKEN),
    ("no scheme", [b"Authorization: " + GOOD.encode()], 401, NO_TOKEN),
    ("another field", [b"X-Authorization: Bearer " + GOOD.encode()], 401, NO_TOKEN),
    ("for the proxy", [b"Proxy-Authorization: Bearer " + GOOD.encode()], 401, NO_TOKEN),
    ("a cookie", [b"Cookie: access_token=" + GOOD.encode()], 401, NO_TOKEN),
    ("too large for a head", [bearer("a" * 40_000)], 431, None),
]


@pytest.mark.parametrize(("_", "fields", "code", "challenge"), FIELDS, ids=[case[0] for case in FIELDS])
@pytest.mark.parametrize("optional", (False, True))
async def test_other_ways_to_show_a_token(
    _: str, fields: list[bytes], code: int, challenge: str | None, optional: bool, tmp_path: Path
) -> None:
    async with guarded(tmp_path, gamma(optional=optional)) as (worker, up):
        answer = await ask(worker, *fields)
        if optional and challenge == NO_TOKEN:
            assert (answer.status, answer.body) == (200, b"ok")
            assert seen(up.requests[0], "x-user-id") == []
        else:
            assert (answer.status, answer.get("www-authenticate")) == (code, challenge)
            assert up.requests == []


async def test_a_token_in_the_query_or_the_body_is_none(tmp_path: Path) -> None:
    async with guarded(tmp_path, gamma()) as (worker, up):
        assert (await ask(worker, target=f"/admin/x?access_token={GOOD}")).status == 401
        form = b"Content-Type: application/x-www-form-urlencoded"
        assert (await ask(worker, form, method="POST", body=f"access_token={GOOD}".encode())).status == 401
        assert up.requests == []


@pytest.mark.parametrize("method", ("GET", "HEAD", "POST", "OPTIONS", "DELETE", "PATCH", "PROPFIND"))
async def test_every_method_needs_a_token(method: str, tmp_path: Path) -> None:
    async with guarded(tmp_path, gamma()) as (worker, up), worker.client() as client:
        answer = await client.ask(request("/admin/x", method=method), method)
        assert (answer.status, answer.get("www-authenticate")) == (401, NO_TOKEN)
        assert up.requests == []


async def test_the_answer_is_a_problem(tmp_path: Path) -> None:
    async with guarded(tmp_path, gamma()) as (worker, _):
        answer = await ask(worker, bearer("a.b.c"))
        assert answer.get("content-type") == "application/problem+json"
        assert json.loads(answer.body)["detail"] == "the token is malformed"
        assert answer.get("cache-control") == "no-store"
        assert answer.get("proxy-status") is None
        metrics = (await worker.get("/metrics")).body.decode()
        assert 'gateway_auth_total{plugin="jwt",result="denied"} 1' in metrics


# identity


SPOOFED = (
    [b"X-User-Id: root"],
    [b"x-user-id: root"],
    [b"X_User_Id: root"],
    [b"X-User_Id: root", b"x_user-id: root"],
    [b"X-User-Id: root", b"X-User-Id: admin"],
    [b"X-User-Id:", b"X_USER_ID: root"],
    [b"Connection: x-user-id", b"X-User-Id: root"],
    [b"Connection: x-user-id"],
    [b"X-User-Roles: admin", b"X_User_Roles: admin"],
)


@pytest.mark.parametrize("fields", SPOOFED, ids=str)
@pytest.mark.parametrize("trusted", (False, True))
async def test_an_identity_is_the_gateways_to_tell(fields: list[bytes], trusted: bool, tmp_path: Path) -> None:
    trust = "trusted_proxies: [127.0.0.1/32]\n" if trusted else ""
    async with guarded(tmp_path, gamma(optional=True), trust) as (worker, up):
        await ask(worker, *fields, target="/public/x")
        await ask(worker, *fields, target="/admin/x")
        await ask(worker, *fields, bearer(GOOD), target="/admin/x")
        told = [(seen(message, "x-user-id"), seen(message, "x-user-roles")) for message in up.requests]
        assert told == [([], []), ([], []), (["ada"], [])]


# paths

DOTS = ("..", "%2e%2e", ".%2E", "%252e%252e", "..;", "..;a=b", "%2e%2e;", "..%3b", "..%00", "..%20", "...")
SLASHES = ("/", "//", "/./", "%2f", "%2F", "%252f", "\\", "%5c", "/;/", "/%2e/", "/x/../")
WORDS = ("admin", "%61dmin", "%2561dmin", "admin;x", "admin%3bx", "ADMIN", "admin/", "admin%2f", "admin/x")


def tricks() -> Iterator[str]:
    """Ways to write a path that somebody may read as one below /admin."""
    yield from ("//admin", "/public/../admin", "/public/%2e%2e/admin", "/public/..%2fadmin", "/admin;x", "/ADMIN")
    yield from ("/public/..;/admin", "/%61dmin", "/public/%252e%252e/admin", "/admin", "/admin/", "/admin/../admin")
    for dots, first, second in product(DOTS, SLASHES, SLASHES):
        yield f"/public{first}{dots}{second}admin/x"
    for slash, word in product(SLASHES, WORDS):
        yield f"/{slash.lstrip('/')}{word}"
        yield f"{slash}{word}" if slash.startswith("/") else f"/x{slash}..{slash}{word}"
        yield f"/public/..{slash}{word}"
        yield f"/public/%2e%2e{slash}{word}"
        yield f"/public/a/../..{slash}{word}"
        yield f"http://a/public/..{slash}{word}"


def steps(path: str) -> Iterator[str]:
    """What a lenient service may make of a path, one thing at a time."""
    yield unquote(path, errors="replace")
    yield path.replace("\\", "/")
    yield re.sub(r";[^/]*", "", path)
    yield re.sub(r"//+", "/", path)
    yield path.partition("\0")[0]
    yield path.lower()
    kept: list[str] = []
    for segment in path.split("/")[1:]:
        if segment == "..":
            kept[-1:] = []
        elif segment != ".":
            kept.append(segment)
    yield "/" + "/".join(kept)


def readings(path: str) -> set[str]:
    """All that it may make of it, in any order and as often as it likes."""
    known, todo = {path}, [path]
    while todo:
        for reading in steps(todo.pop()):
            if reading not in known:
                known.add(reading)
                todo.append(reading)
    return known


def leads_to_admin(target: str) -> bool:
    path = re.sub(r"^[a-z]+://[^/]*", "", target).partition("?")[0]
    return any(re.match(r"/admin(/|$)", reading) for reading in readings(path))


def test_the_lenient_reader_is_lenient() -> None:
    for path in ("/admin", "//admin", "/public/%252e%252e/admin", "/public/..;/admin", "/%2561dmin;x/y"):
        assert leads_to_admin(path), path
    assert leads_to_admin("http://a/public\\..%5cADMIN")
    for path in ("/public/admin", "/public/x", "/administrator", "/public/..x/admin"):
        assert not leads_to_admin(path), path


async def test_no_path_leads_around_the_token(tmp_path: Path) -> None:
    async with guarded(tmp_path, gamma()) as (worker, up):
        told: dict[int, int] = {}
        for target in dict.fromkeys(tricks()):
            answer = await ask(worker, target=target)
            told[answer.status] = told.get(answer.status, 0) + 1
        passed = [message.first.decode("latin-1").split(" ")[1] for message in up.requests]
        assert list(filter(leads_to_admin, passed)) == []
        assert set(told) <= {200, 400, 401, 404}
        assert told[400] > 1000
        assert told[401] > 0
        # It is not that nothing comes through.
        assert (await ask(worker, target="/public/a%20b/admin")).status == 200


# keys that are fetched


def minted(service: IssuerService, signer: Key | None = None, **changes: Any) -> str:
    return mint(claims(service.url, time.time(), **changes), signer or key())


async def test_a_rotation_refuses_nobody(tmp_path: Path) -> None:
    async with issuer_service(key()) as service, guarded(tmp_path, jwt_options(remote(service))) as (worker, up):
        before = minted(service)
        assert await status(worker, before) == 200
        service.publish(key(number=1), key())
        after = [minted(service, key(number=1), jti=str(number)) for number in range(20)]
        asked = [before, *after, minted(service, jti="x")]
        statuses = await asyncio.gather(*(status(worker, token) for token in asked))
        assert statuses == [200] * 22
        assert len(up.requests) == 23
        assert service.fetches == 2


async def test_an_issuer_that_fails_later(tmp_path: Path) -> None:
    async with issuer_service(key()) as service, guarded(tmp_path, jwt_options(remote(service))) as (worker, up):
        assert await status(worker, minted(service)) == 200
        await service.stop()
        assert await status(worker, minted(service, jti="b")) == 200
        assert await status(worker, minted(service, key(number=1))) == 401
        assert await status(worker, minted(service, jti="c")) == 200
        assert len(up.requests) == 3


async def test_an_issuer_that_is_away_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(remote_keys, "START_SECONDS", 0.01)
    monkeypatch.setattr(remote_keys, "FIRST_PAUSE", 0.01)
    async with issuer_service(key()) as service:
        await service.stop()
        async with guarded(tmp_path, jwt_options(remote(service), optional=True)) as (worker, up):
            token = minted(service)
            answer = await ask(worker, bearer(token))
            assert (answer.status, answer.get("retry-after"), answer.get("www-authenticate")) == (503, "1", None)
            assert answer.get("proxy-status") == "gateway; error=proxy_internal_error"
            assert json.loads(answer.body)["type"] == "urn:aiogate:problem:auth_unavailable"
            assert up.requests == []
            assert (await ask(worker)).status == 200
            await service.start()
            for _ in range(1000):
                if await status(worker, token) == 200:
                    break
                await asyncio.sleep(0.01)
            assert seen(up.requests[-1], "x-user-id") == ["ada"]
    assert f"the issuer {service.url} has not answered yet" in caplog.text
    assert token not in caplog.text


async def test_a_client_that_goes_away_while_keys_are_fetched(tmp_path: Path) -> None:
    async with issuer_service(key()) as service, guarded(tmp_path, jwt_options(remote(service))) as (worker, up):
        service.publish(key(number=1))
        service.holding.clear()
        token = minted(service, key(number=1))
        async with worker.client() as leaving, worker.client() as staying:
            leaving.send(request("/admin/x", bearer(token)))
            staying.send(request("/admin/x", bearer(token)))
            await eventually(lambda: service.asked.total() == 3 and worker.runtime.proxy.active == 2)
            leaving.reset()
            await eventually(lambda: worker.runtime.proxy.active == 1)
            service.holding.set()
            assert (await staying.response()).status == 200
        assert len(up.requests) == 1


async def test_a_stop_while_keys_are_fetched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with issuer_service(key()) as service:
        async with guarded(tmp_path, jwt_options(remote(service))) as (worker, _), worker.client() as client:
            service.holding.clear()
            client.send(request("/admin/x", bearer(minted(service, key(number=1)))))
            await eventually(lambda: service.asked.total() == 3)
            assert len(ours(asyncio.all_tasks())) == 3, "the refresh, the fetch, and the request"
        service.holding.set()
    assert "crash" not in caplog.text
    assert "failed" not in caplog.text


# reloads and revocation


async def test_a_key_file_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(key().pem)
    options = jwt_options({"issuer": ALPHA, "audience": "api", "key_file": "key.pem"})
    old, new = (good(time.time(), number=number) for number in (0, 1))
    async with guarded(tmp_path, options) as (worker, up):
        text = worker.runtime.path.read_text()
        assert [await status(worker, token) for token in (old, new)] == [200, 401]
        path.write_text(key(number=1).pem)
        worker.write(text.replace("to: up", "to: down", 1))
        assert not await soon(worker.runtime.reload())
        assert [await status(worker, token) for token in (old, new)] == [200, 401], "the old configuration serves"
        worker.write(text)
        assert await soon(worker.runtime.reload())
        assert [await status(worker, token) for token in (old, new)] == [401, 200]
        path.write_text("rubbish")
        assert not await soon(worker.runtime.reload())
        assert "the key is not a public key" in "".join(worker.runtime.last.texts)
        assert [await status(worker, token) for token in (old, new)] == [401, 200]
        assert len(up.requests) == 4


async def test_a_reload_keeps_the_keys(tmp_path: Path) -> None:
    async with issuer_service(key()) as service, guarded(tmp_path, jwt_options(remote(service))) as (worker, _):
        assert await soon(worker.runtime.reload())
        assert await status(worker, minted(service)) == 200
        assert service.fetches == 1


@pytest.mark.parametrize("body", ({"jti": "t1"}, {"sub": "ada"}))
async def test_a_token_is_taken_back(body: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.plugins.jwt.REVOKED_SECONDS", 0.1)
    async with guarded(tmp_path, gamma(revocation=True)) as (worker, up):
        assert [await status(worker, GOOD) for _ in range(2)] == [200, 200]
        answer = await worker.ask("POST", "/api/revocations", json={"issuer": GAMMA, **body})
        assert answer.status == 200
        for _ in range(1000):
            answer = await ask(worker, bearer(GOOD))
            if answer.status != 200:
                break
            await asyncio.sleep(0.01)
        assert (answer.status, answer.get("www-authenticate")) == (401, invalid("the token has been revoked"))
        assert await status(worker, good(time.time(), GAMMA, sub="grace", jti="t2")) == 200
        assert seen(up.requests[-1], "x-user-id") == ["grace"]


# loading


def test_check_says_where_an_option_is_wrong(tmp_path: Path) -> None:
    text = (
        f"{HEAD}routes:\n  - name: a\n    respond: {{text: x}}\n    plugins:\n      - jwt:\n          issuers:\n"
        "            - issuer: https://id.example\n              audience: api\n              discovery: true\n"
        "              algorithms: [RS256, none]\n              leway: 5s\n      - jwt:\n          issuers:\n"
        "            - {issuer: b, audience: api, key_file: nowhere.pem}\n"
    )
    result = command("check", "-c", config(tmp_path, text))

    assert result.exit_code == 1
    assert re.search(r"routes\.yaml:13:35: .*none", result.output), result.output
    assert re.search(r"routes\.yaml:14:15: .*leway", result.output), result.output
    assert re.search(r"routes\.yaml:15:9: .*cannot read the key file .*nowhere.pem", result.output), result.output


# oidc-provider


@needs_oidc_provider
class TestOidcProvider:
    @staticmethod
    def options(provider: OidcProvider, **more: Any) -> dict[str, Any]:
        issuer = {"issuer": provider.issuer, "audience": "api", "discovery": True}
        headers = {"client_id": "X-User-Id", "scope": "X-User-Scope"}
        return jwt_options(issuer, **{"claims_to_headers": headers, **more})

    async def test_a_token_of_client_credentials(self, provider: OidcProvider, tmp_path: Path) -> None:
        async with guarded(tmp_path, self.options(provider, scopes=["items:read"])) as (worker, up):
            assert await status(worker, await soon(provider.access_token())) == 200
            assert seen(up.requests[0], "x-user-id") == ["gateway"]
            assert seen(up.requests[0], "x-user-scope") == ["items:read"]
            poor = await ask(worker, bearer(await soon(provider.access_token(scope=""))))
            assert (poor.status, 'error="insufficient_scope"' in (poor.get("www-authenticate") or "")) == (403, True)
            opaque = await ask(worker, bearer(await soon(provider.access_token(opaque=True))))
            assert (opaque.status, opaque.get("www-authenticate")) == (401, invalid("the token is not a signed JWT"))
            assert len(up.requests) == 1

    async def test_a_rotation_refuses_no_good_token(self, provider: OidcProvider, tmp_path: Path) -> None:
        async with guarded(tmp_path, self.options(provider)) as (worker, up):
            first = [await soon(provider.access_token()) for _ in range(3)]
            assert await status(worker, first[0]) == 200
            await soon(provider.rotate())
            second = [await soon(provider.access_token()) for _ in range(3)]
            statuses = await asyncio.gather(*(status(worker, token) for token in [*first, *second]))
            assert statuses == [200] * 6
            assert len(up.requests) == 7

    async def test_for_somebody_else(self, provider: OidcProvider, tmp_path: Path) -> None:
        issuer = {"issuer": provider.issuer, "audience": "another", "discovery": True}
        async with guarded(tmp_path, jwt_options(issuer)) as (worker, up):
            answer = await ask(worker, bearer(await soon(provider.access_token())))
            assert answer.get("www-authenticate") == invalid("the token is meant for somebody else")
            assert up.requests == []
