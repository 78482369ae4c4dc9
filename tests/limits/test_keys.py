"""What requests are counted by; who leaves a header out or changes an address within a /64 gains nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits import keys
from gateway.limits.keys import ADDRESSES, NETWORKS, Networks, client, key_of, key_text, network
from gateway.testing import make_exchange

SAFE = re.compile(r"[A-Za-z0-9._:@/#|~-]+")


def text(*parts: str, **request: Any) -> str:
    return key_text(parts, key_of(parts)(make_exchange(**request)))


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::FFFF:c000:201", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:0DB8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("unix:/run/x", "unix:/run/x"),
        ("nonsense::%", "nonsense::%"),
        ("::\x00", "::\x00"),
    ],
)
def test_an_address_is_counted_by_its_network(address: str, counted: str) -> None:
    assert network(address) == counted
    assert client(make_exchange(client_ip=address)) == counted


def test_an_address_is_worked_out_once_and_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(keys, "network", lambda address: asked.append(address) or network(address))
    networks = Networks()
    assert [networks["2001:db8::1"] for _ in range(3)] == ["2001:db8::/64"] * 3
    assert asked == ["2001:db8::1"]
    for number in range(ADDRESSES + 10):
        assert networks[f"2001:db8::{number:x}"] == "2001:db8::/64"
    assert len(networks) <= ADDRESSES
    assert isinstance(NETWORKS, Networks)


def test_each_way_to_count() -> None:
    known = {"principal": "ada", "claims": {"client_id": "app", "org": {"id": 7}, "flag": False, "sub": "ada"}}
    assert text("client_ip") == "192.0.2.1"
    assert text("route", route="items") == "items"
    assert text("principal", **known) == "ada"
    assert text("consumer", **known) == "app"
    assert text("claim:sub", **known) == "ada"
    assert text("claim:org.id", **known) == "7"
    assert text("claim:flag", **known) == "false"
    assert text("claim:org", **known).startswith("#")
    assert text("route", "principal", **known) == "test|ada"


@pytest.mark.parametrize("part", ["principal", "consumer", "header:X-Tenant", "claim:sub"])
def test_what_is_not_there_is_counted_by_address_in_a_space_of_its_own(part: str) -> None:
    function = key_of((part,))
    missing = function(make_exchange())
    assert missing == function(make_exchange(headers={"X-Tenant": ""}, principal="", claims={"sub": ""}))
    assert missing != function(make_exchange(client_ip="192.0.2.2"))
    assert missing == function(make_exchange(client_ip="::ffff:192.0.2.1"))
    for forged in ("192.0.2.1", "~192.0.2.1", "('192.0.2.1',)"):
        claims = {"sub": forged, "consumer": forged}
        present = make_exchange(headers={"X-Tenant": forged}, principal=forged, claims=claims)
        assert function(present) != missing
        assert key_text((part,), function(present)) != key_text((part,), missing) == "~192.0.2.1"


def test_a_header_is_read_in_any_case_and_the_first_one_counts() -> None:
    function = key_of(("header:X-Tenant",))
    assert function(make_exchange(headers=[("x-tenant", "a"), ("X-TENANT", "b")])) == "a"


def test_a_header_is_never_readable_and_a_long_one_not_even_kept() -> None:
    secret = "k3y-0123456789"
    shown = text("header:X-Api-Key", headers={"X-Api-Key": secret})
    assert secret not in shown
    assert re.fullmatch("#[0-9a-f]{32}", shown)
    assert shown == text("header:x-api-key", headers={"X-Api-Key": secret}), "another process hashes differently"
    long = key_of(("header:X-Api-Key",))(make_exchange(headers={"X-Api-Key": "x" * 5000}))
    assert isinstance(long, bytes)
    assert len(long) == 16


VALUES = st.one_of(st.none(), st.text(max_size=80), st.sampled_from(["~a", "a|b", "#00", "{a}", "192.0.2.1"]))


@given(st.lists(st.tuples(VALUES, VALUES, VALUES), min_size=2, max_size=2))
def test_no_two_keys_are_one(two: list[tuple[str | None, ...]]) -> None:
    parts = ("principal", "claim:sub", "consumer")
    function = key_of(parts)
    made, told = [], []
    for principal, subject, consumer in two:
        exchange = make_exchange(principal=principal, claims={"sub": subject, "consumer": consumer})
        made.append(function(exchange))
        told.append(key_text(parts, made[-1]))
        assert SAFE.fullmatch(told[-1])
        assert len(told[-1]) < 250
    same = [value or None for value in two[0]] == [value or None for value in two[1]]
    assert (made[0] == made[1]) == (told[0] == told[1]) == same
