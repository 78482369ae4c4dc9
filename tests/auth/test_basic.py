"""Basic credentials are read strictly, and the challenge is RFC 7617's."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.basic import LONGEST, basic_credentials, basic_field, check_realm, unauthenticated
from gateway.errors import Kind
from gateway.testing import make_exchange

# RFC 7617 §2 and §2.1.
ALADDIN = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
POUND = "Basic dGVzdDoxMjPCow=="


def encoded(text: str | bytes) -> str:
    return "Basic " + b64encode(text.encode() if isinstance(text, str) else text).decode()


def field(*values: str) -> str | None:
    return basic_field(make_exchange("GET", "/", [("Authorization", value) for value in values]).headers)


@pytest.mark.parametrize("value", (ALADDIN, "basic x", "BASIC   x", "Basic", "Basic\tx"))
def test_the_field_is_found_whatever_the_schemes_case(value: str) -> None:
    assert field(value) == value


@pytest.mark.parametrize(
    "values", ((), ("",), ("Bearer x",), ("Basics x",), ("Basic-x",), ("x Basic",), ("Digest Basic x",))
)
def test_another_scheme_is_not_basic(values: tuple[str, ...]) -> None:
    assert field(*values) is None


@pytest.mark.parametrize(
    ("value", "user", "password"),
    (
        (ALADDIN, "Aladdin", "open sesame"),
        (POUND, "test", "123£"),
        ("bAsIc   " + ALADDIN[6:] + " ", "Aladdin", "open sesame"),
        (encoded("a:b:c"), "a", "b:c"),
        (encoded(":"), "", ""),
        (encoded("ada:"), "ada", ""),
        (encoded(" a : b "), " a ", " b "),
    ),
)
def test_user_and_password(value: str, user: str, password: str) -> None:
    assert basic_credentials(value) == (user, password)


@pytest.mark.parametrize(
    "value",
    (
        "Basic",
        "Basic ",
        "Basic\t" + ALADDIN[6:],
        "Basic " + ALADDIN[6:].rstrip("="),
        "Basic " + ALADDIN[6:] + "=",
        "Basic QWxh ZGRpbjpvcGVuIHNlc2FtZQ==",
        "Basic QWxh\xa0ZGRpbjpvcGVuIHNlc2FtZQ==",
        "Basic user:password",
        "Basic YTpi=",
        "Basic YTpi====",
        "Basic YTpiYh==",
        "Basic dXNlcjpw_-8=",
        encoded("nobody"),
        encoded(b"test:123\xa3"),
        encoded("a\0b:c"),
        encoded("a:b\0"),
        encoded("a:b\r\nX-Admin: 1"),
        encoded("a\x7f:b"),
        encoded("a:" + "b" * LONGEST),
    ),
)
def test_what_is_malformed(value: str) -> None:
    assert basic_credentials(value) is None


@given(
    st.text(st.characters(exclude_characters=":", exclude_categories=["Cc", "Cs"])),
    st.text(st.characters(exclude_categories=["Cc", "Cs"])),
)
def test_all_that_may_be_said_is_understood(user: str, password: str) -> None:
    assert basic_credentials(encoded(f"{user}:{password}")) == (user, password)


@given(st.text(st.characters(max_codepoint=255)))
def test_whatever_comes_there_is_no_error(text: str) -> None:
    basic_credentials("Basic " + text)


def test_the_challenge() -> None:
    error = unauthenticated("Back office", "who?")

    assert (error.kind, error.detail) == (Kind.UNAUTHENTICATED, "who?")
    assert error.headers == {"WWW-Authenticate": 'Basic realm="Back office", charset="UTF-8"'}


@pytest.mark.parametrize("realm", ("", 'a"b', "a\\b", "a\nb", "ü"))
def test_realms_that_do_not_fit_between_quotes(realm: str) -> None:
    with pytest.raises(ValueError, match="no realm"):
        check_realm(realm)


def test_a_good_realm() -> None:
    check_realm("Back office [1]")
