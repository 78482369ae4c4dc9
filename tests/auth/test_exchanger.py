"""What is asked of a token exchange, which of its answers are tokens to pass on, and for how long."""

from __future__ import annotations

import asyncio
from base64 import urlsafe_b64encode
from typing import Any
from urllib.parse import parse_qs

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.bearer import MAX_TOKEN
from gateway.auth.exchanger import GRANT_TYPE, TOKEN_TYPE, ExchangeCache, ExchangeOptions, Exchanger, expiry, issued
from gateway.auth.token_service import CODES, TokenServiceError
from gateway.plugin import Duration, GatewayError, Kind, Secret, UpstreamReply
from gateway.testing import FakeClock, FakeUpstream, make_env
from tests.support.polling import soon, turns

WALL = FakeClock().wall()
ANSWER = {"access_token": "new", "token_type": "Bearer", "issued_token_type": f"{TOKEN_TYPE}access_token"}


def options(**fields: Any) -> ExchangeOptions:
    return ExchangeOptions(
        **{"client_id": "gateway", "client_secret": Secret("s"), "upstream": "auth", "path": "/token", **fields}
    )


def jwt(**claims: Any) -> str:
    return ".".join(urlsafe_b64encode(orjson.dumps(part)).decode().rstrip("=") for part in ({}, claims, {}))


class Bench:
    """An exchanger with its clock and a service whose tokens are numbered."""

    def __init__(self, lifetime: Any = None, *failures: GatewayError, **fields: Any) -> None:
        members = {} if lifetime is None else {"expires_in": lifetime}
        answers = [
            UpstreamReply(200, {}, orjson.dumps({**ANSWER, "access_token": f"new{number}", **members}))
            for number in range(1, 6)
        ]
        self.clock = FakeClock()
        self.service = FakeUpstream([*failures, *answers])
        self.exchanger = Exchanger(options(**fields), make_env(self.clock, upstreams={"auth": self.service}))

    async def ask(self, token: str = "abc") -> str:
        """From memory, or from the service."""
        field = f"Bearer {token}"
        return self.exchanger.known(field) or await soon(self.exchanger.ask(field, token))

    @property
    def forms(self) -> list[dict[str, list[str]]]:
        return [parse_qs(body.decode(), strict_parsing=True) for *_, body in self.service.calls]


