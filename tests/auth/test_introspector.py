"""What an answer to an introspection says of its token, and how long that is remembered."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.introspector import LEEWAY, Introspected, IntrospectionOptions, Introspector, judge
from gateway.auth.token_service import TokenServiceError
from gateway.plugin import Duration, Env, GatewayError, Kind, Secret, UpstreamReply
from gateway.testing import FakeClock, FakeUpstream, make_env
from tests.support.polling import soon, turns

WALL = FakeClock().wall()
GONE = GatewayError(Kind.CONNECT_FAILED)


def options(**fields: Any) -> IntrospectionOptions:
    return IntrospectionOptions(
        **{"client_id": "gateway", "client_secret": Secret("s"), "upstream": "auth", "path": "/introspect", **fields}
    )


def judged(answer: dict[str, Any], **fields: Any) -> Introspected:
    return judge(answer, options(**fields), WALL)


def said(**members: Any) -> UpstreamReply:
    return UpstreamReply(200, {}, orjson.dumps(members))


def cache(**fields: Any) -> Any:
    return type(options().cache)(**fields)


class Bench:
    """An introspector with its clock and a service that gives these answers."""

    def __init__(self, *answers: UpstreamReply | GatewayError, **fields: Any) -> None:
        self.clock = FakeClock()
        self.service = FakeUpstream(answers)
        self.env: Env = make_env(self.clock, upstreams={"auth": self.service})
        self.introspector = Introspector(options(**fields), self.env)

    async def ask(self, token: str = "abc") -> Introspected:
        """From memory, or from the service."""
        field = f"Bearer {token}"
        return self.introspector.known(field) or await soon(self.introspector.ask(field, token))

    @property
    def asked(self) -> list[str]:
        return [parse_qs(body.decode())["token"][0] for *_, body in self.service.calls]


# options


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"claims_to_headers": {"sub": "X User"}}, "no header name"),
        ({"claims_to_headers": {"sub": "Authorization"}}, "taken out of every client"),
        ({"issuers": ("",)}, "empty issuer or audience"),
        ({"audience": ""}, "empty issuer or audience"),
        ({"audience": ("api", "")}, "empty issuer or audience"),
        ({"scopes": ("a b",)}, "no scope"),
        ({"scopes": ('a"b',)}, "no scope"),
        ({"upstream": None}, "say where the service is"),
    ],
)
def test_options_that_cannot_be(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        options(**fields)


def test_a_memory_of_one_is_none() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        cache(max=1)


def test_what_is_remembered_unless_told_otherwise() -> None:
    found = options().cache
    assert (found.ttl, found.negative_ttl, found.max) == (60.0, 5.0, 10_000)


# what an answer says


def test_an_active_token() -> None:
    answer = {"active": True, "sub": "5", "scope": "a b", "exp": WALL + 1, "nbf": WALL - 1, "token_type": "bearer"}
    found = judged(answer, scopes=("a",), claims_to_headers={"sub": "X-User-Id"})

    assert found == Introspected("", "5", answer, (("X-User-Id", "5"),), frozenset())


@pytest.mark.parametrize(
    ("claims", "principal"),
    [
        ({"sub": "5", "username": "ada", "client_id": "shop"}, "5"),
        ({"sub": "", "username": "ada"}, "ada"),
        ({"sub": 5, "client_id": "shop"}, "shop"),
        ({"username": None, "client_id": "shop"}, "shop"),
        ({}, None),
    ],
)
def test_whose_a_token_is(claims: dict[str, Any], principal: str | None) -> None:
    assert judged({"active": True, **claims}).principal == principal


def test_of_an_inactive_token_nothing_else_is_looked_at() -> None:
    rubbish = {"exp": "never", "nbf": [], "sub": "5", "scope": "a", "token_type": 7, "iss": {}, "aud": {}}
    found = judged({"active": False, **rubbish}, claims_to_headers={"sub": "X-User-Id"}, issuers=("a",))

    assert found == Introspected("the token does not hold")


@pytest.mark.parametrize("active", ["true", "false", 1, 0, None, [], [True], {}, "yes"])
def test_what_is_neither_true_nor_false_is_the_services_fault(active: Any) -> None:
    with pytest.raises(TokenServiceError, match="active"):
        judged({"active": active, "sub": "5"})


def test_an_answer_without_active_is_the_services_fault() -> None:
    with pytest.raises(TokenServiceError, match="active"):
        judged({"sub": "5", "Active": True})


@pytest.mark.parametrize("name", ["exp", "nbf"])
@pytest.mark.parametrize("value", ["1", "", True, [], {}])
def test_a_time_that_is_none_is_the_services_fault(name: str, value: Any) -> None:
    with pytest.raises(TokenServiceError, match=name):
        judged({"active": True, name: value})


@pytest.mark.parametrize(
    ("claims", "refusal"),
    [
        ({"exp": WALL}, "the token has expired"),
        ({"exp": 0}, "the token has expired"),
        ({"exp": -1}, "the token has expired"),
        ({"exp": WALL + 0.5}, ""),
        ({"exp": None}, ""),
        ({"nbf": WALL + LEEWAY + 1}, "the token is not valid yet"),
        ({"nbf": WALL + LEEWAY}, ""),
        ({"nbf": None}, ""),
        ({"token_type": "DPoP"}, "the token is no bearer token"),
        ({"token_type": ["Bearer"]}, "the token is no bearer token"),
        ({"token_type": "Bearer"}, ""),
        ({"token_type": None}, ""),
    ],
)
def test_what_is_active_may_not_hold(claims: dict[str, Any], refusal: str) -> None:
    assert judged({"active": True, **claims}).refusal == refusal


@pytest.mark.parametrize(
    ("claims", "holds"),
    [
        ({"iss": "https://a.example", "aud": "api"}, True),
        ({"iss": "https://b.example", "aud": ["x", "other"]}, True),
        ({"iss": "https://a.example/", "aud": "api"}, False),
        ({"iss": ["https://a.example"], "aud": "api"}, False),
        ({"aud": "api"}, False),
        ({"iss": "https://a.example"}, False),
        ({"iss": "https://a.example", "aud": []}, False),
        ({"iss": "https://a.example", "aud": "api other"}, False),
        ({"iss": "https://a.example", "aud": "apis"}, False),
        ({"iss": "https://a.example", "aud": {"api": 1}}, False),
        ({"iss": "https://a.example", "aud": [{"api": 1}, 7, None]}, False),
        ({"iss": "https://a.example", "aud": None}, False),
    ],
)
def test_whose_tokens_are_accepted_and_for_whom(claims: dict[str, Any], holds: bool) -> None:
    issuers = ("https://a.example", "https://b.example")
    found = judged({"active": True, **claims}, issuers=issuers, audience=("api", "other"))
    assert (found.refusal == "") is holds


def test_one_audience_may_stand_alone() -> None:
    assert judged({"active": True, "aud": "api"}, audience="api").refusal == ""
    assert judged({"active": True, "aud": "p"}, audience="api").refusal != ""


@pytest.mark.parametrize(
    ("claims", "missing"),
    [({"scope": "a b c"}, set()), ({"scope": "a"}, {"b"}), ({"scope": ["a", "b"]}, set()), ({}, {"a", "b"})],
)
def test_scopes_that_are_missing(claims: dict[str, Any], missing: set[str]) -> None:
    assert judged({"active": True, **claims}, scopes=("a", "b")).missing == missing


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\nb", "\0", ["a\r\nb"], "\u2028"])
def test_a_claim_that_would_be_another_header_lets_nobody_in(value: Any) -> None:
    found = judged({"active": True, "sub": value}, claims_to_headers={"sub": "X-User-Id"})
    assert (found.refusal, found.fields) == ("a claim of the token cannot be a header", ())


JSON: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
NAMES = ("active", "sub", "username", "scope", "exp", "nbf", "iss", "aud", "token_type", "client_id", "scp")


@given(st.dictionaries(st.sampled_from(NAMES), JSON))
def test_whatever_a_service_says_only_true_lets_in(answer: dict[str, Any]) -> None:
    try:
        found = judged(answer, issuers=("a",), audience="b", scopes=("c",), claims_to_headers={"sub": "X-User-Id"})
    except TokenServiceError:
        return
    if not found.refusal:
        assert answer["active"] is True
        assert answer["iss"] == "a"
        assert "b" in answer["aud"]


# how long it is remembered


@pytest.mark.parametrize(
    ("members", "seconds"),
    [
        ({"active": True}, 60),
        ({"active": True, "exp": WALL + 20}, 20),
        ({"active": True, "exp": WALL + 200}, 60),
        ({"active": False}, 5),
        ({"active": True, "exp": WALL - 1}, 5),
    ],
)
async def test_an_answer_is_kept_for_its_time(members: dict[str, Any], seconds: float) -> None:
    bench = Bench(said(**members))
    first = await bench.ask()
    bench.clock.advance(seconds - 0.5)
    assert await bench.ask() == first
    assert bench.asked == ["abc"]

    bench.clock.advance(1)
    await bench.ask()
    assert bench.asked == ["abc"] * 2


async def test_a_token_that_was_let_in_is_refused_once_it_has_expired() -> None:
    bench = Bench(said(active=True, exp=WALL + 20))
    assert (await bench.ask()).refusal == ""
    bench.clock.advance(20)
    assert (await bench.ask()).refusal == "the token has expired"


async def test_nothing_is_kept_for_no_time() -> None:
    bench = Bench(said(active=True), said(active=False), cache=cache(ttl=Duration(0), negative_ttl=Duration(0)))
    assert [(await bench.ask()).refusal for _ in range(3)] == ["", *["the token does not hold"] * 2]
    assert len(bench.asked) == 3
    assert len(bench.introspector._known) == 0


async def test_a_token_of_a_kind_that_the_service_does_not_take_does_not_hold() -> None:
    bench = Bench(UpstreamReply(400, {}, b'{"error": "unsupported_token_type"}'), GONE)
    assert [(await bench.ask()).refusal for _ in range(2)] == ["the token does not hold"] * 2


@pytest.mark.parametrize(("status", "word"), [(401, "unsupported_token_type"), (400, "invalid_request")])
async def test_another_refusal_is_the_services_fault(status: int, word: str) -> None:
    with pytest.raises(TokenServiceError):
        await Bench(UpstreamReply(status, {}, orjson.dumps({"error": word}))).ask()


async def test_failures_are_not_kept() -> None:
    bench = Bench(GONE, said(active="true"), said(active=True))
    for _ in range(2):
        with pytest.raises(TokenServiceError):
            await bench.ask()
    assert (await bench.ask()).refusal == ""


async def test_each_token_is_asked_for_itself() -> None:
    bench = Bench(said(active=True, sub="1"), said(active=False), said(active=True, sub="3"))
    assert [(await bench.ask(token)).principal for token in ("a", "b", "c", "a", "b", "c")] == ["1", None, "3"] * 2
    assert bench.asked == ["a", "b", "c"]


async def test_memory_is_bounded() -> None:
    bench = Bench(said(active=True), cache=cache(max=4))
    for number in range(50):
        await bench.ask(f"t{number}")
    bench.service.calls.clear()
    for number in range(50):
        await bench.ask(f"t{number}")
    assert len(bench.asked) >= 46


async def test_a_token_is_nowhere_in_memory() -> None:
    bench = Bench(said(active=True, sub="5"))
    await bench.ask("secret-token")
    kept = bench.introspector._known._recent.young
    assert len(kept) == 1
    assert "secret-token" not in repr(kept)


# one question at a time


async def test_one_token_in_flight_is_asked_for_once() -> None:
    bench = Bench(said(active=True, sub="5"))
    go_on = asyncio.Event()
    request = bench.service.request

    async def held(*arguments: Any, **named: Any) -> UpstreamReply:
        await go_on.wait()
        return await request(*arguments, **named)

    bench.service.request = held  # type: ignore[method-assign]
    callers = [asyncio.create_task(bench.ask(token)) for token in ("a", "a", "a", "b")]
    await turns()
    callers[0].cancel()
    await turns()
    go_on.set()
    found = await soon(asyncio.gather(*callers[1:]))

    assert [one.principal for one in found] == ["5"] * 3
    assert sorted(bench.asked) == ["a", "b"]
