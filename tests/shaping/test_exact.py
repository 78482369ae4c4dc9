"""JSON is read and written without a digit lost, and what is no JSON, or two readings of it, is refused."""

from __future__ import annotations

import itertools
import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.shaping.exact import MOST_DIGITS, MOST_LEVELS, NotJson, parse, verify, write

# Texts, some of which orjson spells as they stand, and some otherwise.
PLAIN = ["0", "1", "-1", "42", "1.5", "0.1", "9007199254740993", "18446744073709551615", "-9223372036854775808"]
ODD = ["9.990", "1E5", "1e5", "-0", "-0.0", "1.0", "1e22", "1e+22", "0.000001", "1e-400", "18446744073709551616"]
ODD += ["-9223372036854775809", "12345678901234567890123", "9007199254740993.0", "1e-7", "0e0", "0." + "1" * 998]
NUMBERS = st.one_of(
    st.sampled_from(PLAIN + ODD),
    st.integers().map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.from_regex(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?([eE][+-]?[0-9]{1,2})?", fullmatch=True),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8) | st.sampled_from(
    ['a"b', " ", "a: b", ', "', "[{", "\\", "\\u003a", "1.50", "-0", "\ufeff", "é", "\U0001f600", "\x7f\u2028"]
)
# A token is a pair: how it may come, and how it is written.
Token = tuple[str, str]
BLANKS = st.sampled_from(["", "", "", " ", "\n  ", "\t", "\r\n"])


def spellings(text: str) -> st.SearchStrategy[Token]:
    written = orjson.dumps(text).decode()
    ascii_only = json.dumps(text)
    return st.sampled_from([written, written, ascii_only, ascii_only.replace("/", "\\/")]).map(
        lambda came: (came, written)
    )


def same(text: str) -> Token:
    return text, text


def listed(items: list[list[Token]]) -> list[Token]:
    separated = itertools.chain.from_iterable([same(","), *item] for item in items)
    return [same("["), *list(separated)[1:], same("]")]


def membered(names: list[str]) -> st.SearchStrategy[list[Token]]:
    members = [st.tuples(spellings(name), VALUES) for name in names]
    return st.tuples(*members).map(
        lambda pairs: [
            same("{"),
            *list(
                itertools.chain.from_iterable([same(","), name, same(":"), *item] for name, item in pairs),
            )[1:],
            same("}"),
        ]
    )


SCALARS = (NUMBERS.map(same) | TEXTS.flatmap(spellings) | st.sampled_from(["true", "false", "null"]).map(same)).map(
    lambda token: [token]
)
VALUES: st.SearchStrategy[list[Token]] = st.deferred(
    lambda: (
        SCALARS | st.lists(VALUES, max_size=4).map(listed) | st.lists(TEXTS, max_size=4, unique=True).flatmap(membered)
    )
)


@st.composite
def documents(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A document as it may come, and as it is written."""
    tokens = draw(VALUES)
    came = "".join(draw(BLANKS) + token for token, _ in tokens) + draw(BLANKS)
    return came.encode(), "".join(written for _, written in tokens).encode()


def reference(data: bytes) -> Any:
    """What the standard library reads, slowly, with every rule checked by itself. ValueError for what breaks one."""

    def unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(members)) != len(members):
            raise ValueError("duplicate")
        return dict(members)

    def bounded(text: str) -> float:
        if len(text) > MOST_DIGITS or math.isinf(float(text)):
            raise ValueError("number")
        return float(text)

    def whole(text: str) -> int:
        bounded(text)
        return int(text)

    def constant(text: str) -> Any:
        raise ValueError(text)

    if data.startswith(b"\xef\xbb\xbf"):
        raise ValueError("mark")
    value = json.loads(
        data.decode(), object_pairs_hook=unique, parse_float=bounded, parse_int=whole, parse_constant=constant
    )
    json.dumps(value, ensure_ascii=False).encode()
    if levels(value) > MOST_LEVELS:
        raise ValueError("depth")
    return value


def levels(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(levels, value), default=0) if isinstance(value, list) else 0


def refusal(judge: Any, data: bytes) -> bool:
    try:
        judge(data)
    except ValueError:
        return True
    return False


@given(documents())
def test_what_is_read_is_written_as_it_was(document: tuple[bytes, bytes]) -> None:
    came, written = document

    value = parse(came)

    verify(came)
    assert write(value) == written
    assert value == reference(came)
    assert write(parse(written)) == written


@given(
    documents(),
    st.lists(
        st.tuples(
            st.integers(0, 10_000),
            st.integers(0, 3),
            st.sampled_from([b"", b'"', b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b"e", b" ", b'"a":1,', b"\\"])
            | st.binary(max_size=2),
        ),
        max_size=3,
    ),
)
@example((b'{"a":1,"a":1.0}', b""), [])
@example((b'{"a:b":1,"c":2.0,"c":3}', b""), [])
@example((b'{"\\u003a":1,"c":2.0,"c":3}', b""), [])
@example((b'{"\\u003A":1,"c":2,"c":3}', b""), [])
@example((b'{"a":1,"\\u0061":2}', b""), [])
@example((b'["\\ud800"]', b""), [])
@example((b'["\\ud83d\\ude00", 1.0]', b""), [])
def test_all_agree_on_what_is_json(document: tuple[bytes, bytes], changes: list[tuple[int, int, bytes]]) -> None:
    data = document[0]
    for place, length, put in changes:
        place %= len(data) + 1
        data = data[:place] + put + data[place + length :]

    refused = refusal(reference, data)

    assert refusal(parse, data) == refused
    assert refusal(verify, data) == refused
    if not refused:
        assert parse(data) == reference(data)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b" ",
        b"{",
        b'{"a":1',
        b'{"a":1}x',
        b"1 2",
        b"[1,]",
        b"01",
        b"+1",
        b"1.",
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e400",
        b"-1e99999999999999999999",
        b"\xef\xbb\xbf{}",
        b'"\xff"',
        b'"\xed\xa0\x80"',
        b'"\\ud800"',
        b'"\\udc00x"',
        b'"\x00"',
        b'"\n"',
        b"'a'",
        b'{"a":1,"a":1}',
        b'[{"a":{"b":1,"c":[],"b":1}}]',
        b'{"a": 9.990, "a": 9.990}',
        b'{"a":1,"\\u0061":1}',
        b'{"":0,"":0}',
        b"<html></html>",
        "[\u00a01]".encode(),
        "{}".encode("utf-16"),
    ],
)
def test_not_json(data: bytes) -> None:
    with pytest.raises(NotJson):
        parse(data)
    with pytest.raises(NotJson):
        verify(data)


@pytest.mark.parametrize(
    ("opened", "closed"), [("[", "]"), ('{"a":', "}"), ('[{"b":0,"a":', "}]"), ('["[[[",{"a":', "}]")]
)
@pytest.mark.parametrize("innermost", ["0", "9.990", '"]]}}"'])
def test_levels_are_bounded(opened: str, closed: str, innermost: str) -> None:
    each = opened.replace("[[[", "").count("[") + opened.count("{")
    fits = (opened * (MOST_LEVELS // each) + innermost + closed * (MOST_LEVELS // each)).encode()

    assert write(parse(fits)) == fits
    verify(fits)
    for deeper in (b"[" + fits + b"]", b'{"a":' + fits + b"}"):
        with pytest.raises(NotJson, match="128 levels"):
            parse(deeper)
        with pytest.raises(NotJson, match="128 levels"):
            verify(deeper)


def test_siblings_are_no_levels() -> None:
    data = b"[" + b",".join([b'{"a":[{}]}'] * 1000) + b"]"

    assert write(parse(data)) == data


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 10_000_000,
        b'{"a":' * 2_000_000,
        b"[" * 1000 + b"]" * 1000,
        b"1" * 10_000_000,
        b"0." + b"1" * 10_000_000,
        b"1e" + b"1" * 10_000_000,
        b"1e-" + b"1" * 10_000_000,
        b'{"price": 0.' + b"0" * 10_000_000 + b"1}",
    ],
    ids=lambda data: str(data[:12]),
)
def test_what_is_too_much_is_refused(data: bytes) -> None:
    for judge in (parse, verify):
        with pytest.raises(NotJson) as refused:
            judge(data)
        assert len(str(refused.value)) < 60


@pytest.mark.parametrize("number", ["1.{}", "-0.{}1", "1{}e-700", "0.1e-{}", "12345.{}e1"])
@pytest.mark.parametrize("before", [b"", b" " * 79, b'{"a": 1.50, "b": "' + b"x" * 120 + b'", "c": '])
def test_length_of_numbers_is_bounded(number: str, before: bytes) -> None:
    after = b"}" if before.startswith(b"{") else b""
    fits = number.format("0" * (MOST_DIGITS + 2 - len(number))).encode()
    longer = number.format("0" * (MOST_DIGITS + 3 - len(number))).encode()
    assert len(fits) == MOST_DIGITS

    verify(before + fits + after)
    assert fits in write(parse(before + fits + after))
    for judge in (parse, verify):
        with pytest.raises(NotJson, match="1000 characters"):
            judge(before + longer + after)


def test_a_long_number_may_have_three_short_runs() -> None:
    data = b'{"text":"' + b"x" * 79 + b'","a":' + b"1" * 300 + b"." + b"3" * 350 + b"e-" + b"0" * 349 + b"}"

    for judge in (parse, verify):
        with pytest.raises(NotJson, match="1000 characters"):
            judge(data)


def test_long_digits_in_text_are_no_number() -> None:
    data = b'{"blob": "' + b"7" * 5000 + b'", "price": 9.990}'

    verify(data)
    assert write(parse(data)) == data.replace(b": ", b":").replace(b", ", b",")


def test_messages_hold_no_data() -> None:
    for data in (b'{"password": "hunter2', b'{"hunter2": 1, "hunter2": 2}', b"[" * 200 + b'"hunter2"' + b"]" * 200):
        with pytest.raises(NotJson) as refused:
            parse(data)
        error: BaseException | None = refused.value
        while error is not None:
            assert "hunter2" not in repr(error) + repr(vars(error))
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)


def test_numbers_are_numbers() -> None:
    value = parse(b'{"a": 9.990, "b": -0, "c": 12345678901234567890123, "d": 2}')

    assert value["a"] + 1 == 10.99
    assert value == {"a": 9.99, "b": 0, "c": 12345678901234567890123, "d": 2}
    assert value["c"] < 12345678901234567890124


def test_write_splices_fragments() -> None:
    value = {"part": orjson.Fragment(b'{"price": 9.990}'), "big": [1 << 64, -(1 << 63) - 1], "own": parse(b"[1E5]")}

    assert write(value) == b'{"part":{"price": 9.990},"big":[18446744073709551616,-9223372036854775809],"own":[1E5]}'


@pytest.mark.parametrize("value", [object(), {"a": {1, 2}}, b"bytes", "\ud800", {1: 2}])
def test_write_refuses_what_is_not_json(value: Any) -> None:
    with pytest.raises(TypeError):
        write(value)


def test_write_knows_no_number_that_json_has_not() -> None:
    assert write([math.inf, math.nan]) == b"[null,null]"
