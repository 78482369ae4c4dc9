"""A client stays where it was."""

from __future__ import annotations

from collections import Counter
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.testing import make_exchange
from gateway.upstreams.balance.sticky import StickyCookie, endpoint_id
from tests.support.choices import make_choices


def client(cookie: str | None = None) -> Exchange:
    return make_exchange(headers={} if cookie is None else {"Cookie": cookie})


def test_the_id_of_an_endpoint() -> None:
    assert endpoint_id("10.0.0.1:80") == blake2b(b"10.0.0.1:80").hexdigest()[:16]
    assert endpoint_id("10.0.0.1:81") != endpoint_id("10.0.0.1:80")


@pytest.mark.parametrize(
    ("max_age", "attributes"),
    [
        (None, "; Path=/; HttpOnly; SameSite=Lax"),
        (3600, "; Path=/; HttpOnly; SameSite=Lax; Max-Age=3600"),
        (0, "; Path=/; HttpOnly; SameSite=Lax; Max-Age=0"),
    ],
)
def test_a_new_client_is_given_an_endpoint(max_age: int | None, attributes: str) -> None:
    choices, balance, exchange = make_choices(1, 1), StickyCookie("at", max_age), client()
    assert balance.pick(choices, exchange, 0.0) is choices[0]
    assert exchange.cookie == f"at={endpoint_id('a')}{attributes}"


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 5))
def test_a_client_comes_back_to_its_endpoint(weights: list[int], others: int) -> None:
    choices, balance, first = make_choices(*weights), StickyCookie("at", None), client()
    for _ in range(others):
        balance.pick(choices, client(), 0.0)
    given_to = balance.pick(choices, first, 0.0)
    assert first.cookie is not None
    cookie = first.cookie.partition(";")[0]
    # Whatever has become of the order and the weights.
    choices = choices[::-1]
    for _ in range(others):
        again = client(f"theme=dark; {cookie}")
        assert balance.pick(choices, again, 0.0) is given_to
        assert again.cookie is None


@pytest.mark.parametrize("cookie", ["at=0123456789abcdef", "at=", "at=a", f"of={endpoint_id('b')}", "at"])
def test_a_cookie_that_names_nobody(cookie: str) -> None:
    choices, exchange = make_choices(1, 1), client(cookie)
    assert StickyCookie("at", None).pick(choices, exchange, 0.0) is choices[0]
    assert exchange.cookie is not None
    assert exchange.cookie.startswith(f"at={endpoint_id('a')};")


def test_an_endpoint_that_is_gone() -> None:
    choices, balance = make_choices(1, 1), StickyCookie("at", None)
    assert balance.pick(choices, client(f"at={endpoint_id('b')}"), 0.0) is choices[1]
    exchange = client(f"at={endpoint_id('b')}")
    assert balance.pick(choices[:1], exchange, 0.0) is choices[0]
    assert exchange.cookie is not None


def test_another_attempt_assigns_anew() -> None:
    choices, balance, exchange = make_choices(1, 1, 1), StickyCookie("at", None), client(f"at={endpoint_id('b')}")
    assert balance.pick(choices, exchange, 0.0) is choices[1]
    assert exchange.cookie is None
    second = balance.pick(choices, exchange, 0.0, choices[1:2])
    assert second in (choices[0], choices[2])
    assert exchange.cookie is not None
    assert exchange.cookie.startswith(f"at={endpoint_id(second.address)};")
    # Nobody else is left, and so the first is asked again: the client knows it already.
    assert balance.pick(choices, exchange, 0.0, choices) is None
    assert exchange.cookie is None
    assert balance.pick(choices, exchange, 0.0) is choices[1]
    assert exchange.cookie is None


@pytest.mark.parametrize("exchange", [None, client()])
def test_those_without_a_cookie_are_shared_out(exchange: Exchange | None) -> None:
    choices, balance = make_choices(2, 1), StickyCookie("at", None)
    assert Counter(balance.pick(choices, exchange, 0.0) for _ in range(6)) == {choices[0]: 4, choices[1]: 2}
