"""`when` and `foreach`: what they read, and what they come to."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.compose.expression import Expression
from gateway.compose.template import MISSING, Scope, UnknownName
from gateway.errors import ConfigError
from gateway.shaping.exact import parse, write
from gateway.testing import make_exchange

SCOPE = Scope(frozenset(["id"]), {"product": 0, "seller": 1}, "item")


class Filled:
    def __init__(self, *parts: Any, **more: Any) -> None:
        self.exchange = make_exchange(captures={"id": "4%202"}, **more)
        self._parts = parts

    def part(self, number: int) -> Any:
        return self._parts[number] if number < len(self._parts) else MISSING


VALUES = Filled(
    parse(b'{"stock":3,"related":[{"id":1,"price":9.990},{"id":2,"price":1.10}],"zero":0.0,"none":null,"no":false}'),
    path="/p?page=2&tag=a&tag=b&empty=",
    principal="ann",
    claims={"role": "admin", "https://x/y": 1},
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("product.stock", b"3"),
        ("product.related[].id", b"[1,2]"),
        ("product.related[].price", b"[9.990,1.10]"),
        ("id", b'"4 2"'),
        ("query.page", b'"2"'),
        ("query.tag", b'["a","b"]'),
        ("principal", b'"ann"'),
        ("claims.role", b'"admin"'),
        ('claims."https://x/y"', b"1"),
        ("seller", b"null"),
        ("[id, product.stock]", b'["4 2",3]'),
        ("product.stock && query.none", b"null"),
    ],
)
def test_what_it_reads(text: str, value: bytes) -> None:
    assert write(Expression(text, SCOPE).value(VALUES)) == value


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("product.stock > `2`", True),
        ("product.stock > `3`", False),
        ("product.stock", True),
        ("product.zero", True),
        ("product.none", False),
        ("product.no", False),
        ("query.empty", False),
        ("query.page", True),
        ("seller.name", False),
        ("product.related[?id == `9`]", False),
        ("product.related[?id == `1`]", True),
        ("claims.role == 'admin'", True),
        ("!(product.none)", True),
        ("query", True),
    ],
)
def test_what_is_true(text: str, holds: bool) -> None:
    assert Expression(text, SCOPE).holds(VALUES) is holds


def test_an_empty_object_is_not_true() -> None:
    assert Expression("query", SCOPE).holds(Filled()) is False
    assert Expression("claims", SCOPE).holds(Filled()) is False
    assert Expression("principal", SCOPE).holds(Filled()) is False


def test_the_parts_it_needs() -> None:
    assert Expression("product.a && seller.b || id", SCOPE).parts == {0, 1}
    assert Expression("query.page", SCOPE).parts == set()
    assert repr(Expression("id", SCOPE)) == "<Expression id>"


def test_a_part_goes_before_what_the_request_has() -> None:
    scope = Scope(frozenset(["claims"]), {"principal": 0})
    values = Filled("part")
    values.exchange.captures = {"claims": "capture"}
    assert Expression("[principal, claims]", scope).value(values) == ["part", "capture"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a..b", "'a..b' is not a JMESPath expression at character 3"),
        ("product.a >", "is not a JMESPath expression"),
        ("nosuch(product)", "nosuch() is not a function of JMESPath"),
        ("@", "name the fields"),
        ("keys(@)", "name the fields"),
        ("`true`", "reads nothing of the request and of other parts, so it is always the same"),
        ("item.id", "nothing is called 'item' in {item.id}"),
        ("header.x", "nothing is called 'header'"),
    ],
)
def test_what_is_wrong(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Expression(text, SCOPE)
    assert said in str(caught.value)


def test_an_unknown_name_brings_those_that_are_known() -> None:
    with pytest.raises(UnknownName) as caught:
        Expression("prodct.id", SCOPE)
    assert (caught.value.name, caught.value.names) == (
        "prodct",
        ["id", "product", "seller", "claims", "principal", "query"],
    )


def test_a_function_that_gets_what_it_cannot_take() -> None:
    with pytest.raises(ValueError, match="sum"):
        Expression("sum(product)", SCOPE).value(VALUES)
