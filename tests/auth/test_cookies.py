"""The session's cookie among others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.cookies import SessionCookie
from gateway.auth.session_options import LoginOptions, SessionOptions
from gateway.errors import GatewayError, Kind
from gateway.testing import make_exchange
from gateway.wire.head import RequestHead

NAME = "__Host-session"
COOKIE = SessionCookie(SessionOptions(LoginOptions("auth")), "gate")


def headers(*fields: str) -> RequestHead:
    found = make_exchange(headers=[("Cookie", field) for field in fields]).headers
    assert isinstance(found, RequestHead)
    return found


def test_it_is_for_this_host_alone_and_for_no_script() -> None:
    assert COOKIE.given("abc") == "__Host-session=abc; Path=/; Secure; HttpOnly; SameSite=Lax"
    assert COOKIE.cleared == "__Host-session=; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=0"


def test_attributes_by_option() -> None:
    plain = SessionCookie(SessionOptions(LoginOptions("auth"), cookie="s", secure=False, same_site="Strict"), "gate")

    assert plain.given("abc") == "s=abc; Path=/; HttpOnly; SameSite=Strict"


@pytest.mark.parametrize(
    ("fields", "value", "others"),
    [
        ([], None, None),
        (["a=1"], None, None),
        ([f"{NAME}=x"], "x", []),
        ([f"{NAME}=x; a=1"], "x", ["a=1"]),
        ([f"a=1; {NAME}=x"], "x", ["a=1"]),
        ([f"a=1; {NAME}=x;b=2 ;  c"], "x", ["a=1;b=2 ;  c"]),
        ([f"a=1;{NAME} = x ; b=2"], "x", ["a=1; b=2"]),
        ([f"\t{NAME}\t=\tx\t;a=1"], "x", ["a=1"]),
        ([f"{NAME}="], "", []),
        ([NAME], "", []),
        ([f"{NAME}=x=y"], "x=y", []),
        ([f'{NAME}="x"'], '"x"', []),
        ([f"a={NAME}=x"], None, None),
        ([f"a={NAME}; {NAME}=x"], "x", [f"a={NAME}"]),
        ([f"x{NAME}=1; {NAME}x=2"], None, None),
        ([f"{NAME.lower()}=x"], None, None),
        (["a=1", f"{NAME}=x; b=2", "c=3"], "x", ["a=1", "b=2", "c=3"]),
        (["a=1", f"{NAME}=x"], "x", ["a=1"]),
        ([f"a=\xe9\xff; {NAME}=x; b=\x80"], "x", ["a=\xe9\xff; b=\x80"]),
    ],
)
def test_read(fields: list[str], value: str | None, others: list[str] | None) -> None:
    assert COOKIE.read(headers(*fields)) == (value, others)


@pytest.mark.parametrize(
    "fields",
    [
        [f"{NAME}=x; {NAME}=x"],
        [f"{NAME}=x; a=1; {NAME}=y"],
        [f"{NAME}=x", f"{NAME}=y"],
        [f"{NAME}=x;{NAME}"],
        [f"{NAME}; a=1; \t{NAME} =x"],
    ],
)
def test_two_of_them_are_refused(fields: list[str]) -> None:
    with pytest.raises(GatewayError, match="comes twice") as caught:
        COOKIE.read(headers(*fields))

    assert (caught.value.kind, caught.value.answer.status) == (Kind.UNAUTHENTICATED, 400)
    assert "Set-Cookie" not in caught.value.headers, "the planted one might be the one that stays"


@pytest.mark.parametrize("others", [[], ["a=1"], ["a=\xe9; b=2", "c"]])
def test_what_is_left_goes_on(others: list[str]) -> None:
    head = headers("a=1", f"{NAME}=x")

    COOKIE.leave(head, others)

    assert head.get_all("cookie") == others
    assert NAME.encode() not in head.text()


PIECES = st.lists(
    st.sampled_from(["a=1", f"{NAME}x=1", f"a={NAME}=1", " b = 2 ", "", " ", "c", f"x {NAME}=1", "\xff=\xfe"])
)


@given(before=PIECES, after=PIECES, padding=st.sampled_from(["", " ", "\t "]))
def test_the_others_stay_byte_for_byte(before: list[str], after: list[str], padding: str) -> None:
    field = ";".join([*before, f"{padding}{NAME}{padding}={padding}x{padding}", *after])

    value, others = COOKIE.read(headers(field))

    assert value == "x"
    assert ";".join(others or []).strip(" \t") == ";".join([*before, *after]).strip(" \t")


def test_without_a_session_there_is_a_challenge() -> None:
    error = COOKIE.missing(sent=False)

    assert (error.kind, error.answer.status) == (Kind.UNAUTHENTICATED, 401)
    assert error.headers == {
        "WWW-Authenticate": 'Cookie realm="gate", form-action="/login", cookie-name="__Host-session"'
    }
    assert COOKIE.missing(sent=True).headers["Set-Cookie"] == COOKIE.cleared
