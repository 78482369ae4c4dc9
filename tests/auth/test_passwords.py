"""Stored passwords: known answers of other implementations, and what is not taken."""

import base64

import bcrypt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.auth.passwords import check_stored, hash_password, verify_password

SALT = "c2FsdHNhbHQ"
DIGEST = "A" * 43
# passlib's documentation; RFC 7914 §12 in our form; and Openwall's vectors of crypt_blowfish.
KNOWN = [
    ("password", "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"),
    (
        "pleaseletmein",
        "$scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$"
        "cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofLVQylVYT8Pz2LUlwUkKpr55h6F3A1lHkDfzwF7RVdYhw",
    ),
    ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    ("U*U*", "$2b$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    ("U*U*U", "$2y$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
    ("", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy"),
]


def quick(password: bytes, rounds: int = 4) -> str:
    """A bcrypt hash that costs little."""
    return bcrypt.hashpw(password, bcrypt.gensalt(rounds)).decode()


@pytest.mark.parametrize(("password", "stored"), KNOWN)
def test_the_password_is_the_right_one_and_another_is_not(password: str, stored: str) -> None:
    check_stored(stored)

    assert verify_password(password, stored)
    assert not verify_password(password + "x", stored)


@settings(max_examples=5)
@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_what_was_hashed_is_recognised(password: str) -> None:
    stored = hash_password(password)

    assert stored.startswith("$scrypt$ln=15,r=8,p=1$")
    assert verify_password(password, stored)
    assert not verify_password(password + "x", stored)


def test_every_hash_has_its_own_salt() -> None:
    assert hash_password("lovelace") != hash_password("lovelace")


def test_bcrypt_reads_utf8() -> None:
    assert verify_password("pässwörd", quick("pässwörd".encode()))


def test_no_part_of_a_long_password_opens_a_bcrypt_hash() -> None:
    longest = "é" * 36
    stored = quick(longest.encode())

    assert verify_password(longest, stored)
    assert not verify_password(longest + "x", stored)


@pytest.mark.parametrize("stored", [KNOWN[0][1], KNOWN[2][1]])
def test_text_without_an_utf8_form_is_never_right(stored: str) -> None:
    assert not verify_password("\udcff", stored)
    with pytest.raises(ValueError, match="surrogates not allowed"):
        hash_password("\udcff")


def scrypt(parameters: str = "ln=4,r=1,p=1", salt: str = SALT, digest: str = DIGEST) -> str:
    return f"$scrypt${parameters}${salt}${digest}"


@pytest.mark.parametrize("parameters", ["ln=1,r=1,p=1", "ln=15,r=1,p=1", "ln=1,r=32,p=16", "ln=13,r=16,p=1"])
def test_scrypt_is_given_the_memory_that_it_takes(parameters: str) -> None:
    assert not verify_password("x", scrypt(parameters))


@pytest.mark.parametrize("parameters", ["ln=18,r=8,p=1", "ln=17,r=8,p=2", "ln=16,r=32,p=1"])
def test_scrypt_may_cost_as_much_as_the_bound(parameters: str) -> None:
    check_stored(scrypt(parameters))


@pytest.mark.parametrize(
    ("stored", "complaint"),
    [
        ("", "a stored password is"),
        ("lovelace", "a stored password is"),
        ("{SHA}Wm9e0NChbdq4dCXHCvcjmw3sbZo=", "a stored password is"),
        ("$apr1$abcdefgh$0123456789012345678901", "a stored password is"),
        ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdHNhbHQ$AAAA", "a stored password is"),
        ("$2$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "a stored password is"),
        ("$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "a stored password is"),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOe", "a stored password is"),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC/E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "a stored password is"),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeX", "a stored password is"),
        ("$2b$5$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "a stored password is"),
        ("$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW\n", "a stored password is"),
        ("$2b$03$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "04 to 16, not 03"),
        ("$2b$17$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "04 to 16, not 17"),
        (scrypt("ln=19,r=1,p=1"), "too much memory or time"),
        (scrypt("ln=18,r=9,p=1"), "too much memory or time"),
        (scrypt("ln=18,r=8,p=2"), "too much memory or time"),
        (scrypt("ln=4,r=33,p=1"), "too much memory or time"),
        (scrypt("ln=4,r=1,p=17"), "too much memory or time"),
        (scrypt("ln=16,r=1,p=1"), "less than 16"),
        (scrypt("ln=0,r=1,p=1"), "a scrypt hash is"),
        (scrypt("ln=04,r=1,p=1"), "a scrypt hash is"),
        (scrypt("ln=100,r=1,p=1"), "a scrypt hash is"),
        (scrypt("ln=٤,r=1,p=1"), "a scrypt hash is"),
        (scrypt("r=1,ln=4,p=1"), "a scrypt hash is"),
        (scrypt() + "=", "a scrypt hash is"),
        (scrypt() + "\n", "a scrypt hash is"),
        (scrypt(salt="c2FsdHN-bHQ"), "a scrypt hash is"),
        (scrypt(salt=""), "a scrypt hash is"),
        (scrypt(salt="A" * 9), "not base64"),
        (scrypt(digest="A" * 42 + "B"), "not base64"),
        (scrypt(salt="A" * 10), "8 to 64 bytes"),
        (scrypt(salt="A" * 87), "8 to 64 bytes"),
        (scrypt(digest="A" * 20), "16 to 64"),
        (scrypt(digest="A" * 87), "16 to 64"),
    ],
)
def test_what_is_not_taken(stored: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint) as caught:
        check_stored(stored)
    with pytest.raises(ValueError, match=complaint):
        verify_password("lovelace", stored)

    assert len(stored) < 20 or stored.rpartition("$")[2] not in str(caught.value)


@given(st.binary(min_size=8, max_size=64), st.binary(min_size=16, max_size=64))
def test_any_salt_and_hash_of_a_right_length_is_taken(salt: bytes, digest: bytes) -> None:
    first, second = (base64.b64encode(data).decode().rstrip("=") for data in (salt, digest))

    check_stored(scrypt(salt=first, digest=second))


@given(st.text(max_size=80))
def test_any_other_text_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="hash"):
        check_stored("$scrypt$" + text)
