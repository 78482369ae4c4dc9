"""Requests with tokens and without: who is let in, what services hear of it, and what is remembered."""

from __future__ import annotations

import asyncio
import gc
import logging
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import aiohttp
import pytest
from gateway.plugins.jwt import Jwt

from gateway.auth import token_judge
from gateway.auth.revocations import Revocations
from gateway.chain import Chain
from gateway.exchange import Exchange
from gateway.plugin import ADMITTED, GatewayError, Kind, SharedUnavailable
from gateway.state.memory import MemoryShared
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin, run_async
from gateway.wire.head import ResponseHead
from tests.support.forgeries import GAMMA, good, not_canonical
from tests.support.issuer import MISSING, SECRET, IssuerService, claims, issuer_service, key, mint
from tests.support.polling import soon

ISSUER = {"issuer": GAMMA, "audience": "api", "algorithms": ["HS256"], "key": SECRET}
HEADERS = {"sub": "X-User-Id", "roles": "X-User-Roles"}


class Store(MemoryShared):
    """Shared state that counts what is asked, and may be away."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.asked = 0
        self.away = False

    async def get(self, key: str) -> bytes | None:
        self.asked += 1
        if self.away:
            raise SharedUnavailable("no answer in time")
        return await super().get(key)


class Bench:
    """The plugin with its clock, its metrics and its shared state."""

    def __init__(self, http: Any = None, **options: Any) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.store = Store(self.clock)
        self.env = make_env(self.clock, self.metrics, self.store, http=http, name="edge")
        options = {"issuers": [ISSUER], "claims_to_headers": HEADERS, **options}
        self.plugin = make_plugin(Jwt, self.env, **options)

    def token(self, **changes: Any) -> str:
        return good(self.clock.wall(), GAMMA, **changes)

    async def ask(self, authorization: str | None = None, exchange: Exchange | None = None) -> ResponseHead:
        return await soon(run_async(self.plugin, exchange or asking(authorization)))

    async def status(self, token: str) -> int:
        return (await self.ask(f"Bearer {token}")).status

    def hot(self, token: str) -> bool:
        """Is the request decided without a coroutine?"""
        return self.plugin.on_request(asking(f"Bearer {token}")) is ADMITTED

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        return {result: child.value for (_, result), child in family.children.items() if child.value}


def asking(authorization: str | None = None, **fields: Any) -> Exchange:
    headers = [("Accept", "*/*")] + ([("Authorization", authorization)] if authorization is not None else [])
    return make_exchange("GET", "/items", headers, **fields)


@pytest.fixture
def verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens that were verified, each time."""
    seen: list[str] = []
    before = token_judge.verify_token

    def counting(token: str, *arguments: Any) -> Any:
        seen.append(token)
        return before(token, *arguments)

    monkeypatch.setattr(token_judge, "verify_token", counting)
    return seen


# who is let in


async def test_a_token_that_holds() -> None:
    bench = Bench()
    exchange = asking(f"Bearer {bench.token(roles=['admin', 'user'])}")

    assert (await bench.ask(exchange=exchange)).status == 200
    assert exchange.principal == "ada"
    assert exchange.claims is not None
    assert exchange.claims["iss"] == GAMMA
    assert [exchange.headers.get(name) for name in HEADERS.values()] == ["ada", "admin,user"]
    assert bench.counted() == {"allowed": 1}


@pytest.mark.parametrize("scheme", ("Bearer", "bearer", "BEARER", "bEARER"))
@pytest.mark.parametrize("blanks", (" ", "   "))
async def test_the_scheme_in_any_case(scheme: str, blanks: str) -> None:
    bench = Bench()

    assert (await bench.ask(scheme + blanks + bench.token())).status == 200


