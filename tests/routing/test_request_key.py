"""What requests agree in, and where that puts them."""

from __future__ import annotations

from statistics import correlation

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.exchange import Headers
from gateway.routing.request_key import cookie_value, query_value, request_key, share_of, stable_hash
from gateway.testing import make_exchange


def headers(*fields: tuple[str, str]) -> Headers:
    return make_exchange(headers=fields).headers


@pytest.mark.parametrize(
    ("kind", "name", "key"),
    [
        ("header", "x-user", "ann"),
        ("header", "X-Empty", None),
        ("header", "X-None", None),
        ("cookie", "sid", "1"),
        ("cookie", "empty", None),
        ("cookie", "none", None),
        ("query", "q", "a b"),
        ("query", "empty", None),
        ("query", "none", None),
        ("capture", "id", "4%32"),
        ("capture", "empty", None),
        ("capture", "none", None),
        ("client_ip", "", "192.0.2.1"),
        ("path", "", "/items/4%32"),
    ],
)
def test_request_key(kind: str, name: str, key: str | None) -> None:
    exchange = make_exchange(
        path="/items/4%32?q=a%20b&q=c&empty=",
        headers=[("X-User", "ann"), ("X-User", "bob"), ("X-Empty", ""), ("Cookie", "sid=1; empty=")],
        captures={"id": "4%32", "empty": ""},
    )
    assert request_key(kind, name)(exchange) == key


def test_a_kind_that_no_request_has() -> None:
    with pytest.raises(ValueError, match="'colour'"):
        request_key("colour")


@pytest.mark.parametrize(
    ("cookies", "value"),
    [
        (["a=1"], "1"),
        (["b=2; a=1"], "1"),
        (["b=2;a=1"], "1"),
        (["b=2 ;\ta = 1 ; c=3"], "1"),
        (["a=1; a=2"], "1"),
        (["a=; a=2"], ""),
        (["a=1=2"], "1=2"),
        (['a="1"'], '"1"'),
        (["b=2", "a=1"], "1"),
        (["aa=1; b=a"], None),
        (["A=1"], None),
        (["a"], None),
        (["a; a=1"], "1"),
        (["\xa0a=1"], None),
        (["", ";;"], None),
        ([], None),
    ],
)
def test_cookie_value(cookies: list[str], value: str | None) -> None:
    assert cookie_value(headers(*(("Cookie", cookie) for cookie in cookies)), "a") == value


@pytest.mark.parametrize(
    ("query", "value"),
    [
        ("a=1", "1"),
        ("b=2&a=1&a=3", "1"),
        ("%61=%31+%2B", "1 +"),
        ("a", ""),
        ("a=1=2", "1=2"),
        ("aa=1&A=2", None),
        ("", None),
        ("&&", None),
    ],
)
def test_query_value(query: str, value: str | None) -> None:
    assert query_value(query, "a") == value


def test_hashes_never_change() -> None:
    assert stable_hash("ann") == 0x8D3ADF6ABF23F3A5
    assert share_of("ann") == pytest.approx(0.4762806783)


@given(st.text())
@example("\ud800")
def test_any_text_has_a_share(text: str) -> None:
    assert 0 <= share_of(text) < 1
    assert 0 <= stable_hash(text) < 1 << 64


def test_shares_are_even_and_say_nothing_about_the_ring() -> None:
    keys = [f"user-{number}" for number in range(2000)]
    shares = [share_of(key) for key in keys]
    for tenth in range(10):
        assert 140 < sum(tenth <= share * 10 < tenth + 1 for share in shares) < 260
    assert abs(correlation(shares, [float(stable_hash(key)) for key in keys])) < 0.1
