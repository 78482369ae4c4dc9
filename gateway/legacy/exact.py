"""JSON whose numbers keep their text: `9.990` stays `9.990`, and no integer is too long."""

from __future__ import annotations

import json
import re
from math import isfinite
from typing import Any, Self

import orjson

from gateway.shaping.exact import ExactFloat

# RFC 8259 §6, and what XML Schema allows besides: a plus sign, leading zeros, a point at either end.
_NUMBER = re.compile(r"([+-]?)0*+([0-9]*+)(?:\.([0-9]*+))?([eE][+-]?[0-9]+)?")
_LONGEST = 1000
# More than these many digits may not fit into the 64 bits that orjson writes.
_SHORT = 18


class ExactNumber(ExactFloat):
    """A number that is written as the `text` that it came with, which is good JSON; in a composition too."""

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.text = text
        return made


# The jmespath library knows types by their names.
ExactNumber.__name__ = "float"


def number(text: str) -> int | float:
    """The number that a text in XML names. ValueError where it names none, or one that is absurdly long or large."""
    match = _NUMBER.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or not (match[2] or match[3] or "0" in text.partition("e")[0].partition("E")[0]):
        raise ValueError("not a number")
    sign = "-" if match[1] == "-" else ""
    fraction = f".{match[3]}" if match[3] else ""
    return _kept(f"{sign}{match[2] or '0'}{fraction}{match[4] or ''}")


def _kept(text: str) -> int | float:
    """A number of JSON, as a plain one where that says the same."""
    if len(text) <= _SHORT and text.removeprefix("-").isdecimal():
        plain = int(text)
        return plain if plain or text == "0" else ExactNumber(text)
    exact = ExactNumber(text)
    if not isfinite(exact) and "e" in text.lower():
        raise ValueError("a number is out of range")
    value = float(exact)
    return value if orjson.dumps(value) == text.encode() else exact


def parse(data: bytes) -> Any:
    """The value of a JSON text. ValueError with a short text for what is not exactly that, in UTF-8; a key that is
    there twice is not, since readers differ about which one holds."""
    try:
        return json.loads(
            data.decode(), parse_float=_float, parse_int=_float, parse_constant=_constant, object_pairs_hook=_object
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at line {error.lineno}, column {error.colno}") from None
    except UnicodeDecodeError:
        raise ValueError("not JSON: it is not UTF-8") from None
    except RecursionError:
        raise ValueError("not JSON: nested too deeply") from None


def write(value: Any) -> bytes:
    """JSON of a value that `parse` or a codec gave."""
    return orjson.dumps(value, default=_fragment)


def text_of(value: float | bool) -> str:
    """A number or a bool as JSON and XML write it."""
    # orjson writes no integer of more than 64 bits.
    plain = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if plain else write(value).decode()


def _float(text: str) -> int | float:
    if len(text) > _LONGEST:
        raise ValueError(f"a number has more than {_LONGEST} digits")
    return _kept(text)


def _constant(name: str) -> None:
    raise ValueError(f"not JSON: {name} is no number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key is there twice in one object")
    return made


def _fragment(value: Any) -> orjson.Fragment:
    if isinstance(value, ExactNumber):
        return orjson.Fragment(value.text)
    raise TypeError(f"{type(value).__name__} is no JSON value")
