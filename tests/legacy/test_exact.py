"""Numbers keep their text, whichever side they come from."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.legacy.exact import number, parse, text_of, write

NUMBERS = [
    "0",
    "-0",
    "7",
    "9.990",
    "-1.50",
    "1E5",
    "1e-7",
    "1.0",
    "0.1",
    "1e22",
    "18446744073709551616",
    "-" + "9" * 40,
]
SCALARS = st.none() | st.booleans() | st.integers() | st.text()


@pytest.mark.parametrize("text", NUMBERS)
def test_a_number_comes_out_as_it_came(text: str) -> None:
    document = f'{{"a":[{text},{{"b":{text}}}]}}'.encode()

    assert write(parse(document)) == document
    assert write(number(text)) == text.encode()
    assert text_of(number(text)) == text


@pytest.mark.parametrize(
    ("text", "written"),
    [("007", "7"), ("+5", "5"), (".5", "0.5"), ("5.", "5"), ("-.50", "-0.50"), ("000", "0"), ("+00.10e+3", "0.10e+3")],
)
def test_what_xml_allows_besides_becomes_json(text: str, written: str) -> None:
    assert write(number(text)) == written.encode()


@pytest.mark.parametrize(
    "text", ["", ".", "-", "e5", "1e", "NaN", "INF", "0x1", "1,5", "1 2", "١", "1_0", "--1", "1e999", "1" * 1001]
)
def test_what_is_no_number(text: str) -> None:
    with pytest.raises(ValueError, match="not a number|out of range"):
        number(text)


@pytest.mark.parametrize(
    ("value", "kind"), [("5", int), ("9.5", float), ("9" * 18, int), ("0.25", float), ("1e3", "ExactNumber")]
)
def test_a_plain_number_is_a_plain_one(value: str, kind: Any) -> None:
    found = type(parse(value.encode()))
    assert found is kind or found.__name__ == kind


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "not JSON: Expecting value at line 1, column 1"),
        (b'{"a":1', "not JSON: Expecting ',' delimiter at line 1, column 7"),
        (b"[1] 2", "not JSON: Extra data at line 1, column 5"),
        (b'"\xff"', "not JSON: it is not UTF-8"),
        (b"\xef\xbb\xbf1", "not JSON: Unexpected UTF-8 BOM"),
        (b"[NaN]", "not JSON: NaN is no number"),
        (b"[-Infinity]", "not JSON: -Infinity is no number"),
        (b'{"a":1,"b":{"c":1,"c":2}}', "a key is there twice"),
        (b"[" * 100_000, "not JSON: nested too deeply"),
        (b"1" * 1001, "more than 1000 digits"),
        (b"1e999", "out of range"),
    ],
)
def test_what_is_no_json(data: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(data)


def test_only_json_values_are_written() -> None:
    with pytest.raises(TypeError, match="complex"):
        write(1j)


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (10**30, "1" + "0" * 30), (1.5, "1.5")])
def test_scalars_as_text(value: Any, text: str) -> None:
    assert text_of(value) == text


@settings(max_examples=30)
@given(st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8))
def test_parsing_agrees_with_the_standard_library(value: Any) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        data = text.encode()
    except UnicodeEncodeError:
        return
    assert json.loads(write(parse(data))) == value
