"""The keys of the sample auth service, read by PyJWT as a client would."""

from typing import Any

import jwt
import pytest

from gateway.demo.signing import MAX_KEYS, RETIRED_FOR, SigningKeys, thumbprint
from tests.support.auth_service import NOW, signing_key

CLAIMS = {"sub": "1"}


def verified(token: str, key_set: dict[str, Any]) -> Any:
    """The claims, by the key in the set that the token names."""
    key = jwt.PyJWKSet.from_dict(key_set)[jwt.get_unverified_header(token)["kid"]]
    return jwt.decode(token, key, algorithms=["RS256"])


def test_the_thumbprint_of_rfc_7638() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3"
        "oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdA"
        "ZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-"
        "kEgU8awapJzKnqDKgw"
    )

    assert thumbprint({"kty": "RSA", "n": modulus, "e": "AQAB"}) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_token_is_verified_with_the_key_set_alone() -> None:
    keys = SigningKeys(signing_key())

    assert verified(keys.sign(CLAIMS), keys.key_set(NOW)) == CLAIMS


def test_the_key_set_holds_public_halves_with_their_use() -> None:
    (key,) = SigningKeys(signing_key()).key_set(NOW)["keys"]

    assert set(key) == {"kty", "n", "e", "kid", "alg", "use"}
    assert (key["kid"], key["alg"], key["use"]) == (signing_key().kid, "RS256", "sig")


def test_after_a_rotation_both_keys_are_good_for_a_while() -> None:
    keys = SigningKeys(signing_key())
    old = keys.sign(CLAIMS)

    keys.rotate(signing_key(1), NOW)
    new = keys.sign(CLAIMS)

    assert [key["kid"] for key in keys.key_set(NOW)["keys"]] == [signing_key(1).kid, signing_key().kid]
    assert jwt.get_unverified_header(new)["kid"] == signing_key(1).kid
    for token in (old, new):
        assert verified(token, keys.key_set(NOW + RETIRED_FOR - 1)) == CLAIMS
        assert keys.read(token, NOW + RETIRED_FOR - 1) == CLAIMS
    assert [key["kid"] for key in keys.key_set(NOW + RETIRED_FOR)["keys"]] == [signing_key(1).kid]
    assert keys.read(old, NOW + RETIRED_FOR) is None
    assert keys.read(new, NOW + RETIRED_FOR) == CLAIMS


def test_many_rotations_do_not_pile_up_keys() -> None:
    keys = SigningKeys(signing_key())

    for number in (1, 2, 3, 4, 5):
        keys.rotate(signing_key(number), NOW)

    assert [key["kid"] for key in keys.key_set(NOW)["keys"]] == [signing_key(number).kid for number in (5, 4, 3, 2)]
    assert len(keys.key_set(NOW)["keys"]) == MAX_KEYS


def test_claims_that_have_expired_are_read() -> None:
    keys = SigningKeys(signing_key())

    assert keys.read(keys.sign({"exp": 1}), NOW) == {"exp": 1}


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "é.é.é", "\ud800", "..", "e30.e30.e30"])
def test_what_is_no_token(token: str) -> None:
    assert SigningKeys(signing_key()).read(token, NOW) is None


def test_what_nobody_or_somebody_else_signed() -> None:
    keys = SigningKeys(signing_key())
    header, payload, signature = keys.sign(CLAIMS).split(".")
    kid = {"kid": signing_key().kid}

    for token in (
        jwt.encode(CLAIMS, signing_key(1).private, "RS256", headers=kid),
        jwt.encode(CLAIMS, signing_key().private, "RS512", headers=kid),
        jwt.encode(CLAIMS, "x" * 64, "HS256", headers=kid),
        jwt.encode(CLAIMS, "", "none", headers=kid),
        jwt.encode(CLAIMS, signing_key().private, "RS256"),
        f"{header}.{payload}.",
        f"{header}.{payload[:-2]}.{signature}",
    ):
        assert keys.read(token, NOW) is None
