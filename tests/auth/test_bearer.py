"""Bearer tokens are read strictly, and refusals say what RFC 6750 has them say."""

import pytest

from gateway.auth.bearer import MAX_TOKEN, bearer_token, insufficient_scope, invalid_token, no_token
from gateway.errors import GatewayError, Kind
from gateway.testing import make_exchange


@pytest.mark.parametrize(
    ("field", "token"),
    [
        ("Bearer abc.DEF-_~+/==", "abc.DEF-_~+/=="),
        ("bearer abc", "abc"),
        ("BEARER  abc ", "abc"),
        ("Basic YTpi", None),
        ("Token Bearer abc", None),
        ("Bearer " + "a" * MAX_TOKEN, "a" * MAX_TOKEN),
    ],
)
def test_a_token_is_read(field: str, token: str | None) -> None:
    assert bearer_token(make_exchange(headers={"Authorization": field}).headers, "edge") == token


def test_no_authorization_is_no_token() -> None:
    assert bearer_token(make_exchange().headers, "edge") is None


@pytest.mark.parametrize(
    "field",
    [
        "Bearer",
        "Bearer ",
        "Bearer a b",
        "Bearer a,b",
        "Bearer a\tb",
        "Bearer\tabc",
        "Bearerabc",
        "\xa0Bearer abc",
        "bearer,abc",
        "Bearer é",
        "Bearer =",
        "Bearer " + "a" * (MAX_TOKEN + 1),
    ],
)
def test_what_is_no_token_is_refused(field: str) -> None:
    with pytest.raises(GatewayError) as raised:
        bearer_token(make_exchange(headers={"Authorization": field}).headers, "edge")
    assert raised.value.kind is Kind.UNAUTHENTICATED
    assert raised.value.headers["WWW-Authenticate"].startswith('Bearer realm="edge", error="invalid_token"')


def test_who_shows_nothing_is_told_the_scheme_alone() -> None:
    error = no_token("edge")
    assert (error.answer.status, error.headers) == (401, {"WWW-Authenticate": 'Bearer realm="edge"'})


def test_why_a_token_does_not_hold() -> None:
    error = invalid_token("edge", "the token has expired", "exp is 5")
    assert (error.detail, error.cause) == ("the token has expired", "exp is 5")
    assert error.headers == {
        "WWW-Authenticate": 'Bearer realm="edge", error="invalid_token", error_description="the token has expired"'
    }


def test_which_scopes_are_wanted() -> None:
    error = insufficient_scope("edge", ["b", "a"])
    assert error.answer.status == 403
    assert error.headers == {"WWW-Authenticate": 'Bearer realm="edge", error="insufficient_scope", scope="a b"'}
