"""The tokens that services get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.auth.internal_tokens import InternalTokens
from gateway.auth.session_options import TokenOptions
from gateway.auth.sessions import Session
from gateway.auth.signing import make_signer
from gateway.testing import FakeClock
from gateway.units import Duration

SIGNER = make_signer(TokenOptions(), Path())


class Bench:
    """A session that lasts an hour, and what makes its tokens."""

    def __init__(self, **options: Any) -> None:
        self.clock = FakeClock()
        self.tokens = InternalTokens(TokenOptions(**options), "gate", SIGNER, self.clock)
        self.session = Session({"sub": "1", "roles": ["a"]}, "csrf", self.clock.wall() + 3600, ())

    def token(self, upstream: str = "items") -> str:
        value = self.tokens.authorization(self.session, upstream, self.clock.now())
        assert value.startswith("Bearer ")
        return value.removeprefix("Bearer ")

    def claims(self, upstream: str = "items") -> Any:
        key = jwt.PyJWKSet.from_json(SIGNER.key_set.decode()).keys[0]
        # The clock of the test is not the library's.
        unlooked: Any = dict.fromkeys(("verify_exp", "verify_iat", "verify_aud"), False)
        return jwt.decode(self.token(upstream), key, algorithms=["EdDSA"], options=unlooked)


def test_it_says_whose_it_is_from_whom_and_for_whom() -> None:
    wall = int(FakeClock().wall())

    assert Bench().claims() == {
        "sub": "1",
        "roles": ["a"],
        "iss": "gate",
        "aud": "items",
        "iat": wall,
        "exp": wall + 120,
    }


def test_issuer_audience_and_life_by_option() -> None:
    claims = Bench(issuer="https://gate.example", audience="all", ttl=Duration("30s")).claims()

    assert (claims["iss"], claims["aud"], claims["exp"] - claims["iat"]) == ("https://gate.example", "all", 30)


def test_no_claim_of_the_session_speaks_for_the_gateway() -> None:
    bench = Bench()
    bench.session.claims.update(iss="evil", aud="all", exp=9_999_999_999, iat=1)

    claims = bench.claims()

    assert (claims["iss"], claims["aud"]) == ("gate", "items")
    assert claims["exp"] == int(bench.clock.wall()) + 120


def test_each_upstream_has_its_own() -> None:
    bench = Bench()

    assert bench.claims("items")["aud"] == "items"
    assert bench.claims("users")["aud"] == "users"
    assert bench.token("items") != bench.token("users")


@pytest.mark.parametrize(("seconds", "same"), [(0, True), (109.9, True), (110, False)])
def test_one_is_kept_until_ten_seconds_before_its_end(seconds: float, same: bool) -> None:
    bench = Bench()
    first = bench.token()

    bench.clock.advance(seconds)

    assert (bench.token() == first) is same


def test_it_does_not_outlive_the_session() -> None:
    bench = Bench()
    bench.clock.advance(3600 - 7.5)

    claims = bench.claims()

    assert claims["exp"] == int(bench.session.expires)
