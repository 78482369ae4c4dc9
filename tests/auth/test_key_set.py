"""Keys are read strictly, and each verifies with its own algorithm alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import dsa, ec, x25519
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.key_set import KEY_TYPES, KEYS_READ, MAX_KID, Key, KeySet, jwk_set, static_keys
from tests.support.issuer import MISSING, PUBLIC, SECRET, encoded, key, mint

RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
EVERY = tuple(KEY_TYPES)


def published(*entries: Any, algorithms: tuple[str, ...] = ("RS256",)) -> KeySet:
    return jwk_set(json.dumps({"keys": list(entries)}).encode(), algorithms)


def verifies(material: Any, algorithm: str, number: int = 0) -> bool:
    """Does it verify what the key of that algorithm and number signs?"""
    token = mint({"sub": "ada"}, key(algorithm, number))
    try:
        return bool(jwt.decode(token, material, algorithms=[algorithm]) == {"sub": "ada"})
    except jwt.InvalidSignatureError:
        return False


def ids(found: KeySet, algorithm: str, *kids: str) -> list[str]:
    return [kid for kid in kids if found.find(kid, algorithm) is not None]


# finding


def test_a_key_is_found_by_id_and_algorithm() -> None:
    found = KeySet([Key("a", "RS256", 1), Key("b", "RS256", 2), Key("a", "ES256", 3)])

    assert [found.find(*asked) for asked in (("a", "RS256"), ("b", "RS256"), ("a", "ES256"))] == [1, 2, 3]
    assert not any(found.find(*asked) for asked in (("b", "ES256"), ("c", "RS256"), ("", "RS256"), ("a", "HS256")))


def test_a_token_without_an_id_is_matched_only_where_there_is_no_choice() -> None:
    found = KeySet([Key("a", "RS256", 1), Key("b", "RS256", 2), Key("c", "ES256", 3)])

    assert (found.find(None, "RS256"), found.find(None, "ES256"), found.find(None, "EdDSA")) == (None, 3, None)


def test_a_key_without_an_id_is_matched_only_where_there_is_no_choice() -> None:
    assert KeySet([Key(None, "RS256", 1)]).find("any", "RS256") == 1
    assert KeySet([Key(None, "RS256", 1), Key(None, "RS256", 2)]).find("any", "RS256") is None
    assert KeySet([Key(None, "RS256", 1), Key("a", "ES256", 2)]).find("any", "RS256") is None


def test_the_first_of_two_keys_with_one_id_counts() -> None:
    assert KeySet([Key("a", "RS256", 1), Key("a", "RS256", 2)]).find("a", "RS256") == 1


def test_an_empty_set_has_no_key() -> None:
    assert KeySet([]).find("a", "RS256") is None
    assert KeySet([]).find(None, "RS256") is None


def test_a_key_does_not_show_what_it_is_made_of() -> None:
    assert "secret" not in repr(Key("a", "HS256", b"secret"))


# published sets


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_every_family_is_read(algorithm: str) -> None:
    found = published(key(algorithm).jwk(), key(algorithm, 1).jwk(), algorithms=EVERY)

    assert verifies(found.find(f"{algorithm}-0", algorithm), algorithm)
    assert not verifies(found.find(f"{algorithm}-1", algorithm), algorithm)


def test_a_key_is_for_the_algorithm_that_it_names() -> None:
    found = published(key().jwk(kid="a", alg="PS256"), algorithms=EVERY)

    assert [name for name in EVERY if found.find("a", name) is not None] == ["PS256"]


def test_a_key_that_names_no_algorithm_is_for_all_of_its_type() -> None:
    found = published(key().jwk(kid="a", alg=MISSING), algorithms=EVERY)

    assert tuple(name for name in EVERY if found.find("a", name) is not None) == RSA
    assert [ids(published(key().jwk(alg=MISSING)), name, "RS256-0") for name in ("RS256", "PS256")] == [["RS256-0"], []]


@pytest.mark.parametrize(
    "changes",
    (
        {"use": "enc"},
        {"use": 1},
        {"key_ops": ["encrypt"]},
        {"key_ops": []},
        {"alg": "RS512"},
        {"alg": "none"},
        {"alg": ["RS256"]},
        {"kty": "EC"},
        {"kty": "oct"},
        {"kty": None},
        {"kid": 1},
        {"kid": "a" * (MAX_KID + 1)},
        {"kid": ["RS256-0"]},
        {"n": MISSING},
        {"n": ""},
        {"n": 5},
        {"n": "AA"},
        {"e": "AA"},
        {"e": None},
        {"d": "AQAB"},
        {"d": None},
    ),
)
def test_what_will_not_do_is_passed_over(changes: dict[str, Any]) -> None:
    entry = key().jwk(**changes)

    assert ids(published(entry, key("RS256", 1).jwk()), "RS256", "RS256-0", "RS256-1") == ["RS256-1"]
    with pytest.raises(ValueError, match="^no key of the set is for RS256$"):
        published(entry)


@pytest.mark.parametrize("changes", ({"use": MISSING}, {"key_ops": ["verify"]}, {"key_ops": "verify"}, {"x5c": ["AA"]}))
def test_what_says_no_more_than_that_it_verifies_will_do(changes: dict[str, Any]) -> None:
    assert ids(published(key().jwk(**changes)), "RS256", "RS256-0") == ["RS256-0"]


@pytest.mark.parametrize("curve", ("P-384", "secp256k1", "Ed25519", None))
def test_a_curve_of_another_algorithm_is_passed_over(curve: str | None) -> None:
    with pytest.raises(ValueError, match="no key of the set"):
        published(key("ES256").jwk(crv=curve), algorithms=("ES256",))


def test_a_point_that_is_not_on_the_curve_is_passed_over() -> None:
    with pytest.raises(ValueError, match="no key of the set"):
        published(key("ES256").jwk(x=encoded(b"\x01" * 32)), algorithms=("ES256",))


def test_a_key_of_1024_bits_is_passed_over() -> None:
    with pytest.raises(ValueError, match="no key of the set"):
        published(key(number=8, bits=1024).jwk())


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_private_key_that_is_published_is_passed_over(algorithm: str) -> None:
    with pytest.raises(ValueError, match="no key of the set"):
        published(key(algorithm).jwk(private=True), algorithms=EVERY)


def test_a_secret_that_is_published_is_passed_over() -> None:
    with pytest.raises(ValueError, match=r"^no key of the set is for RS256, EdDSA$"):
        published(key("HS256").jwk(), algorithms=("HS256", "RS256", "EdDSA"))
    with pytest.raises(ValueError, match="^no key of the set is for an algorithm with public keys$"):
        published(key("HS256").jwk(), algorithms=("HS256",))


def test_so_many_keys_are_read_and_no_more() -> None:
    entries = [key("ES256").jwk(kid=f"k{number}") for number in range(KEYS_READ + 1)]
    many = [f"k{number}" for number in range(KEYS_READ + 1)]

    assert ids(published(*entries, algorithms=("ES256",)), "ES256", *many) == many[:KEYS_READ]


def test_what_is_no_object_is_passed_over() -> None:
    assert ids(published(None, [], "x", 1, [[]], key().jwk()), "RS256", "RS256-0") == ["RS256-0"]


@pytest.mark.parametrize("text", (b"", b"<html>", b"[]", b"null", b"\xff", b'{"keys": [}', b"[" * 5000, b'"keys"'))
def test_what_is_no_json_object_is_no_set(text: bytes) -> None:
    with pytest.raises(ValueError, match="^keys in JSON are an object, and this is none$"):
        jwk_set(text, ["RS256"])


@pytest.mark.parametrize("text", (b"{}", b'{"keys": null}', b'{"keys": {}}', b'{"keys": "RS256"}'))
def test_a_set_has_a_list_of_keys(text: bytes) -> None:
    with pytest.raises(ValueError, match="^a key set has a list of `keys`$"):
        jwk_set(text, ["RS256"])


VALUES = st.none() | st.booleans() | st.integers() | st.text(max_size=50) | st.lists(st.text(max_size=3), max_size=2)
NAMES = ["kty", "kid", "alg", "use", "key_ops", "crv", "n", "e", "x", "y", "k"]


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.sampled_from(("RSA", "EC", "OKP", "oct", "?")))
def test_no_key_of_a_set_harms_the_others(entry: dict[str, Any], kind: str) -> None:
    found = published(
        {"kty": kind, **entry},
        {**key("ES256").jwk(), **entry, "kid": "changed"},
        {**key().jwk(), **entry, "kid": "changed"},
        key("ES256").jwk(kid="good"),
        algorithms=EVERY,
    )

    assert found.find("good", "ES256") is not None


# keys of the configuration


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_public_key_in_pem(algorithm: str) -> None:
    found = static_keys(key(algorithm).pem, [algorithm])

    assert verifies(found.find(None, algorithm), algorithm)
    assert verifies(found.find("whatever the token calls it", algorithm), algorithm)
    assert not verifies(static_keys(key(algorithm, 1).pem, [algorithm]).find(None, algorithm), algorithm)


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_json_web_key_or_a_set_of_them(algorithm: str) -> None:
    alone = static_keys(json.dumps(key(algorithm).jwk(kid=MISSING)), [algorithm])
    several = static_keys(f"\n{json.dumps({'keys': [key(algorithm).jwk(), key(algorithm, 1).jwk()]})}", [algorithm])

    assert verifies(alone.find(None, algorithm), algorithm)
    assert verifies(several.find(f"{algorithm}-1", algorithm), algorithm, 1)
    assert several.find(None, algorithm) is None


@pytest.mark.parametrize("algorithm", ("HS256", "HS384", "HS512"))
def test_a_secret(algorithm: str) -> None:
    found = static_keys(SECRET, [algorithm])

    assert verifies(found.find(None, algorithm), algorithm)
    assert not verifies(static_keys(SECRET + "\n", [algorithm]).find(None, algorithm), algorithm)


def test_one_rsa_key_for_several_algorithms() -> None:
    found = static_keys(key().pem, RSA)

    assert all(verifies(found.find(None, name), name) for name in RSA)


@pytest.mark.parametrize("algorithm", PUBLIC)
def test_a_private_key_is_refused(algorithm: str) -> None:
    for text in (key(algorithm).private_pem, json.dumps(key(algorithm).jwk(private=True))):
        with pytest.raises(ValueError, match="^the key is a private one; the gateway needs its public half alone$"):
            static_keys(text, [algorithm])


def pem(private: Any) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return str(private.public_key().public_bytes(serialization.Encoding.PEM, form).decode())


BROKEN = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"


@pytest.mark.parametrize(
    ("text", "algorithm"),
    (
        (lambda: "", "RS256"),
        (lambda: "secret", "RS256"),
        (lambda: BROKEN, "RS256"),
        (lambda: BROKEN, "ES256"),
        (lambda: BROKEN, "EdDSA"),
        (lambda: BROKEN.replace("PUBLIC KEY", "CERTIFICATE"), "RS256"),
        (lambda: key("ES256").pem, "RS256"),
        (lambda: key("ES384").pem, "ES256"),
        (lambda: key().pem, "ES256"),
        (lambda: key().pem, "EdDSA"),
        (lambda: pem(ec.generate_private_key(ec.SECP256K1())), "ES256"),
        (lambda: pem(x25519.X25519PrivateKey.generate()), "EdDSA"),
        (lambda: pem(dsa.generate_private_key(1024)), "RS256"),
    ),
)
def test_what_is_no_public_key(text: Callable[[], str], algorithm: str) -> None:
    expected = f"^the key is not a public key in PEM, or a JSON Web Key, for {algorithm}$"
    with pytest.raises(ValueError, match=expected) as raised:
        static_keys(text(), [algorithm])
    assert raised.value.__cause__ is None


def test_what_is_no_secret() -> None:
    for text in ("", key().pem, key("ES256").pem, json.dumps(key("HS256").jwk()), "ssh-rsa AAAA"):
        with pytest.raises(ValueError, match="^the key is not a secret for HS256$"):
            static_keys(text, ["HS256"])


def test_too_short() -> None:
    with pytest.raises(ValueError, match="^the key is too short for HS512$"):
        static_keys("x" * 63, ["HS512"])
    with pytest.raises(ValueError, match="^the key is too short for RS256$"):
        static_keys(key(number=8, bits=1024).pem, ["RS256"])


@pytest.mark.parametrize("names", (["HS256", "RS256"], ["RS256", "HS512"], ["ES256", "EdDSA", "HS384"]))
def test_one_key_is_not_both_secret_and_public(names: list[str]) -> None:
    for text in (SECRET, key().pem):
        with pytest.raises(ValueError, match="cannot be both a secret"):
            static_keys(text, names)


@pytest.mark.parametrize("text", ("{", '{"a": ', "{}}"))
def test_broken_json(text: str) -> None:
    with pytest.raises(ValueError, match="^keys in JSON are an object, and this is none$"):
        static_keys(text, ["RS256"])


def test_errors_show_nothing_of_the_key() -> None:
    broken = f"-----BEGIN PUBLIC KEY-----\n{SECRET}\n-----END PUBLIC KEY-----"
    for text in ("short secret", broken, json.dumps({"kty": "oct", "k": SECRET})):
        for names in (["HS256"], ["RS256"], ["ES256"], ["EdDSA"], ["HS256", "RS256"]):
            with pytest.raises(ValueError, match="key") as raised:
                static_keys(text, names)
            assert "secret" not in str(raised.value).replace("not a secret", "").replace("both a secret", "")
            assert raised.value.__cause__ is None
