"""What holds for every algorithm."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.exchange import Exchange
from gateway.routing.request_key import request_key
from gateway.testing import make_exchange
from gateway.upstreams.balance.balancer import Balancer
from gateway.upstreams.balance.ewma import Ewma
from gateway.upstreams.balance.hash_ring import HashRing
from gateway.upstreams.balance.least_request import LeastRequest
from gateway.upstreams.balance.random_choice import RandomChoice
from gateway.upstreams.balance.round_robin import RoundRobin
from gateway.upstreams.balance.sticky import StickyCookie, endpoint_id
from tests.support.choices import FakeChoice, make_choices

ALGORITHMS: dict[str, Callable[[], Balancer]] = {
    "round_robin": RoundRobin,
    "random": RandomChoice,
    "least_request": LeastRequest,
    "ewma": Ewma,
    "hash": lambda: HashRing(request_key("header", "x-user")),
    "hash_bounded": lambda: HashRing(request_key("header", "x-user"), max_load=1.25),
    "sticky": lambda: StickyCookie("at", 60),
}
EXCHANGES = [
    None,
    make_exchange(),
    make_exchange(headers={"X-User": "ann", "Cookie": f"at={endpoint_id('a')}"}),
    make_exchange(headers={"X-User": "bob", "Cookie": f"at={endpoint_id('c')}"}),
]

weights = st.integers(1, 500)
seen_choices = st.lists(st.builds(FakeChoice, st.sampled_from("abcdef"), weights, st.integers(0, 9)), max_size=6)
# What is asked: by whom, and the addresses to avoid.
asked = st.lists(st.tuples(st.sampled_from(EXCHANGES), st.sets(st.sampled_from("abcdef"))), max_size=8)

each_algorithm = pytest.mark.parametrize("make", ALGORITHMS.values(), ids=ALGORITHMS)


@each_algorithm
@given(history=st.lists(st.tuples(seen_choices, asked), max_size=4))
def test_picks_what_is_left(
    make: Callable[[], Balancer], history: list[tuple[list[FakeChoice], list[tuple[Exchange | None, set[str]]]]]
) -> None:
    balance = make()
    now = 0.0
    for choices, asks in history:
        for exchange, addresses in asks:
            now += 1.0
            avoid = [choice for choice in choices if choice.address in addresses]
            left = [choice for choice in choices if choice not in avoid]
            picked = balance.pick(choices, exchange, now, avoid)
            assert picked in left if left else picked is None


@each_algorithm
@pytest.mark.parametrize("exchange", EXCHANGES)
def test_nothing_to_choose_from(make: Callable[[], Balancer], exchange: Exchange | None) -> None:
    balance = make()
    assert balance.pick((), exchange, 0.0) is None
    choices = make_choices(1, 2)
    assert balance.pick(choices, exchange, 0.0, choices) is None
    assert balance.pick((), exchange, 0.0) is None
    assert balance.pick(choices, exchange, 0.0) in choices


@each_algorithm
def test_everyone_has_a_turn(make: Callable[[], Balancer]) -> None:
    balance, choices = make(), make_choices(1, 2, 1)
    users = [make_exchange(headers={"X-User": f"user-{number}"}) for number in range(200)]
    assert {balance.pick(choices, user, 0.0) for user in users} == set(choices)
