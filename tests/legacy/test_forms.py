"""Forms read and written, exactly and within limits."""

from __future__ import annotations

import tracemalloc
from typing import Any
from urllib.parse import parse_qsl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.legacy.forms import FIELDS, FormCodec
from gateway.legacy.options import FormOptions
from gateway.shaping.exact import parse

FORM = "application/x-www-form-urlencoded"
CODEC = FormCodec(FormOptions(), 1 << 20)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=1&b=2&a=3&a=", {"a": ["1", "3", ""], "b": "2"}),
        (b"a&b=&=c&&d==e", {"a": "", "b": "", "": "c", "d": "=e"}),
        (b"a=&a=", {"a": ["", ""]}),
        (b"a+b=c%20d%2B%26%3D", {"a b": "c d+&="}),
        (b"a=%C3%A9&b=\xc3\xa9", {"a": "é", "b": "é"}),
        (b"a=%zz&b=%&c=%4", {"a": "%zz", "b": "%", "c": "%4"}),
        (b"a[]=1&a[b]=2&c.d=3;e=4", {"a[]": "1", "a[b]": "2", "c.d": "3;e=4"}),
        (b"a=%00", {"a": "\x00"}),
    ],
)
def test_read(body: bytes, value: Any) -> None:
    assert CODEC.decode(body, FORM) == value
    assert list(CODEC.decode(body, FORM)) == list(value)


def test_lists_that_are_named() -> None:
    codec = FormCodec(FormOptions(lists=("a", "c")), 100)
    assert codec.decode(b"a=1&b=2", f"{FORM}; charset=UTF-8") == {"a": ["1"], "b": "2"}


@pytest.mark.parametrize(
    ("body", "content_type", "said"),
    [
        (b"a=%FF", FORM, "a text that is not UTF-8"),
        (b"\xff=a", FORM, "a text that is not UTF-8"),
        (b"a=%ED%A0%80", FORM, "a text that is not UTF-8"),
        (b"a=1", f"{FORM}; charset=latin1", "in UTF-8 alone"),
        (b"&" * FIELDS, FORM, f"more than {FIELDS} fields"),
    ],
)
def test_not_read(body: bytes, content_type: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CODEC.decode(body, content_type)


@pytest.mark.parametrize(
    ("json", "body"),
    [
        (b"{}", b""),
        (b'{"b":"x y&z=","a":["1",2,true,false,9.990,null]}', b"b=x+y%26z%3D&a=1&a=2&a=true&a=false&a=9.990"),
        (b'{"a":null,"b":[],"c":""}', b"c="),
        ('{"é":"ü"}'.encode(), b"%C3%A9=%C3%BC"),
        (b'{"a":123456789012345678901234567890}', b"a=123456789012345678901234567890"),
        (b'{"a\\r\\n":"\\r\\n"}', b"a%0D%0A=%0D%0A"),
    ],
)
def test_written(json: bytes, body: bytes) -> None:
    assert CODEC.encode(parse(json)) == (body, FORM)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ([], "an object of fields"),
        (None, "an object of fields"),
        ({"a": {}}, "cannot hold what is in 'a'"),
        ({"a": [[]]}, "cannot hold what is in 'a'"),
        ({"a": "\ud800"}, "not Unicode"),
        ({"\ud800": "a"}, "not Unicode"),
    ],
)
def test_not_written(value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        CODEC.encode(value)


def test_a_long_name_of_many_values_is_not_written_again_and_again() -> None:
    value = {"a" * 100_000: ["x"] * 100_000}
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="longer than 1048576 bytes"):
            CODEC.encode(value)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


TEXT = st.text("ab &=+%;é\x00\n\u20ac\U0010ffff", max_size=5)


@settings(max_examples=50)
@given(st.dictionaries(TEXT, TEXT | st.lists(TEXT, min_size=2)))
def test_a_value_survives(value: dict[str, Any]) -> None:
    body, content_type = CODEC.encode(value)
    assert CODEC.decode(body, content_type) == value
    assert body.isascii()


@settings(max_examples=30)
@given(st.lists(st.tuples(TEXT, TEXT)))
def test_python_reads_the_same(pairs: list[tuple[str, str]]) -> None:
    fields: dict[str, list[str]] = {}
    for name, value in pairs:
        fields.setdefault(name, []).append(value)
    body, _ = CODEC.encode(fields)
    assert parse_qsl(body.decode(), keep_blank_values=True) == [(name, one) for name in fields for one in fields[name]]


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        value = CODEC.decode(body, FORM)
    except ValueError:
        return
    assert CODEC.decode(*CODEC.encode(value)) == value
