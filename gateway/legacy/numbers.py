"""Numbers that texts name: `9.990` stays `9.990`, and no integer is too long."""

from __future__ import annotations

import re
from math import isfinite

import orjson

from gateway.shaping.exact import MOST_DIGITS, exact_float, write

# RFC 8259 §6, and what XML Schema allows besides: a plus sign, leading zeros, a point at either end.
_NUMBER = re.compile(r"([+-]?)0*+([0-9]*+)(?:\.([0-9]*+))?([eE][+-]?[0-9]+)?")
# More than these many digits may not fit into the 64 bits that orjson writes.
_SHORT = 18


def number(text: str) -> int | float:
    """The number that a text in XML names. ValueError where it names none, or one that is absurdly long or large."""
    match = _NUMBER.fullmatch(text) if len(text) <= MOST_DIGITS else None
    if match is None or not (match[2] or match[3] or "0" in text.partition("e")[0].partition("E")[0]):
        raise ValueError("not a number")
    sign = "-" if match[1] == "-" else ""
    fraction = f".{match[3]}" if match[3] else ""
    return _kept(f"{sign}{match[2] or '0'}{fraction}{match[4] or ''}")


def _kept(text: str) -> int | float:
    """A number of JSON, as a plain one where that says the same."""
    if len(text) <= _SHORT and text.removeprefix("-").isdecimal():
        plain = int(text)
        return plain if plain or text == "0" else exact_float(text)
    exact = exact_float(text)
    if not isfinite(exact) and "e" in text.lower():
        raise ValueError("a number is out of range")
    value = float(exact)
    return value if orjson.dumps(value) == text.encode() else exact


def text_of(value: float | bool) -> str:
    """A number or a bool as JSON and XML write it."""
    # orjson writes no integer of more than 64 bits.
    plain = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if plain else write(value).decode()
