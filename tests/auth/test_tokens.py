"""What a token says is looked at first, believed only after its signature, and held against the time."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.key_set import KeySet, static_keys
from gateway.auth.tokens import TokenPolicy, TokenRefused, Unverified, read_token, verify_token
from tests.support.forgeries import malleated
from tests.support.issuer import MISSING, PUBLIC, SECRET, Key, claims, encoded, forge, key, mint, part

ISSUER = "https://issuer.example"
NOW = 1_800_000_000.0
# What RFC 6750 §3 lets stand in error_description.
TELLABLE = re.compile(r"[\x20-\x21\x23-\x5b\x5d-\x7e]+")


def policy(*algorithms: str, **changes: Any) -> TokenPolicy:
    return TokenPolicy(ISSUER, **{"audience": ("api",), "algorithms": frozenset(algorithms or ["HS256"]), **changes})


def secret() -> KeySet:
    return static_keys(SECRET, ["HS256"])


def minted(**changes: Any) -> str:
    return mint(claims(ISSUER, NOW, **changes), key("HS256"))


def verified(token: str, now: float = NOW, rules: TokenPolicy | None = None) -> dict[str, Any]:
    material = secret().find(None, "HS256")
    return verify_token(token, read_token(token), rules or policy(), material, now)


def refusal(token: str, now: float = NOW, rules: TokenPolicy | None = None) -> str:
    with pytest.raises(TokenRefused) as raised:
        verified(token, now, rules)
    assert TELLABLE.fullmatch(str(raised.value))
    # Nothing of the library's error, which may hold parts of the token.
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__ or raised.value.__context__ is None
    return str(raised.value)


# reading


def test_what_a_token_says_of_itself() -> None:
    assert read_token(minted()) == Unverified("HS256", "HS256-0", ISSUER)
    assert read_token(mint(claims(ISSUER, NOW), key("HS256"), {"kid": MISSING})).kid is None
    assert read_token(forge({"alg": "whatever"}, {"iss": ""})) == Unverified("whatever", None, "")


def test_reading_asks_for_no_signature() -> None:
    token = forge({"alg": "HS256", "kid": "a"}, {"iss": "b"}, b"no signature")

    assert read_token(token) == Unverified("HS256", "a", "b")


def told(read: Callable[..., Any], *arguments: Any) -> Any:
    """What it returns, or the text of its refusal, which is fit to be told."""
    try:
        return read(*arguments)
    except TokenRefused as refused:
        text = str(refused)
    assert TELLABLE.fullmatch(text)
    return text


@given(st.text() | st.text("ey.J_-=A", max_size=60))
def test_no_text_harms_the_reader(text: str) -> None:
    told(read_token, text)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=4,
)
PARAMETERS = ["typ", "cty", "kid", "b64", "zip", "enc", "epk", "p2c", "x5c", "x5t"]
HEADERS = st.dictionaries(st.sampled_from(PARAMETERS), JSON, max_size=3)
CLAIMS = st.dictionaries(st.sampled_from(["exp", "nbf", "iat", "aud", "sub", "jti", "scope", "cnf"]), JSON, max_size=4)


@given(HEADERS, CLAIMS)
def test_no_token_of_the_issuer_harms_the_verifier(header: dict[str, Any], said: dict[str, Any]) -> None:
    token = forge({"alg": "HS256", **header}, {**claims(ISSUER, NOW), **said}, key("HS256"))
    found = told(verified, token)
    if not isinstance(found, str):
        assert found["iss"] == ISSUER
        assert "api" in found["aud"]
        assert found["exp"] + 30 > NOW


# verifying


@pytest.mark.parametrize("algorithm", [*PUBLIC, "HS256", "HS384", "HS512"])
def test_every_algorithm(algorithm: str) -> None:
    said = claims(ISSUER, NOW, name="Ω")
    token = mint(said, key(algorithm))
    text = SECRET if algorithm.startswith("HS") else key(algorithm).pem
    material = static_keys(text, [algorithm]).find(None, algorithm)

    assert verify_token(token, read_token(token), policy(algorithm), material, NOW) == said


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_another_key_of_the_family(algorithm: str) -> None:
    token = mint(claims(ISSUER, NOW), key(algorithm, 1))
    material = static_keys(key(algorithm).pem, [algorithm]).find(None, algorithm)

    with pytest.raises(TokenRefused, match="^the token's signature is wrong$"):
        verify_token(token, read_token(token), policy(algorithm), material, NOW)


def test_the_list_of_algorithms_counts_and_not_the_key() -> None:
    token = minted()

    with pytest.raises(TokenRefused, match="algorithm that is not allowed"):
        verify_token(token, read_token(token), policy("RS256"), secret().find(None, "HS256"), NOW)


def test_a_short_secret_verifies_nothing() -> None:
    """Whoever made the key set."""
    token = mint(claims(ISSUER, NOW), Key("a", "HS256", b"short"))

    with pytest.raises(TokenRefused, match="^the token is not valid$"):
        verify_token(token, read_token(token), policy(), b"short", NOW)


def test_what_was_read_does_not_decide_what_verifies() -> None:
    """Even a caller that mistakes the algorithm gets no public key used as a secret."""
    public = key().pem.encode()
    token = mint(claims(ISSUER, NOW), Key("a", "HS256", public))
    for material in (key().pem, static_keys(key().pem, ["RS256"]).find(None, "RS256")):
        with pytest.raises(TokenRefused):
            verify_token(token, Unverified("RS256", "a", ISSUER), policy("RS256"), material, NOW)


@given(st.data())
def test_a_changed_token_never_says_something_else(data: st.DataObject) -> None:
    token = minted()
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters(codec="ascii"))
    changed = token[:place] + letter + token[place + 1 :]
    if changed != token:
        with pytest.raises(TokenRefused):
            verified(changed)


def test_ecdsa_has_two_signatures_for_one_text_and_both_say_the_same() -> None:
    """So a token is revoked by its id, never by its text."""
    said = claims(ISSUER, NOW)
    start = f"{part({'alg': 'ES256'})}.{part(said)}"
    signature = key("ES256").sign(start.encode())
    material = static_keys(key("ES256").pem, ["ES256"]).find(None, "ES256")
    for one in (signature, malleated(signature)):
        token = f"{start}.{encoded(one)}"
        assert verify_token(token, read_token(token), policy("ES256"), material, NOW) == said


def test_padding_at_the_end_is_harmless() -> None:
    token = minted()
    assert verified(token + "=" * (-len(token.rpartition(".")[2]) % 4)) == verified(token)


# claims


@pytest.mark.parametrize("leeway", (0.0, 30.0))
def test_the_leeway_is_for_clocks(leeway: float) -> None:
    rules = policy(leeway=leeway)
    expiring = minted(exp=int(NOW), iat=MISSING)
    assert verified(expiring, NOW + leeway - 0.5, rules)
    assert refusal(expiring, NOW + leeway, rules) == "the token has expired"
    for claim, word in ("nbf", "the token is not valid yet"), ("iat", "the token was issued in the future"):
        beginning = minted(**{"iat": MISSING, claim: int(NOW)})
        assert verified(beginning, NOW - leeway, rules)
        assert refusal(beginning, NOW - leeway - 0.5, rules) == word


def test_the_time_is_passed_in() -> None:
    assert verified(mint(claims(ISSUER, 1000), key("HS256")), 1000.0)
    assert refusal(minted(), NOW + 331) == "the token has expired"
    assert refusal(minted(), 1000.0) == "the token was issued in the future"


def test_times_may_be_fractions() -> None:
    token = minted(exp=NOW + 0.75, nbf=NOW - 0.25, iat=NOW - 0.5)

    assert verified(token, NOW + 0.5, policy(leeway=0.0))
    assert refusal(token, NOW + 0.75, policy(leeway=0.0)) == "the token has expired"


def test_a_moment_far_away_is_one() -> None:
    assert verified(minted(exp=10**300, iat=-(10**300)))


@pytest.mark.parametrize("claim", ("exp", "nbf", "iat"))
@pytest.mark.parametrize("value", ("NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400, "true", '"1"', "null"))
def test_what_is_no_time_is_refused_whoever_reads_it(claim: str, value: str) -> None:
    """Without the reader, whose parser is stricter."""
    said = json.dumps(claims(ISSUER, NOW, **{claim: MISSING}))
    token = forge({"alg": "HS256"}, f'{said[:-1]},"{claim}":{value}}}'.encode(), key("HS256"))
    wanted = "lacks the claim exp" if (claim, value) == ("exp", "null") else f"the claim {claim} is no time"

    with pytest.raises(TokenRefused, match=wanted):
        verify_token(token, Unverified("HS256", None, ISSUER), policy(), secret().find(None, "HS256"), NOW)


def test_what_is_required() -> None:
    rules = policy(required=("exp", "sub", "azp"))

    assert refusal(minted(), rules=rules) == "the token lacks the claim azp"
    assert refusal(minted(azp=None), rules=rules) == "the token lacks the claim azp"
    assert verified(minted(azp="x"), rules=rules)
    assert verified(minted(exp=MISSING), rules=policy(required=()))["sub"] == "ada"


@pytest.mark.parametrize("shown", ("api", ["api"], ["other", "api"], "web", ["web", "x"]))
def test_one_audience_is_enough(shown: Any) -> None:
    assert verified(minted(aud=shown), rules=policy(audience=("api", "web")))["aud"] == shown


@pytest.mark.parametrize("shown", ("other", ["other"], "ap", "api web", ["api", None]))
def test_for_somebody_else(shown: Any) -> None:
    assert refusal(minted(aud=shown)) == "the token is meant for somebody else"


def test_the_issuer_is_looked_at_again() -> None:
    assert refusal(minted(iss="https://other.example")) == "the token's issuer is not known here"
