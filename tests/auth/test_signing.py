"""Keys that sign, and the set that services verify by."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from gateway.auth.session_options import Algorithm, TokenOptions
from gateway.auth.signing import Signer, is_current, make_signer
from gateway.units import Secret

ALGORITHMS: tuple[Algorithm, ...] = ("EdDSA", "ES256", "RS256")
HERE = Path()
CLAIMS = {"sub": "1", "aud": "api"}


@cache
def private_key(kind: str) -> Any:
    if kind.startswith("RS"):
        return rsa.generate_private_key(65537, 1024 if kind == "RS-short" else 2048)
    curves = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}
    if kind in curves:
        return ec.generate_private_key(curves[kind]())
    return ed448.Ed448PrivateKey.generate() if kind == "Ed448" else ed25519.Ed25519PrivateKey.generate()


def pem(
    kind: str = "EdDSA",
    form: PrivateFormat = PrivateFormat.PKCS8,
    encryption: KeySerializationEncryption | None = None,
) -> str:
    text: bytes = private_key(kind).private_bytes(Encoding.PEM, form, encryption or NoEncryption())
    return text.decode()


def signer(text: str, algorithm: Algorithm = "EdDSA") -> Signer:
    return make_signer(TokenOptions(key=Secret(text), algorithm=algorithm), HERE)


def verified(token: str, key_set: bytes, algorithm: str) -> Any:
    """By somebody who knows the key set alone."""
    keys = {key.key_id: key for key in jwt.PyJWKSet.from_json(key_set.decode()).keys}
    return jwt.decode(token, keys[jwt.get_unverified_header(token)["kid"]], algorithms=[algorithm], audience="api")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_key_set_verifies_what_was_signed(algorithm: Algorithm) -> None:
    made = signer(pem(algorithm), algorithm)
    token = made.sign(CLAIMS)

    assert verified(token, made.key_set, algorithm) == CLAIMS
    assert jwt.get_unverified_header(token) == {"alg": algorithm, "kid": made.kid, "typ": "JWT"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_key_set_shows_the_public_half_alone(algorithm: Algorithm) -> None:
    (key,) = orjson.loads(signer(pem(algorithm), algorithm).key_set)["keys"]

    of_the_key = {"EdDSA": {"crv", "x"}, "ES256": {"crv", "x", "y"}, "RS256": {"n", "e"}}[algorithm]
    assert key.keys() == {"kty", "kid", "use", "alg"} | of_the_key
    assert (key["use"], key["alg"]) == ("sig", algorithm)


def test_the_thumbprint_is_that_of_rfc_8037() -> None:
    # Its appendices A.1 to A.3.
    private = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    key = ed25519.Ed25519PrivateKey.from_private_bytes(private)
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()

    assert signer(text).kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_without_a_key_each_has_its_own(algorithm: Algorithm) -> None:
    options = TokenOptions(algorithm=algorithm)
    one, other = make_signer(options, HERE), make_signer(options, HERE)

    assert verified(one.sign(CLAIMS), one.key_set, algorithm) == CLAIMS
    assert one.kid != other.kid
    assert one.source == b""


@pytest.mark.parametrize(
    ("kind", "form", "algorithm"),
    [("RS256", PrivateFormat.TraditionalOpenSSL, "RS256"), ("ES256", PrivateFormat.TraditionalOpenSSL, "ES256")],
)
def test_older_forms_of_pem(kind: str, form: PrivateFormat, algorithm: Algorithm) -> None:
    parameters = "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n"

    assert signer(parameters + pem(kind, form), algorithm).kid == signer(pem(kind), algorithm).kid


def test_the_first_key_signs_and_all_are_published() -> None:
    old, new = pem("EdDSA"), pem("EdDSA-2")
    before, between, after = signer(old), signer(f"{old}\n{new}"), signer(new + old)

    assert (before.kid, between.kid) == (signer(old).kid,) * 2
    assert after.kid == signer(new).kid != before.kid
    assert verified(after.sign(CLAIMS), between.key_set, "EdDSA") == CLAIMS
    assert verified(before.sign(CLAIMS), after.key_set, "EdDSA") == CLAIMS


def public_pem() -> str:
    text: bytes = private_key("EdDSA").public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return text.decode()


@pytest.mark.parametrize(
    ("make", "algorithm", "said"),
    [
        (lambda: "secret-text", "EdDSA", "token.key holds no private key in PEM; make one with: openssl genpkey"),
        (lambda: "", "EdDSA", "holds no private key in PEM"),
        (public_pem, "EdDSA", "holds no private key in PEM"),
        (
            lambda: "-----BEGIN PRIVATE KEY-----\nrubbish\n-----END PRIVATE KEY-----",
            "EdDSA",
            "is no private key in PEM",
        ),
        (lambda: pem(form=PrivateFormat.OpenSSH), "EdDSA", "is no private key in PEM"),
        (lambda: pem(encryption=BestAvailableEncryption(b"x")), "EdDSA", "is encrypted with a password"),
        (
            lambda: pem("RS256"),
            "EdDSA",
            "EdDSA signs with an Ed25519 key; make one with: openssl genpkey -algorithm ed25519",
        ),
        (lambda: pem("Ed448"), "EdDSA", "EdDSA signs with an Ed25519 key"),
        (lambda: pem("ES384"), "ES256", "ES256 signs with an EC key on the curve P-256"),
        (lambda: pem("EdDSA"), "RS256", "RS256 signs with an RSA key of 2048 bits or more"),
        (lambda: pem("RS-short"), "RS256", "RS256 signs with an RSA key of 2048 bits or more"),
        (lambda: pem() + pem("RS256"), "EdDSA", "EdDSA signs with an Ed25519 key"),
    ],
)
def test_keys_that_cannot_be(make: Callable[[], str], algorithm: Algorithm, said: str) -> None:
    text = make()
    with pytest.raises(ValueError, match=re.escape(said)) as caught:
        signer(text, algorithm)

    shown = [line for line in text.splitlines() if line and not line.startswith("-----")]
    assert not any(line in str(caught.value) for line in shown)
    assert caught.value.__cause__ is None


def test_a_key_file_is_beside_the_configuration(tmp_path: Path) -> None:
    options = TokenOptions(key_file="keys.pem")
    with pytest.raises(ValueError, match=r"'keys.pem' cannot be read \(No such file.*it is looked for in"):
        make_signer(options, tmp_path)
    (tmp_path / "keys.pem").write_text(pem())

    assert make_signer(options, tmp_path).kid == signer(pem()).kid


def test_another_content_of_the_file_is_another_signer(tmp_path: Path) -> None:
    file, options = tmp_path / "keys.pem", TokenOptions(key_file="keys.pem")
    file.write_text(pem())
    made = make_signer(options, tmp_path)
    assert is_current(made, options, tmp_path)

    file.write_text(pem() + pem("EdDSA-2"))
    assert not is_current(made, options, tmp_path)
    file.unlink()
    assert not is_current(made, options, tmp_path)


def test_keys_elsewhere_do_not_change() -> None:
    for options in (TokenOptions(), TokenOptions(key=Secret(pem()))):
        assert is_current(make_signer(options, HERE), options, HERE)


def test_nothing_shows_a_key() -> None:
    made = make_signer(TokenOptions(), HERE)

    assert "Ed25519PrivateKey" not in repr(made._key)