async def test_no_token() -> None:
    bench = Bench()
    exchange = asking()
    head = await bench.ask(exchange=exchange)

    assert (head.status, head.headers.get("www-authenticate")) == (401, 'Bearer realm="edge"')
    assert (exchange.outcome, exchange.flag, exchange.attempts) == ("unauthenticated", "UA", 0)
    assert (exchange.principal, exchange.claims) == (None, None)
    assert bench.counted() == {"missing": 1}


@pytest.mark.parametrize("field", ("Basic YTpi", "Digest x", "Token abc", "Negotiate", "DPoP abc", "Bear abc"))
async def test_another_scheme_is_no_token(field: str) -> None:
    bench = Bench()
    head = await bench.ask(field)

    assert (head.status, head.headers.get("www-authenticate")) == (401, 'Bearer realm="edge"')
    assert bench.counted() == {"missing": 1}


@pytest.mark.parametrize("optional", (False, True))
@pytest.mark.parametrize(
    "field",
    (
        *("Bearer", "Bearer ", "Bearer a b", "Bearer é", "Bearer a.b.c,", "Bearer Bearer a.b.c", "BearerX a.b.c"),
        *("Bearer\ta.b.c", "Bearer \ta.b.c", "Bearer\xa0a.b.c", "bearer,a.b.c", "Bearer=a.b.c"),
    ),
)
async def test_what_is_no_token(field: str, optional: bool) -> None:
    """Nor may a service behind find one in it that nobody has verified."""
    bench = Bench(optional=optional)
    head = await bench.ask(field)

    described = 'error="invalid_token", error_description="the token is malformed"'
    assert (head.status, head.headers.get("www-authenticate")) == (401, f'Bearer realm="edge", {described}')
    assert bench.counted() == {"denied": 1}


async def test_a_token_that_does_not_hold() -> None:
    bench = Bench()
    head = await bench.ask(f"Bearer {bench.token(exp=1)}")

    described = 'error="invalid_token", error_description="the token has expired"'
    assert (head.status, head.headers.get("www-authenticate")) == (401, f'Bearer realm="edge", {described}')
    assert head.body is not None
    assert b"the token has expired" in head.body
    assert bench.counted() == {"denied": 1}


async def test_scopes() -> None:
    bench = Bench(scopes=["items:write", "items:read"])
    poor, rich = bench.token(scope="items:read"), bench.token(scope="items:write items:read x")

    for _ in range(2):
        exchange = asking(f"Bearer {poor}")
        head = await bench.ask(exchange=exchange)
        described = 'error="insufficient_scope", scope="items:read items:write"'
        assert (head.status, head.headers.get("www-authenticate")) == (403, f'Bearer realm="edge", {described}')
        assert (exchange.principal, exchange.headers.get("x-user-id")) == (None, None)
    assert await bench.status(rich) == 200
    assert bench.counted() == {"denied": 2, "allowed": 1}


async def test_a_claim_that_would_be_another_header() -> None:
    bench = Bench()
    exchange = asking(f"Bearer {bench.token(sub='ada' + chr(13) + chr(10) + 'X-Admin: yes')}")
    head = await bench.ask(exchange=exchange)

    assert head.status == 401
    assert "a claim of the token cannot be a header" in (head.headers.get("www-authenticate") or "")
    assert exchange.headers.get("x-user-id") is None


# optional


async def test_without_a_token_where_it_is_optional() -> None:
    bench = Bench(optional=True)
    for field in (None, "Basic YTpi"):
        exchange = asking(field)
        assert (await bench.ask(exchange=exchange)).status == 200
        assert (exchange.principal, exchange.claims, exchange.headers.get("x-user-id")) == (None, None, None)
    assert bench.counted() == {}


async def test_a_token_that_does_not_hold_is_never_optional() -> None:
    bench = Bench(optional=True, scopes=["read"])
    for field in (f"Bearer {bench.token(exp=1)}", "Bearer", "Bearer x", f"Bearer {bench.token(aud='x')}"):
        assert (await bench.ask(field)).status == 401
    assert await bench.status(bench.token()) == 403
    assert await bench.status(bench.token(scope="read")) == 200
    assert bench.counted() == {"denied": 5, "allowed": 1}


