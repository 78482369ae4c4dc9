"""Requests of browsers with a session, without one, and with what is none."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from gateway.plugins.session import SessionPlugin

from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Reply
from gateway.plugin import ADMITTED, SharedUnavailable, UpstreamReply
from gateway.state.memory import MemoryShared
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, FakeUpstream, make_env, make_exchange, make_plugin, run_async
from gateway.wire.head import ResponseHead

NAME = "__Host-session"
ANSWER = UpstreamReply(200, {}, orjson.dumps({"sub": "1", "roles": ["admin"], "access_token": "opaque-at"}))
JSON = {"Content-Type": "application/json"}
CREDENTIALS = b'{"user": "ada", "password": "lovelace"}'


class Store:
    """A memory that can be taken away."""

    def __init__(self, clock: FakeClock) -> None:
        self._memory = MemoryShared(clock)
        self.there = True

    @property
    def memory(self) -> MemoryShared:
        if not self.there:
            raise SharedUnavailable("redis 127.0.0.1:6379: no answer within 50ms")
        return self._memory

    async def get(self, key: str) -> bytes | None:
        return await self.memory.get(key)

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        await self.memory.set(key, value, ttl)

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        return await self.memory.add(key, amount, ttl)

    async def delete(self, key: str) -> None:
        await self.memory.delete(key)


class Bench:
    """A gateway's session plugin, with its auth service, its store and its metrics; `other` is a second gateway's."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.store = Store(self.clock)
        self.auth = FakeUpstream([ANSWER])
        self.env = make_env(self.clock, self.metrics, self.store, {"auth": self.auth})
        options = {"login": {"upstream": "auth"}, "claims_to_headers": {"sub": "X-User-Id"}, **options}
        self.plugin = make_plugin(SessionPlugin, self.env, **options)
        self.other = make_plugin(SessionPlugin, self.env, **options)

    async def ask(self, exchange: Exchange, plugin: SessionPlugin | None = None) -> ResponseHead:
        return await run_async(plugin or self.plugin, exchange)

    async def post(self, path: str, body: bytes = CREDENTIALS, **headers: str) -> ResponseHead:
        """To one of the plugin's own paths."""
        fields = {**JSON, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.ask(own("POST", path, fields, body))

    async def log_in(self, **headers: str) -> tuple[str, str]:
        """The session's id and its CSRF token."""
        head = await self.post("/login", **headers)
        assert head.status == 200, head.body
        return cookie_of(head), orjson.loads(head.body or b"")["csrf"]

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        return {labels[1]: child.value for labels, child in family.children.items() if child.value}

    def claims(self, exchange: Exchange, audience: str = "service") -> Any:
        """What a service reads in the token that it gets."""
        key_set = self.plugin.on_request(own("GET", "/.well-known/jwks.json"))
        assert key_set is not None
        scheme, _, token = (exchange.headers.get("authorization") or "").partition(" ")
        assert scheme == "Bearer"
        key = jwt.PyJWKSet.from_json(key_set.body.decode()).keys[0]
        options: Any = {"verify_exp": False, "verify_iat": False}
        return jwt.decode(token, key, algorithms=["EdDSA"], audience=audience, options=options)


def own(method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Exchange:
    """A request as the route of an own path has it."""
    return make_exchange(method, path, headers, body, route=f"session:{path}", upstream="")


def cookie_of(head: ResponseHead) -> str:
    (field,) = head.headers.get_all("set-cookie")
    pair, _, attributes = field.partition("; ")
    assert attributes == "Path=/; Secure; HttpOnly; SameSite=Lax"
    return pair.removeprefix(f"{NAME}=")


def asking(session_id: str | None = None, method: str = "GET", upstream: str = "service", **headers: str) -> Exchange:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if session_id is not None:
        fields["Cookie"] = f"{NAME}={session_id}"
    return make_exchange(method, "/", fields, upstream=upstream)


def cleared(head: ResponseHead) -> bool:
    return head.headers.get_all("set-cookie") == [f"{NAME}=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"]


# a request with a session


async def test_a_service_gets_a_token_in_place_of_the_cookie() -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()
    exchange = make_exchange(
        headers={"Cookie": f"a=1; {NAME}={session_id}; b=\xe9", "Authorization": "Bearer the-clients-own"}
    )

    assert (await bench.ask(exchange)).status == 200

    assert exchange.headers.get_all("cookie") == ["a=1; b=\xe9"]
    assert len(exchange.headers.get_all("authorization")) == 1
    wall = int(bench.clock.wall())
    assert bench.claims(exchange) == {
        "sub": "1",
        "roles": ["admin"],
        "iss": "gateway",
        "aud": "service",
        "iat": wall,
        "exp": wall + 120,
    }
    assert (exchange.principal, exchange.claims) == ("1", {"sub": "1", "roles": ["admin"]})
    assert exchange.headers.get("x-user-id") == "1"
    assert bench.counted() == {"allowed": 1}


async def test_the_audience_is_the_upstream_that_was_chosen() -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()
    for upstream in ("items", "users"):
        exchange = asking(session_id, upstream=upstream)
        await bench.ask(exchange)
        assert bench.claims(exchange, upstream)["aud"] == upstream


async def test_a_known_session_needs_no_coroutine() -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()

    assert bench.plugin.on_request(asking(session_id)) is ADMITTED
    assert bench.other.on_request(asking(session_id)) is None
    assert (await bench.ask(asking(session_id), bench.other)).status == 200
    assert bench.other.on_request(asking(session_id)) is ADMITTED


async def test_where_nothing_goes_upstream_no_token_is_made() -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()
    exchange = asking(session_id, upstream="")

    await bench.ask(exchange)

    assert (exchange.principal, exchange.headers.get("authorization")) == ("1", None)


# requests without one


async def test_without_a_session_it_is_401() -> None:
    bench = Bench()
    exchange = asking(Authorization="Bearer x")
    head = await bench.ask(exchange)

    assert head.status == 401
    assert (head.headers.get("www-authenticate") or "").startswith('Cookie realm="gateway", form-action="/login"')
    assert head.headers.get_all("set-cookie") == [], "the answer may come after that of a login"
    assert exchange.principal is None
    assert bench.counted() == {"missing": 1}


@pytest.mark.parametrize(
    "forged",
    ["", "x", "A" * 43, "A" * 42, "A" * 44, "../../etc/passwd", '"' + "A" * 41 + '"', "\xe9" * 43, "A" * 8000, "'; --"],
)
async def test_a_forged_id_is_401_and_goes(forged: str) -> None:
    bench = Bench()
    await bench.log_in()
    head = await bench.ask(asking(forged))

    assert head.status == 401
    assert cleared(head)
    assert bench.counted() == {"denied": 1}


async def test_an_oversized_cookie_reaches_no_store() -> None:
    bench = Bench()
    bench.store.there = False

    assert (await bench.ask(asking("A" * 8000))).status == 401


async def test_one_that_has_expired_is_401_and_goes() -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()
    bench.clock.advance(30 * 60)

    head = await bench.ask(asking(session_id))

    assert head.status == 401
    assert cleared(head)


async def test_one_that_was_ended_by_another_gateway_is_gone_after_a_second() -> None:
    bench = Bench()
    session_id, csrf = await bench.log_in()
    assert (await bench.ask(asking(session_id), bench.other)).status == 200

    gone = await bench.post("/logout", b"", Cookie=f"{NAME}={session_id}", X_CSRF_Token=csrf)
    assert (gone.status, cleared(gone)) == (204, True)

    assert (await bench.ask(asking(session_id))).status == 401
    bench.clock.advance(1)
    assert (await bench.ask(asking(session_id), bench.other)).status == 401


async def test_while_the_store_is_gone_nobody_is_let_in() -> None:
    bench = Bench(optional=True)
    session_id, csrf = await bench.log_in()
    bench.store.there = False
    assert (await bench.ask(asking(session_id))).status == 200, "for the rest of its second"
    bench.clock.advance(1)

    exchange = asking(session_id)
    head = await bench.ask(exchange)

    assert (head.status, exchange.outcome) == (503, "auth_unavailable")
    assert b"127.0.0.1" not in (head.body or b"")
    assert head.headers.get_all("set-cookie") == [], "it may still be good"
    assert (await bench.post("/login")).status == 503
    assert (await bench.post("/logout", b"", Cookie=f"{NAME}={session_id}", X_CSRF_Token=csrf)).status == 503
    assert bench.counted() == {"allowed": 1, "error": 3}
    bench.store.there = True
    assert (await bench.ask(asking(session_id))).status == 200


@pytest.mark.parametrize("optional", [True, False])
@pytest.mark.parametrize("own_path", ["/login", "/logout", None])
async def test_of_two_cookies_neither_counts(own_path: str | None, optional: bool) -> None:
    bench = Bench(optional=optional)
    session_id, csrf = await bench.log_in()
    cookies = f"{NAME}={session_id}; {NAME}={'A' * 43}"

    if own_path is None:
        head = await bench.ask(make_exchange(headers={"Cookie": cookies}))
    else:
        head = await bench.post(own_path, Cookie=cookies, X_CSRF_Token=csrf)

    assert head.status == 400
    assert head.headers.get_all("set-cookie") == []
    assert bench.counted() == {"denied": 1}
    assert (await bench.ask(asking(session_id))).status == 200


# optional


@pytest.mark.parametrize("session_id", [None, "A" * 43, "x"])
async def test_optional_lets_pass_as_nobody(session_id: str | None) -> None:
    bench = Bench(optional=True)
    exchange = asking(session_id, "POST", Authorization="Basic theirs")

    assert (await bench.ask(exchange)).status == 200

    assert (exchange.principal, exchange.claims) == (None, None)
    assert exchange.headers.get("authorization") == "Basic theirs"
    assert exchange.headers.get("x-user-id") is None
    assert exchange.headers.get("cookie") is None
    assert bench.counted() == {}


async def test_optional_knows_who_has_a_session() -> None:
    bench = Bench(optional=True)
    session_id, _ = await bench.log_in()
    exchange = asking(session_id)

    await bench.ask(exchange)

    assert exchange.principal == "1"


async def test_optional_leaves_others_cookies() -> None:
    exchange = make_exchange(headers={"Cookie": f"a=1; {NAME}={'A' * 43};b=2"})

    await Bench(optional=True).ask(exchange)

    assert exchange.headers.get_all("cookie") == ["a=1;b=2"]


@pytest.mark.parametrize("options", [{"cookie": "__Host-admin"}, {"login": {"upstream": "staff"}}])
async def test_a_session_of_one_kind_is_none_of_another(options: dict[str, Any]) -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()
    bench.env = make_env(bench.clock, shared=bench.store, upstreams={"auth": bench.auth, "staff": FakeUpstream()})
    another = make_plugin(SessionPlugin, bench.env, **{"login": {"upstream": "auth"}, **options})
    name = options.get("cookie", NAME)

    head = await bench.ask(make_exchange(headers={"Cookie": f"{name}={session_id}"}), another)

    assert head.status == 401


# changes


@pytest.mark.parametrize("fresh", [True, False])
async def test_a_change_needs_proof_of_where_it_comes_from(fresh: bool) -> None:
    bench = Bench(origins=["https://app.example.com"])
    session_id, csrf = await bench.log_in()
    bench.clock.advance(0 if fresh else 5)
    evil = asking(session_id, "POST", Origin="https://evil.example", Sec_Fetch_Site="cross-site")

    head = await bench.ask(evil)

    assert head.status == 403
    assert b"X-CSRF-Token" in (head.body or b"")
    assert csrf.encode() not in (head.body or b"")
    assert evil.headers.get("authorization") is None
    assert bench.counted() == {"denied": 1}
    for proof in (
        {"X_CSRF_Token": csrf},
        {"Sec_Fetch_Site": "same-origin"},
        {"Origin": "https://gateway.test"},
        {"Origin": "https://app.example.com", "Sec_Fetch_Site": "cross-site"},
    ):
        assert (await bench.ask(asking(session_id, "DELETE", **proof))).status == 200


async def test_the_token_of_another_session_is_no_proof() -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()
    _, anothers = await bench.log_in()

    assert (await bench.ask(asking(session_id, "POST", X_CSRF_Token=anothers))).status == 403


# own paths


async def test_own_paths() -> None:
    bench = Bench(login={"upstream": "auth", "path": "/in"}, logout="/out", jwks="/keys")

    assert bench.plugin.own_paths() == {"/in": ("POST",), "/out": ("POST",), "/keys": ("GET",)}
    assert bench.plugin.own_body == 64 * 1024
    assert bench.plugin.needs_body is None, "other requests stream"


async def test_a_login_gives_a_new_id_always() -> None:
    bench = Bench()
    planted, _ = await bench.log_in()

    session_id, _ = await bench.log_in(Cookie=f"{NAME}={planted}")

    assert session_id != planted
    assert (await bench.ask(asking(planted))).status == 401
    assert (await bench.ask(asking(session_id))).status == 200


async def test_a_login_tells_no_token() -> None:
    bench = Bench()
    exchange = own("POST", "/login", JSON, CREDENTIALS)
    head = await bench.ask(exchange)

    shown = (head.body or b"").decode() + "".join(f"{name}: {value}\n" for name, value in head.headers.items())
    assert "opaque-at" not in shown
    assert orjson.loads(head.body or b"")["sub"] == exchange.principal == "1"


@pytest.mark.parametrize(
    ("answer", "status", "counted"),
    [
        (UpstreamReply(401, {"content-type": "text/plain"}, b"wrong password"), 401, "denied"),
        (UpstreamReply(500, {}, b"lovelace"), 503, "error"),
        (UpstreamReply(200, {}, b"<html>lovelace"), 503, "error"),
        (GatewayError(Kind.RESPONSE_TIMEOUT), 503, "error"),
    ],
)
async def test_a_login_that_fails(answer: UpstreamReply | GatewayError, status: int, counted: str) -> None:
    bench = Bench()
    bench.auth.answers = (answer,)

    head = await bench.post("/login")

    assert head.status == status
    assert head.headers.get_all("set-cookie") == []
    assert head.headers.get("cache-control") == "no-store"
    assert b"lovelace" not in (head.body or b"")
    assert bench.counted() == {counted: 1}


async def test_a_login_from_another_site_is_refused() -> None:
    bench = Bench()

    assert (await bench.post("/login", Sec_Fetch_Site="cross-site")).status == 403
    assert (await bench.post("/login", Content_Type="text/plain")).status == 415
    assert bench.auth.calls == []
    assert bench.counted() == {"denied": 2}


async def test_logout_without_a_session() -> None:
    bench = Bench()
    head = await bench.post("/logout", b"")

    assert (head.status, cleared(head)) == (204, True)


async def test_logout_from_another_site_is_refused() -> None:
    bench = Bench()
    session_id, _ = await bench.log_in()

    head = await bench.post("/logout", b"", Cookie=f"{NAME}={session_id}", Sec_Fetch_Site="cross-site")

    assert head.status == 403
    assert (await bench.ask(asking(session_id))).status == 200


async def test_the_key_set_is_for_everybody() -> None:
    head = await Bench().ask(own("GET", "/.well-known/jwks.json"))

    assert head.status == 200
    assert head.headers.get("content-type") == "application/jwk-set+json"
    assert head.headers.get("cache-control") == "max-age=300"
    (key,) = orjson.loads(head.body or b"")["keys"]
    assert (key["kty"], key["crv"], key["alg"], "d" in key) == ("OKP", "Ed25519", "EdDSA", False)


async def test_own_paths_of_other_plugins_need_a_session() -> None:
    bench = Bench()
    exchange = make_exchange(path="/elsewhere", route="metrics:/elsewhere", upstream="")
    assert (await bench.ask(exchange)).status == 401

    session_id, _ = await bench.log_in()
    exchange = make_exchange(
        path="/elsewhere", headers={"Cookie": f"{NAME}={session_id}"}, route="other:/x", upstream=""
    )
    assert (await bench.ask(exchange)).status == 200


async def test_a_path_that_looks_like_an_own_one_needs_a_session() -> None:
    exchange = make_exchange("POST", "/login", JSON, CREDENTIALS, route="items")

    assert (await Bench().ask(exchange)).status == 401


# its life


def test_identity_headers() -> None:
    assert tuple(Bench(claims_to_headers={"sub": "X-U", "roles": "X-R"}).plugin.identity_headers()) == ("X-U", "X-R")


async def test_a_key_of_its_own_is_told_once(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    caplog.set_level(logging.INFO)
    await Bench().plugin.start()
    assert caplog.text.count("token.key_file") == 1

    caplog.clear()
    make = Bench(token={"key": pem()})
    await make.plugin.start()
    assert caplog.text == ""


def test_another_content_of_the_key_file_makes_it_anew(tmp_path: Path) -> None:
    (tmp_path / "keys.pem").write_text(pem())
    env = replace(make_env(upstreams={"auth": FakeUpstream()}), folder=tmp_path)
    plugin = make_plugin(SessionPlugin, env, login={"upstream": "auth"}, token={"key_file": "keys.pem"})
    assert plugin.is_current(env)

    (tmp_path / "keys.pem").write_text(pem())
    assert not plugin.is_current(env)


def test_another_name_of_the_gateway_or_no_auth_service_makes_it_anew() -> None:
    bench = Bench()

    assert bench.plugin.is_current(bench.env)
    assert not bench.plugin.is_current(replace(bench.env, name="other"))
    assert not bench.plugin.is_current(make_env())


def test_what_cannot_be() -> None:
    with pytest.raises(LookupError, match="no upstream 'auth'"):
        make_plugin(SessionPlugin, make_env(), login={"upstream": "auth"})
    with pytest.raises(ValueError, match="holds no private key"):
        Bench(token={"key": "secret-text"})


async def test_nothing_of_it_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    bench = Bench()
    session_id, csrf = await bench.log_in()
    await bench.ask(asking(session_id, "POST"))
    await bench.ask(asking(session_id))
    bench.auth.answers = (UpstreamReply(200, {}, b'{"access_token": "opaque-at"}'),)
    await bench.post("/login")

    seen = caplog.text + repr(vars(bench.plugin)) + repr([list(family.children) for family in bench.metrics])
    for secret in (session_id, csrf, "opaque-at", "lovelace"):
        assert secret not in seen


def pem() -> str:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = Ed25519PrivateKey.generate()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


async def test_a_reply_that_is_kept_is_the_same_for_all() -> None:
    plugin = Bench().plugin
    replies = [plugin.on_request(own(method, "/.well-known/jwks.json")) for method in ("GET", "HEAD")]

    assert isinstance(replies[0], Reply)
    assert replies[0] is replies[1]
