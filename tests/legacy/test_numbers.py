"""Numbers keep their text, whichever side they come from."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.legacy.numbers import number, text_of
from gateway.shaping.exact import parse, write

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


@pytest.mark.parametrize(("text", "kind"), [("5", int), ("9.5", float), ("9" * 18, int), ("0.25", float)])
def test_a_plain_number_is_a_plain_one(text: str, kind: type) -> None:
    assert type(number(text)) is kind


@pytest.mark.parametrize(("value", "text"), [(True, "true"), (False, "false"), (10**30, "1" + "0" * 30), (1.5, "1.5")])
def test_scalars_as_text(value: Any, text: str) -> None:
    assert text_of(value) == text