# options


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"audience": ""}, "empty audience"),
        ({"audience": ("a", "")}, "empty audience"),
        ({"resource": ""}, "empty resource"),
        ({"resource": "api.example.com"}, "absolute URI"),
        ({"resource": ("https://a.example/#x",)}, "absolute URI"),
        ({"scope": ("a b",)}, "no scope"),
        ({"scope": 'a"b'}, "no scope"),
        ({"requested_token_type": "opaque"}, "write one of access_token, jwt"),
        ({"subject_token_type": ""}, "write one of access_token, jwt"),
        ({"path": None}, "say where the service is"),
    ],
)
def test_options_that_cannot_be(fields: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        options(**fields)


def test_a_memory_of_one_is_none() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        ExchangeCache(max=1)


# what is asked


async def test_the_least_that_is_asked() -> None:
    bench = Bench()
    await bench.ask("abc")

    assert bench.forms == [
        {
            "grant_type": [GRANT_TYPE],
            "subject_token": ["abc"],
            "subject_token_type": ["urn:ietf:params:oauth:token-type:access_token"],
            "requested_token_type": ["urn:ietf:params:oauth:token-type:access_token"],
        }
    ]
    assert bench.service.calls[0][:2] == ("POST", "/token")


async def test_all_that_can_be_asked() -> None:
    bench = Bench(
        audience=("catalog", "reviews"),
        resource="https://api.example.com/",
        scope=("items:read", "b"),
        requested_token_type="jwt",
        subject_token_type="urn:example:own",
    )
    await bench.ask()

    [form] = bench.forms
    assert form["audience"] == ["catalog", "reviews"]
    assert form["resource"] == ["https://api.example.com/"]
    assert form["scope"] == ["items:read b"]
    assert form["requested_token_type"] == ["urn:ietf:params:oauth:token-type:jwt"]
    assert form["subject_token_type"] == ["urn:example:own"]


def test_scopes_as_text_or_list() -> None:
    assert options(scope="a b").scopes == options(scope=("a", "b")).scopes == ("a", "b")


# what is an answer


def test_an_issued_token() -> None:
    assert issued({**ANSWER, "expires_in": 300}, options()) == ("Bearer new", 290)
    assert issued(ANSWER, options()) == ("Bearer new", 60)
    assert issued({**ANSWER, "expires_in": None}, options(cache=ExchangeCache(ttl=Duration("5s")))) == ("Bearer new", 5)


@pytest.mark.parametrize(
    "token",
    [
        None,
        "",
        7,
        ["new"],
        "new\r\nX-Admin: 1",
        "new\n",
        "new other",
        "new,other",
        "né",
        "=",
        "a" * (MAX_TOKEN + 1),
    ],
)
def test_what_is_no_token_is_not_passed_on(token: Any) -> None:
    with pytest.raises(TokenServiceError, match="access_token"):
        issued({**ANSWER, "access_token": token}, options())


@pytest.mark.parametrize("name", ["access_token", "token_type", "issued_token_type"])
def test_what_has_to_be_there(name: str) -> None:
    with pytest.raises(TokenServiceError, match=name):
        issued({key: value for key, value in ANSWER.items() if key != name}, options())


@pytest.mark.parametrize(
    ("requested", "use", "fits"),
    [
        ("access_token", "Bearer", True),
        ("access_token", "bearer", True),
        ("access_token", "N_A", False),
        ("access_token", "DPoP", False),
        ("access_token", "mac", False),
        ("access_token", ["Bearer"], False),
        ("access_token", None, False),
        ("jwt", "N_A", True),
        ("jwt", "Bearer", True),
        ("jwt", "DPoP", False),
        ("id_token", "N_A", True),
        (f"{TOKEN_TYPE}access_token", "N_A", False),
    ],
)
def test_only_a_token_for_a_bearer_is_passed_on(requested: str, use: Any, fits: bool) -> None:
    wanted = options(requested_token_type=requested)
    kind = requested if ":" in requested else TOKEN_TYPE + requested
    answer = {**ANSWER, "token_type": use, "issued_token_type": kind}
    if fits:
        assert issued(answer, wanted)[0] == "Bearer new"
    else:
        with pytest.raises(TokenServiceError, match="token_type"):
            issued(answer, wanted)


@pytest.mark.parametrize(
    ("requested", "kind", "fits"),
    [
        ("access_token", "access_token", True),
        ("access_token", "jwt", True),
        ("access_token", "refresh_token", False),
        ("access_token", "id_token", False),
        ("id_token", "id_token", True),
        ("saml2", "saml2", True),
        ("saml2", "saml1", False),
    ],
)
def test_only_a_token_of_the_wanted_type_is_passed_on(requested: str, kind: str, fits: bool) -> None:
    wanted = options(requested_token_type=requested)
    answer = {**ANSWER, "issued_token_type": TOKEN_TYPE + kind}
    if fits:
        assert issued(answer, wanted)[0] == "Bearer new"
    else:
        with pytest.raises(TokenServiceError, match="issued_token_type"):
            issued(answer, wanted)


@pytest.mark.parametrize("lifetime", ["300", True, [], {}])
def test_a_lifetime_that_is_none_is_the_services_fault(lifetime: Any) -> None:
    with pytest.raises(TokenServiceError, match="expires_in"):
        issued({**ANSWER, "expires_in": lifetime}, options())


# how long it is remembered


@pytest.mark.parametrize(("lifetime", "seconds"), [(300, 290), (30.5, 20.5), (None, 60)])
async def test_a_token_is_kept_for_its_time(lifetime: float | None, seconds: float) -> None:
    bench = Bench(lifetime)
    assert await bench.ask() == "Bearer new1"
    bench.clock.advance(seconds - 0.5)
    assert await bench.ask() == "Bearer new1"
    bench.clock.advance(1)
    assert await bench.ask() == "Bearer new2"


@pytest.mark.parametrize("lifetime", [10, 0, -5])
async def test_a_token_that_is_about_to_expire_is_passed_on_once(lifetime: float) -> None:
    bench = Bench(lifetime)
    assert [await bench.ask() for _ in range(2)] == ["Bearer new1", "Bearer new2"]
    assert len(bench.exchanger._known) == 0


async def test_it_is_kept_no_longer_than_the_clients_own_token_lasts() -> None:
    bench = Bench(300)
    token = jwt(exp=WALL + 20)
    assert await bench.ask(token) == "Bearer new1"
    bench.clock.advance(19)
    assert await bench.ask(token) == "Bearer new1"
    bench.clock.advance(1)
    assert await bench.ask(token) == "Bearer new2"
    assert await bench.ask(token) == "Bearer new3", "it has expired: the service has to be asked"


async def test_each_token_is_exchanged_for_its_own() -> None:
    bench = Bench(300)
    assert [await bench.ask(token) for token in "abab"] == ["Bearer new1", "Bearer new2"] * 2


async def test_failures_are_not_kept() -> None:
    bench = Bench(300, GatewayError(Kind.CONNECT_FAILED))
    with pytest.raises(TokenServiceError):
        await bench.ask()
    assert await bench.ask() == "Bearer new1"


async def test_one_token_in_flight_is_exchanged_once() -> None:
    bench = Bench(300)
    go_on = asyncio.Event()
    request = bench.service.request

    async def held(*arguments: Any, **named: Any) -> UpstreamReply:
        await go_on.wait()
        return await request(*arguments, **named)

    bench.service.request = held  # type: ignore[method-assign]
    callers = [asyncio.create_task(bench.ask()) for _ in range(3)]
    await turns()
    go_on.set()

    assert await soon(asyncio.gather(*callers)) == ["Bearer new1"] * 3


@pytest.mark.parametrize(
    ("token", "expires"),
    [
        (jwt(exp=5), 5.0),
        (jwt(exp=5.5), 5.5),
        (jwt(exp="5"), None),
        (jwt(exp=True), None),
        (jwt(), None),
        ("opaque", None),
        ("a.b", None),
        ("a.b.c", None),
        ("..", None),
        ("a.W10.c", None),
        ("a.é.c", None),
    ],
)
def test_when_a_token_expires(token: str, expires: float | None) -> None:
    assert expiry(token) == expires


@given(st.text(alphabet="abcABC019-_.=~+/", max_size=60))
def test_any_token_has_an_expiry_or_none(token: str) -> None:
    assert expiry(token) is None


# whose fault it was


@pytest.mark.parametrize(
    ("code", "status", "challenge"),
    [
        ("invalid_request", 401, "invalid_token"),
        ("invalid_grant", 401, "invalid_token"),
        ("invalid_target", 403, None),
        ("invalid_scope", 403, "insufficient_scope"),
        ("invalid_client", 503, None),
        ("unauthorized_client", 503, None),
        ("unsupported_grant_type", 503, None),
        ("unsupported_token_type", 503, None),
        ("", 503, None),
    ],
)
def test_what_a_client_is_told(code: str, status: int, challenge: str | None) -> None:
    error = Bench(scope="a").exchanger.refusal(TokenServiceError("it answered 400", code))

    assert error.answer.status == status
    assert error.failure is None
    told = error.headers.get("WWW-Authenticate")
    assert told is None if challenge is None else told is not None and f'error="{challenge}"' in told


def test_every_code_has_its_answer() -> None:
    exchanger = Bench().exchanger
    kinds = {code: exchanger.refusal(TokenServiceError("", code)).kind for code in CODES}
    assert {code for code, kind in kinds.items() if kind is not Kind.AUTH_UNAVAILABLE} == {
        "invalid_request",
        "invalid_grant",
        "invalid_target",
    }, "without a scope in the options, one that is refused is not the client's fault"
