"""JSON (RFC 8259) whose numbers and key order survive exactly: `9.990`, `1E5`, `-0`, integers above 64 bits.

orjson reads and writes it. It changes how some numbers are spelt, and takes the last of duplicate keys. So what it read
is written out again: where that gives the same text, but for blanks, nothing was changed. Only else does the standard
library's scanner, which is several times slower, read the text once more and keep the spelling of its numbers.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

MOST_LEVELS = 128
MOST_DIGITS = 1000
# orjson writes 254 levels and no more: what is wrapped in so many lists may have MOST_LEVELS of its own.
SPARE_LEVELS = 254 - MOST_LEVELS
BLANKS = b" \t\n\r"
MINUS_ZERO = re.compile(rb"-0(?![.eE0-9])")
# A number of more characters than MOST_DIGITS has a third of them in one run of digits, which fills one of these.
STRIDE = 160


class NotJson(ValueError):
    """Not one JSON value, or one that could be read in two ways or not at a bounded cost. The text never holds data."""


class ExactFloat(float):
    """A number that is written as it was: `text`. Wherever else it is the float."""

    __slots__ = ("text",)

    text: str


# The jmespath library knows types by their names, and so takes it for a number.
ExactFloat.__name__ = "float"


def parse(data: bytes) -> Any:
    """The one JSON value that `data` is, in UTF-8. Numbers are int, float or ExactFloat.

    NotJson for anything else, and for duplicate keys, lone surrogates, a byte order mark, more than MOST_LEVELS of
    nesting, numbers beyond a double's range or of more than MOST_DIGITS characters.
    """
    value, compact = _read(data)
    if _is_same(data, compact):
        return value
    if not _keeps_keys(data, compact) or (b"-0" in data and MINUS_ZERO.search(data)):
        return _scan(CAREFUL, data)
    return _scan(QUICK, data)


def verify(data: bytes) -> None:
    """NotJson for what `parse` does not take, at less cost where it takes much."""
    _, compact = _read(data)
    if not _is_same(data, compact) and (not _keeps_keys(data, compact) or _may_hold_long_number(data)):
        _scan(CAREFUL, data)


def write(value: Any) -> bytes:
    """Compact JSON. Numbers that `parse` gave have the text they had, `orjson.Fragment` is spliced as it is, a float
    that is not finite is null. TypeError for what is not JSON, lone surrogates and more than 254 levels of nesting."""
    try:
        return orjson.dumps(value, _spelt)
    except TypeError:
        # Integers above 64 bits are rare, and orjson asks nobody about them.
        return orjson.dumps(_spell_integers(value), _spelt)


def _read(data: bytes) -> tuple[Any, bytes]:
    """What orjson reads, and what it then writes. It checks all but duplicate keys, depth and the length of numbers."""
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise NotJson(f"not JSON in UTF-8, at character {error.pos}") from None
    try:
        if data.count(b"[") + data.count(b"{") <= MOST_LEVELS:
            return value, orjson.dumps(value)
        wrapped = value
        for _ in range(SPARE_LEVELS):
            wrapped = [wrapped]
        return value, orjson.dumps(wrapped)[SPARE_LEVELS:-SPARE_LEVELS]
    except TypeError:
        raise NotJson(f"nested more than {MOST_LEVELS} levels deep") from None


def _is_same(data: bytes, compact: bytes) -> bool:
    """The same tokens, since a blank ends no token but a string, and deleting blanks leaves strings strings? Then each
    number is spelt as orjson will spell it, and no member is missing, as one of two with a key would be."""
    return compact == data or compact.translate(None, BLANKS) == data.translate(None, BLANKS)


def _keeps_keys(data: bytes, compact: bytes) -> bool:
    """Are there no duplicate keys for sure? Each member that was dropped took its colon with it, and a colon can only
    come from a colon or from its escape, \\u003A."""
    return data.count(b":") == compact.count(b":") and b"\\u003" not in data


def _may_hold_long_number(data: bytes) -> bool:
    if len(data) <= MOST_DIGITS:
        return False
    return any(data[start : start + STRIDE].isdigit() for start in range(0, len(data), STRIDE))


def _scan(decoder: json.JSONDecoder, data: bytes) -> Any:
    """Read once more what orjson has found good."""
    return decoder.raw_decode(data.decode().lstrip())[0]


def exact_float(text: str) -> ExactFloat:
    """The number that is written as `text`. NotJson for more than MOST_DIGITS characters."""
    if len(text) > MOST_DIGITS:
        raise NotJson(f"a number has more than {MOST_DIGITS} characters")
    number = ExactFloat(text)
    number.text = text
    return number


def _exact_integer(text: str) -> int | float:
    # That there are no long ones follows from their range: orjson takes none that a double does not hold.
    return int(text) if text != "-0" else exact_float(text)


def _unique(members: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(members)
    if len(value) != len(members):
        raise NotJson("an object has two members of one name")
    return value


QUICK = json.JSONDecoder(parse_float=exact_float)
CAREFUL = json.JSONDecoder(parse_float=exact_float, parse_int=_exact_integer, object_pairs_hook=_unique)


def _spelt(value: Any) -> orjson.Fragment:
    if isinstance(value, ExactFloat):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _spell_integers(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _spell_integers(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_spell_integers(item) for item in value]
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return orjson.Fragment(str(value))
    return value