def test_nothing_is_awaited_without_a_token() -> None:
    assert Bench(optional=True).plugin.on_request(asking()) is ADMITTED
    with pytest.raises(GatewayError) as raised:
        Bench().plugin.on_request(asking())
    assert raised.value.kind is Kind.UNAUTHENTICATED


# what is remembered


async def test_a_token_is_verified_once(verifications: list[str]) -> None:
    bench = Bench()
    token = bench.token(exp=bench.clock.wall() + 1000)
    for _ in range(5):
        assert await bench.status(token) == 200
    assert bench.hot(token)
    assert verifications == [token]

    bench.clock.advance(59.9)
    assert bench.hot(token)
    bench.clock.advance(0.2)
    assert not bench.hot(token)
    assert await bench.status(token) == 200
    assert verifications == [token, token]


async def test_a_token_is_never_remembered_longer_than_it_holds(verifications: list[str]) -> None:
    bench = Bench()
    token = bench.token(exp=bench.clock.wall() + 10)
    assert await bench.status(token) == 200
    bench.clock.advance(9.9)
    assert bench.hot(token)
    bench.clock.advance(0.2)
    assert not bench.hot(token), "its time is over"
    # The leeway is still there, and each request is judged anew.
    assert [await bench.status(token) for _ in range(2)] == [200, 200]
    assert len(verifications) == 3
    bench.clock.advance(30)
    assert await bench.status(token) == 401
    assert len(verifications) == 4


async def test_other_requests_with_the_same_token_need_no_other_verification(verifications: list[str]) -> None:
    bench = Bench()
    token = bench.token()
    assert await bench.status(token) == 200
    other = make_exchange("POST", "/other?x=1", [("Cookie", "a=b"), ("Authorization", f"Bearer {token}"), ("X", "y")])
    assert bench.plugin.on_request(other) is ADMITTED
    assert (other.principal, other.headers.get("x-user-id")) == ("ada", "ada")
    assert verifications == [token]


async def test_a_token_that_resembles_one_that_is_known_is_not_known() -> None:
    bench = Bench()
    token = bench.token()
    assert await bench.status(token) == 200
    for other in (token[:-1], token + "A", not_canonical(token.rpartition(".")[2]), token.swapcase(), token + "=="):
        assert not bench.hot(other)
        assert await bench.status(other) == 401
    assert bench.hot(token)


async def test_refusals_are_not_remembered(verifications: list[str]) -> None:
    bench = Bench()
    token = bench.token(nbf=bench.clock.wall() + 100)
    assert [await bench.status(token) for _ in range(2)] == [401, 401]
    bench.clock.advance(70)
    assert await bench.status(token) == 200
    assert len(verifications) == 3


async def test_tokens_of_two_people_are_two() -> None:
    bench = Bench()
    seen = []
    for _ in range(2):
        for name in ("ada", "grace"):
            exchange = asking(f"Bearer {bench.token(sub=name)}")
            await bench.ask(exchange=exchange)
            seen.append((exchange.principal, exchange.headers.get_all("x-user-id")))
    assert seen == [("ada", ["ada"]), ("grace", ["grace"])] * 2


def holds(start: Any, wanted: str) -> list[str]:
    """Where below an object a text is kept, that of functions and modules left out."""
    found, todo, seen = [], [start], set()
    while todo:
        one = todo.pop()
        if id(one) in seen or isinstance(one, ModuleType | FunctionType | type | logging.Logger):
            continue
        seen.add(id(one))
        if isinstance(one, str | bytes):
            text = one if isinstance(one, str) else one.decode("latin-1")
            found += [text] if wanted in text else []
        todo += gc.get_referents(one)
    return found


