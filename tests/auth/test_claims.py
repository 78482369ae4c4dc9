"""What claims become."""

from typing import Any

import pytest

from gateway.auth.claims import claim, claim_headers, consumer_of, roles_of, scopes_of, set_identity, words
from gateway.testing import make_exchange


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("sub", "5"),
        ("realm_access.roles", ["a"]),
        ("a.b", 1),
        ("none", None),
        ("sub.x", None),
        ("realm_access.x.y", None),
    ],
)
def test_a_claim_by_name_or_by_dots(name: str, found: Any) -> None:
    claims = {"sub": "5", "realm_access": {"roles": ["a"]}, "a.b": 1, "a": {"b": 2}}

    assert claim(claims, name) == found


@pytest.mark.parametrize(
    ("value", "found"), [("a b  a", {"a", "b"}), (["a", 1, "b"], {"a", "b"}), (None, set()), (5, set()), ({}, set())]
)
def test_words(value: Any, found: set[str]) -> None:
    assert words(value) == found


def test_scopes_and_roles_in_both_spellings() -> None:
    assert scopes_of({"scope": "a b"}) == scopes_of({"scp": ["a", "b"]}) == {"a", "b"}
    assert roles_of({"roles": ["x"], "realm_access": {"roles": ["y"]}}) == {"x", "y"}


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"consumer": "a", "azp": "b"}, "a"),
        ({"client_id": "b"}, "b"),
        ({"azp": "c"}, "c"),
        ({"azp": 5}, None),
        ({}, None),
    ],
)
def test_the_consumer(claims: dict[str, Any], found: str | None) -> None:
    exchange = make_exchange()
    assert consumer_of(exchange) is None
    exchange.claims = claims
    assert consumer_of(exchange) == found


def test_claims_as_headers() -> None:
    claims = {"sub": "5", "n": 7, "on": True, "roles": ["a", "b", 3], "deep": {"er": [{"x": 1}]}, "name": " Zoë "}
    names = {
        "sub": "X-User-Id",
        "n": "X-N",
        "on": "X-On",
        "roles": "X-Roles",
        "deep": "X-Deep",
        "name": "X-Name",
        "no": "X-No",
    }

    assert claim_headers(claims, names) == (
        ("X-User-Id", "5"),
        ("X-N", "7"),
        ("X-On", "true"),
        ("X-Roles", "a,b,3"),
        ("X-Deep", '{"er":[{"x":1}]}'),
        ("X-Name", "Zoë".encode().decode("latin-1")),
    )


def test_two_claims_never_become_one_header() -> None:
    exchange = make_exchange()
    values: list[Any] = ["好", "å¥½", ["a,b"], ["a", "b"]]
    told = []
    for value in values:
        exchange.headers.remove("X-A")
        exchange.headers.add_all(claim_headers({"a": value}, {"a": "X-A"}))
        told.append(exchange.headers.raw(b"x-a"))

    assert told == ["好".encode(), "å¥½".encode(), b'["a,b"]', b"a,b"]


@pytest.mark.parametrize("value", ["a\r\nX-Admin: 1", "a\0", ["a\nb"], "\x7f"])
def test_a_claim_that_would_be_another_header_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="control character"):
        claim_headers({"sub": value}, {"sub": "X-User-Id"})


def test_the_identity_of_a_request() -> None:
    exchange = make_exchange()
    set_identity(exchange, "5", {"sub": "5"}, (("X-User-Id", "5"),))

    assert (exchange.principal, exchange.claims) == ("5", {"sub": "5"})
    assert exchange.headers.get("x-user-id") == "5"


def test_of_two_identities_the_later_one_is_told() -> None:
    exchange = make_exchange()
    set_identity(exchange, "5", {"sub": "5"}, (("X-User-Id", "5"), ("X-Role", "a")))
    set_identity(exchange, "6", {}, (("x-user-id", "6"),))

    assert (exchange.principal, exchange.headers.get_all("X-User-Id")) == ("6", ["6"])
    assert exchange.headers.get("X-Role") == "a"
