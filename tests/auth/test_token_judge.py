"""Tokens of several issuers: each is judged by its own issuer's keys and rules, and no forgery by anybody's."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.auth import token_judge
from gateway.auth.bearer import bearer_token
from gateway.auth.jwt_options import IssuerOptions, JwtOptions
from gateway.auth.remote_keys import KeysUnavailable
from gateway.auth.token_judge import Issuer, TokenJudge, Verified
from gateway.auth.tokens import TokenRefused
from gateway.errors import GatewayError
from gateway.testing import FakeClock, make_exchange
from gateway.units import Secret
from tests.support.forgeries import ALPHA, BETA, GAMMA, Token, forgeries, good, keys, payload, with_header
from tests.support.issuer import MISSING, SECRET, claims, encoded, key, mint
from tests.support.polling import soon

NOW = FakeClock().wall()
CASES = [pytest.param(token, why, id=name.encode("unicode_escape").decode()) for name, token, why in forgeries()]


def nobody() -> Any:
    raise LookupError("no network here")


def issuers() -> tuple[IssuerOptions, ...]:
    published = json.dumps({"keys": [one.jwk() for one in keys()[ALPHA]]})
    return (
        IssuerOptions(ALPHA, "api", ("RS256", "ES256"), key=Secret(published)),
        IssuerOptions(BETA, ("web", "api"), key=Secret(key("RS256", 2).pem)),
        IssuerOptions(GAMMA, "api", ("HS256",), key=Secret(SECRET)),
    )


def make(*listed: IssuerOptions, folder: Path | None = None, **options: Any) -> TokenJudge:
    built = JwtOptions(listed or issuers(), **options)
    log = logging.getLogger("tests.judge")
    return TokenJudge(
        built,
        {one.issuer: Issuer(one, built.require, folder or Path(), nobody, FakeClock(), log) for one in built.issuers},
    )


async def verified(token: str, judge: TokenJudge | None = None, now: float = NOW) -> Verified:
    return await soon((judge or make()).judge(token, now))


async def refusal(token: str, judge: TokenJudge | None = None) -> str:
    with pytest.raises(TokenRefused) as raised:
        await verified(token, judge)
    return str(raised.value)


# good tokens


@pytest.mark.parametrize(("issuer", "number"), ((ALPHA, 0), (ALPHA, 1), (ALPHA, 2), (BETA, 0), (GAMMA, 0)))
async def test_each_issuer_by_its_keys(issuer: str, number: int) -> None:
    found = await verified(good(NOW, issuer, number))

    assert found == Verified("ada", claims(issuer, NOW), (), frozenset(), 300.0)


HARMLESS: list[tuple[str, Callable[[float], str]]] = [
    ("typ at+jwt", with_header(typ="at+jwt")),
    ("no typ", with_header(typ=MISSING)),
    ("x5c that is the sender's", with_header(x5c=[encoded(b"certificate")], x5t="AAAA")),
    ("b64 true", with_header(b64=True)),
    ("a parameter nobody knows", with_header(frobnicate=[1, {"a": None}])),
    ("no kid where there is one key", with_header(BETA, kid=MISSING)),
    ("any kid where keys have none", with_header(BETA, kid="../../etc/passwd")),
    ("no kid, one key for the algorithm", with_header(number=2, kid=MISSING)),
    ("alg twice, the good one last", payload(b"")),
    ("no sub", lambda now: good(now, sub=MISSING)),
    ("no iat, no jti", lambda now: good(now, iat=MISSING, jti=MISSING)),
    ("a fraction", lambda now: good(now, exp=now + 0.5)),
    ("two audiences", lambda now: good(now, aud=["web", "api"])),
    ("the other audience", lambda now: good(now, BETA, aud="web")),
    ("padding", lambda now: (token := good(now)) + "=" * (-len(token.rpartition(".")[2]) % 4)),
    ("aud twice, the good one last", payload(b',"aud":"other","aud":"api"')),
    ("nested", payload(b',"x":' + b"[" * 500 + b"]" * 500)),
]


@pytest.mark.parametrize("token", [token for _, token in HARMLESS], ids=[name for name, _ in HARMLESS])
async def test_what_is_unusual_and_holds(token: Token) -> None:
    assert await verified(token(NOW))


# forgeries


def unread(token: str) -> str | None:
    """Why a request with this token does not come as far as the judge."""
    headers = make_exchange(headers={"Authorization": f"Bearer {token}"}).headers
    try:
        assert bearer_token(headers, "edge") == token
    except GatewayError as error:
        return error.detail
    return None


@pytest.mark.parametrize(("token", "why"), CASES)
async def test_a_forgery_does_not_hold(token: Token, why: str) -> None:
    text = token(NOW)

    assert (unread(text) or await refusal(text)) == why


async def test_an_algorithm_is_looked_at_before_keys() -> None:
    """So nobody makes the gateway ask an issuer by a token that could not hold anyhow."""
    judge = make(IssuerOptions(ALPHA, "api", jwks="https://keys.example/jwks"))

    assert await refusal(good(NOW, number=2), judge) == "the token is signed by an algorithm that is not allowed"
    with pytest.raises(KeysUnavailable):
        await verified(good(NOW), judge)


async def test_a_required_claim_for_all_issuers() -> None:
    judge = make(require=("exp", "azp"))

    for issuer in (ALPHA, BETA, GAMMA):
        assert await refusal(good(NOW, issuer), judge) == "the token lacks the claim azp"
        assert await verified(good(NOW, issuer, azp="web"), judge)


# what comes of a token


@pytest.mark.parametrize(("exp", "seconds"), ((NOW + 300, 300.0), (NOW + 0.5, 0.5), (NOW, 0.0), (NOW - 29, 0.0)))
async def test_for_how_long_it_holds(exp: float, seconds: float) -> None:
    """The leeway is no reason to keep it."""
    assert (await verified(good(NOW, exp=exp))).seconds == seconds


async def test_a_token_without_an_end() -> None:
    judge = make(require=())

    assert (await verified(good(NOW, exp=MISSING), judge)).seconds == float("inf")


@pytest.mark.parametrize(
    ("shown", "missing"),
    (
        ({}, {"read", "write"}),
        ({"scope": "read"}, {"write"}),
        ({"scope": "write  read other"}, set()),
        ({"scope": "readwrite Read"}, {"read", "write"}),
        ({"scp": ["read", "write"]}, set()),
        ({"scope": "", "scp": "read write"}, {"read", "write"}),
        ({"scope": {"read": 1, "write": 1}}, {"read", "write"}),
        ({"scope": ["read write"]}, {"read", "write"}),
    ),
)
async def test_scopes(shown: dict[str, Any], missing: set[str]) -> None:
    judge = make(scopes=("read", "write"))

    assert (await verified(good(NOW, **shown), judge)).missing == missing


async def test_claims_become_headers() -> None:
    judge = make(claims_to_headers={"sub": "X-User", "roles": "X-Roles", "a.b": "X-Deep", "none": "X-None", "n": "X-N"})
    token = good(NOW, roles=["admin", "user"], a={"b": {"c": 1}}, n=7)

    assert (await verified(token, judge)).fields == (
        ("X-User", "ada"),
        ("X-Roles", "admin,user"),
        ("X-Deep", '{"c":1}'),
        ("X-N", "7"),
    )


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "value",
    (
        "ada\r\nX-Admin: yes",
        "ada\n",
        "\r",
        "a\0b",
        "a\x1b[2Jb",
        "a\x7f",
        "a\x85b",
        "a\u2028b",
        ["ada", "eve\r\nX-Admin: yes"],
        10**30,
        {"a": 2**64},
        deep(400),
    ),
    ids=str,
)
async def test_a_claim_that_cannot_be_a_header(value: Any) -> None:
    judge = make(claims_to_headers={"name": "X-Name"})

    assert await refusal(good(NOW, name=value), judge) == "a claim of the token cannot be a header"
    assert await verified(good(NOW, name=value)), "nobody asks for it as a header"


@pytest.mark.parametrize("value", ("Åsa", "阿達", "a,b", 'a"b', "", "  ", True, 1.5, []))
async def test_a_claim_that_can(value: Any) -> None:
    fields = (await verified(good(NOW, name=value), make(claims_to_headers={"name": "X-Name"}))).fields

    exchange = make_exchange()
    for header, text in fields:
        exchange.headers.add(header, text)
    assert len(fields) == 1


# keys in files


def file_judge(folder: Path, name: str = "key.pem") -> TokenJudge:
    return make(IssuerOptions(BETA, "api", key_file=name), folder=folder)


async def test_a_key_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_text(key("RS256", 2).pem)
    judge = file_judge(tmp_path)

    assert await verified(good(NOW, BETA), judge)
    assert await refusal(mint(claims(BETA, NOW), key()), judge) == "the token's signature is wrong"


def test_a_file_that_changed_is_not_current_until_somebody_reads_it(tmp_path: Path) -> None:
    """However often it is asked: a reload that fails elsewhere must not hide the change from the next one."""
    path = tmp_path / "key.pem"
    path.write_text(key("RS256", 2).pem)
    judge = file_judge(tmp_path)
    assert [judge.is_current() for _ in range(3)] == [True] * 3

    path.write_text(key().pem)
    assert [judge.is_current() for _ in range(3)] == [False] * 3
    path.unlink()
    assert [judge.is_current() for _ in range(3)] == [False] * 3
    path.write_text(key("RS256", 2).pem)
    assert judge.is_current()


def test_without_files_all_is_current() -> None:
    assert make().is_current()


@pytest.mark.parametrize(
    ("content", "wanted"),
    (
        (None, "cannot read the key file .*key.pem: No such file or directory"),
        (b"\xff\xfe", "cannot read the key file .*key.pem: it is not text"),
        (b"", "the key is not a public key in PEM"),
        (b"{}", "no key of the set is for RS256"),
    ),
)
def test_a_file_that_will_not_do(content: bytes | None, wanted: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "key.pem").write_bytes(content)
    with pytest.raises(ValueError, match=wanted):
        file_judge(tmp_path)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot read the key file .*: Is a directory"):
        file_judge(tmp_path, ".")


# the judge's life


class Fetching:
    """In place of RemoteKeys: counts its starts and stops."""

    def __init__(self, *arguments: Any) -> None:
        self.events: list[str] = []

    async def start(self) -> None:
        self.events.append("start")

    async def stop(self) -> None:
        self.events.append("stop")


async def test_only_keys_that_are_fetched_have_a_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_judge, "RemoteKeys", Fetching)
    listed = JwtOptions((IssuerOptions("a", "api", jwks="https://a.example"), issuers()[1]))
    made = {one.issuer: Issuer(one, (), Path(), nobody, FakeClock(), logging.getLogger()) for one in listed.issuers}
    judge = TokenJudge(listed, made)
    await judge.start()
    await judge.stop()

    assert made[BETA].remote is None
    assert getattr(made["a"].remote, "events", None) == ["start", "stop"]