async def test_the_token_is_kept_nowhere(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench = Bench(revocation=True)
    wrong = ({"exp": 1}, {"aud": "x"}, {"sub": "a\nb"}, {"iss": "x"}, {"exp": "soon"})
    tokens = [bench.token(), *(bench.token(**changes) for changes in wrong)]
    answers = [await bench.ask(f"Bearer {token}") for token in tokens]
    assert [head.status for head in answers] == [200] + [401] * 5
    said = caplog.text + repr([[*head.headers.items(), head.body] for head in answers]) + repr(list(bench.metrics))
    for token in tokens:
        assert not any(part in said for part in token.split(".")[1:])
        assert holds(bench.plugin, token) == []
    assert holds(bench.plugin, "ada"), "nothing was looked at"
    assert SECRET not in repr(bench.plugin.options)


# revocation


async def test_a_token_that_was_taken_back() -> None:
    bench = Bench(revocation=True)
    revocations = Revocations(bench.store)
    gone, other = bench.token(jti="a"), bench.token(jti="b")
    assert [await bench.status(token) for token in (gone, other)] == [200, 200]
    assert bench.hot(gone)
    await revocations.revoke_token(GAMMA, "a", 300)

    bench.clock.advance(1.01)
    assert not bench.hot(gone)
    head = await bench.ask(f"Bearer {gone}")
    described = 'error="invalid_token", error_description="the token has been revoked"'
    assert (head.status, head.headers.get("www-authenticate")) == (401, f'Bearer realm="edge", {described}')
    assert await bench.status(other) == 200
    bench.clock.advance(200)
    assert await bench.status(gone) == 401


async def test_all_tokens_of_a_subject() -> None:
    bench = Bench(revocation=True)
    old = bench.token()
    assert await bench.status(old) == 200
    await Revocations(bench.store).revoke_subject(GAMMA, "ada", bench.clock.wall(), 300)

    bench.clock.advance(1.01)
    assert await bench.status(old) == 401
    assert await bench.status(bench.token()) == 200, "she may log in again"
    assert await bench.status(bench.token(sub="grace", iat=1)) == 200


async def test_the_store_is_asked_once_a_second_for_a_token(verifications: list[str]) -> None:
    bench = Bench(revocation=True)
    token = bench.token()
    for _ in range(5):
        assert await bench.status(token) == 200
    assert bench.store.asked == 2
    bench.clock.advance(0.9)
    assert bench.hot(token)
    bench.clock.advance(0.2)
    assert not bench.hot(token)
    assert await bench.status(token) == 200
    assert bench.store.asked == 4
    assert verifications == [token]


async def test_a_store_that_is_away_lets_nobody_in() -> None:
    bench = Bench(revocation=True)
    token = bench.token()
    assert await bench.status(token) == 200
    bench.store.away = True
    assert await bench.status(token) == 200, "it was asked a moment ago"
    bench.clock.advance(1.01)
    exchange = asking(f"Bearer {token}")
    head = await bench.ask(exchange=exchange)
    assert (head.status, head.headers.get("www-authenticate")) == (503, None)
    assert (exchange.outcome, exchange.principal, exchange.headers.get("x-user-id")) == ("auth_unavailable", None, None)
    assert bench.counted() == {"allowed": 2, "error": 1}
    assert await bench.status(bench.token(exp=1)) == 401, "no store is needed to refuse"
    bench.store.away = False
    assert await bench.status(token) == 200


async def test_without_revocation_the_store_is_not_asked() -> None:
    bench = Bench()
    await Revocations(bench.store).revoke_token(GAMMA, "t1", 300)
    assert await bench.status(bench.token()) == 200
    assert bench.store.asked == 0


# keys that are fetched


class Remote:
    """The plugin with an issuer that publishes its keys."""

    def __init__(self, service: IssuerService, session: aiohttp.ClientSession, **options: Any) -> None:
        self.service = service
        issuer = {"issuer": service.url, "audience": "api", "discovery": True}
        self.bench = Bench(http=session, issuers=[issuer], **options)

    async def status(self, number: int = 0, **changes: Any) -> int:
        said = claims(self.service.url, self.bench.clock.wall(), **changes)
        return await self.bench.status(mint(said, key(number=number)))


async def test_an_issuer_that_is_found_and_rotates_its_keys() -> None:
    async with issuer_service(key()) as service, aiohttp.ClientSession() as session:
        remote = Remote(service, session)
        await soon(remote.bench.plugin.start())
        assert await remote.status() == 200
        service.publish(key(number=1), key())
        assert [await remote.status(number=1), await remote.status()] == [200, 200]
        assert service.fetches == 2
        assert await remote.status(number=2) == 401
        assert service.fetches == 2
        await soon(remote.bench.plugin.stop())


async def test_an_issuer_that_is_away_from_the_start() -> None:
    async with issuer_service(key()) as service, aiohttp.ClientSession() as session:
        await service.stop()
        remote = Remote(service, session, optional=True)
        assert [await remote.status(), await remote.status()] == [503, 503]
        assert (await remote.bench.ask()).status == 200, "nobody asks who shows no token"
        assert await remote.bench.status("a.b.c") == 401
        assert remote.bench.counted() == {"error": 2, "denied": 1}
        await service.start()
        remote.bench.clock.advance(2)
        assert await remote.status() == 200


async def test_a_thousand_requests_with_invented_keys_are_one_fetch() -> None:
    async with issuer_service(key()) as service, aiohttp.ClientSession() as session:
        remote = Remote(service, session)
        await soon(remote.bench.plugin.start())
        said = claims(service.url, remote.bench.clock.wall())
        tokens = [mint(said, key("HS256"), {"alg": "RS256", "kid": f"k{number}"}) for number in range(1000)]
        statuses = await soon(asyncio.gather(*(remote.bench.status(token) for token in tokens)))
        assert set(statuses) == {401}
        assert service.fetches == 2
        assert await remote.status() == 200
        await soon(remote.bench.plugin.stop())


# the plugin among others


def test_its_headers_are_nobody_elses() -> None:
    assert set(Bench().plugin.identity_headers()) == {"X-User-Id", "X-User-Roles"}
    assert Bench(claims_to_headers={}).plugin.identity_headers() == ()


def test_one_instance_for_all_routes() -> None:
    assert Jwt.spans_routes


def test_a_chain_of_it_has_one_step() -> None:
    chain = Chain([Bench().plugin])
    assert len(chain.requests) == 1
    assert not chain.attempts
    assert not chain.responses
    assert not chain.finishes


def test_a_key_file_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text(key().pem)
    env = replace(make_env(), folder=tmp_path)
    issuer = {"issuer": "a", "audience": "api", "key_file": "key.pem"}
    plugin = make_plugin(Jwt, env, issuers=[issuer])
    assert plugin.is_current(env)
    path.write_text(key(number=1).pem)
    assert not plugin.is_current(env)
    assert not plugin.is_current(env)


@pytest.mark.parametrize(
    ("issuer", "wanted"),
    (
        ({"key": "short"}, "the key is too short for HS256"),
        ({"key": ""}, "the key is not a secret for HS256"),
        ({"key": SECRET, "algorithms": ["RS256"]}, "the key is not a public key in PEM, or a JSON Web Key, for RS256"),
        ({"key": SECRET, "algorithms": ["HS256", "RS256"]}, "one key cannot be both a secret"),
        ({"key": MISSING, "key_file": "nowhere.pem"}, "cannot read the key file nowhere.pem: No such file"),
    ),
)
def test_a_key_that_will_not_do_is_found_at_load(issuer: dict[str, Any], wanted: str) -> None:
    said = {name: value for name, value in {**ISSUER, **issuer}.items() if value is not MISSING}
    with pytest.raises(ValueError, match=wanted) as raised:
        Bench(issuers=[said])
    assert SECRET not in str(raised.value)
