"""Expressions are checked when they are read, keep numbers as they were, and tell what they depend on."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.shaping.exact import parse, write
from gateway.shaping.pick import compile_pick, roots

PRODUCTS = b"""{"items": [
    {"id": 12345678901234567890123, "name": "b", "price": 9.990},
    {"id": 12345678901234567890122, "name": "a", "price": 1E1},
    {"id": -0, "name": "c", "price": 9.99}
]}"""


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("items[0].{id: id, price: price}", b'{"id":12345678901234567890123,"price":9.990}'),
        ("items[*].price", b"[9.990,1E1,9.99]"),
        ("sort_by(items, &price)[].price", b"[9.990,9.99,1E1]"),
        ("sort_by(items, &id)[].id", b"[-0,12345678901234567890122,12345678901234567890123]"),
        ("max_by(items, &price).price", b"1E1"),
        ("min_by(items, &id).id", b"-0"),
        ("max(items[*].price)", b"1E1"),
        ("sort(items[*].price)", b"[9.990,9.99,1E1]"),
        ("reverse(items[*].price)", b"[9.99,1E1,9.990]"),
        ("values(items[0])", b'[12345678901234567890123,"b",9.990]'),
        ("to_array(items[0].price)", b"[9.990]"),
        ("not_null(missing, items[0].price)", b"9.990"),
        ("merge(items[0], items[2])", b'{"id":-0,"name":"c","price":9.99}'),
        ("map(&price, items)", b"[9.990,1E1,9.99]"),
        ("to_number(items[0].price)", b"9.990"),
        ("to_string(items[0].price)", b'"9.990"'),
        ("to_string(items[1])", rb'"{\"id\":12345678901234567890122,\"name\":\"a\",\"price\":1E1}"'),
        ("items[?price == `9.99`].price", b"[9.990,9.99]"),
        ("items[?price > `9.99`].price", b"[1E1]"),
        ("items[?id == `12345678901234567890122`].name", b'["a"]'),
        ("sum(items[*].price) > `29`", b"true"),
        ("type(items[0].price)", b'"number"'),
        ("items[0].missing", b"null"),
        ("missing", b"null"),
    ],
)
def test_numbers_survive(expression: str, expected: bytes) -> None:
    assert write(compile_pick(expression)(parse(PRODUCTS))) == expected


def test_a_pick_is_known_by_its_text() -> None:
    pick = compile_pick("items[0]")

    assert pick.text == "items[0]"
    assert "items[0]" in repr(pick)


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("", "'' is not a JMESPath expression"),
        ("a b", "'a b' is not a JMESPath expression at character 3"),
        ("a.", "'a.' is not a JMESPath expression, it is cut off"),
        ("items[?price > `50]", "at character 16"),
        ("=", "at character 1"),
        ("lenght(a)", r"lenght\(\) is not a function of JMESPath, which has abs"),
        ("length()", r"length\(\) has 0 arguments, and takes 1"),
        ("abs(a, b)", r"abs\(\) has 2 arguments, and takes 1"),
        ("merge()", r"merge\(\) has 0 arguments, and takes at least 1"),
        ("sort_by(items, price)", r"argument 2 of sort_by\(\) is an expression: write it with '&'"),
        ("&a", "'&' stands only before"),
        ("to_array(&a)", "'&' stands only before"),
        ("a[?&b]", "'&' stands only before"),
        ("items[::0]", "the step of a slice is not 0"),
        ('`"\\ud800"`', "not Unicode"),
        ("(" * 2000, "nested too deeply"),
        ("a" + " || a" * 2000, "nested too deeply"),
        ("!" * 2000 + "a", "nested too deeply"),
    ],
    ids=lambda text: text[:20],
)
def test_mistakes_are_found_when_it_is_read(expression: str, message: str) -> None:
    for read in (compile_pick, roots):
        with pytest.raises(ConfigError, match=message):
            read(expression)


@given(
    st.text(max_size=12)
    | st.lists(st.sampled_from([*"abs(){}[]`'\"&|!?:,.@*-10 =<>\\"]), max_size=12).map("".join)
    | st.text("[]:-0123456789?*", max_size=8)
)
def test_any_text_is_an_expression_or_a_mistake(text: str) -> None:
    try:
        pick = compile_pick(text)
    except ConfigError:
        return
    with contextlib.suppress(ValueError):
        write(pick({"a": [1, {"b": "s"}], "b": None}))


def test_old_literals_are_still_read() -> None:
    assert compile_pick("a == `text`")({"a": "text"}) is True


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("sum(secret)", r"sum\(\) takes array-number, not string"),
        ("sort_by(list, &@)", r"sort_by\(\) takes string or number, not object"),
        ("secret > `1`", "does not fit the value"),
        ("contains(secret, list)", "does not fit the value"),
        ("ceil(to_number('inf'))", "does not fit the value"),
    ],
)
def test_what_fails_shows_no_data(expression: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as failed:
        compile_pick(expression)({"secret": "hunter2", "list": [{"password": "hunter2"}, 1]})

    assert "hunter2" not in str(failed.value)
    assert failed.value.__suppress_context__


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("product", "product"),
        ("product.stock > `0`", "product"),
        ("product.related[*].id", "product"),
        ("product.related[?id != seller].name", "product"),
        ("product || seller.name", "product seller"),
        ("product && !seller", "product seller"),
        ("{a: product.id, b: [seller, `1`]}", "product seller"),
        ("[product, seller][0].name", "product seller"),
        ("@.product", "product"),
        ("@ | product | seller", "product"),
        ("(@).{a: product}", "product"),
        ("@.[product, @.seller.name]", "product seller"),
        ("sort_by(product.items, &price)", "product"),
        ("map(&@, product)", "product"),
        ("contains(product.tags, seller.tag)", "product seller"),
        ("product.*.name", "product"),
        ("product[]", "product"),
        ("product[0][1:]", "product"),
        ("product.items[*].{all: @, values: *}", "product"),
        ("`true`", ""),
        ('`{"product": 1}`.product', ""),
        ('"the product"', "the product"),
    ],
)
def test_roots(expression: str, expected: str) -> None:
    assert roots(expression) == frozenset({expected} if expected.startswith("the ") else expected.split())


@pytest.mark.parametrize(
    "expression",
    [
        *["@", "*", "*.name", "keys(@)", "[@]", "{a: @}", "product || @", "@ && product", "!@", "@ == product", "[0]"],
        *["[]", "[*]", "[?product]", "[:1]", "@.*", "@ | @", "@ | *", "product && keys(@)", "(@)[0]", "map(&a, @)"],
    ],
)
def test_roots_of_what_reads_all(expression: str) -> None:
    with pytest.raises(ConfigError, match="reads? all there is"):
        roots(expression)


@pytest.mark.parametrize(
    "expression", ["product.a", "[product, seller.b]", "product.items[?a > `1`] || seller", "@.product | a"]
)
def test_roots_are_enough(expression: str) -> None:
    whole = {"product": {"a": 1, "items": [{"a": 2}]}, "seller": {"b": 2}, "reviews": [1]}
    needed = {name: value for name, value in whole.items() if name in roots(expression)}

    assert compile_pick(expression)(needed) == compile_pick(expression)(whole)
