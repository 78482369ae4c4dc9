"""Rates as configuration writes them: so many in so much time. Leaf module."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema

# The largest unit first: `format` takes the first that fits.
_SECONDS = {"d": Decimal(86400), "h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_RATE = re.compile(r"([0-9]{1,9})/([0-9]{1,9})?(ms|s|m|h|d)")
_EXAMPLES = "100/s, 10/10s or 5000/m"


@dataclass(frozen=True, slots=True)
class Rate:
    """`amount` (at least 1) in `seconds` (1 ms and more). Text: `100/s`, `5000/m`, `20/h`, `1000/d`, `10/10s`."""

    amount: int
    seconds: float

    def __post_init__(self) -> None:
        if self.amount < 1:
            raise ValueError(f"a rate lets at least 1 pass, not {self.amount}; write one such as {_EXAMPLES}")
        if not 0.001 <= self.seconds < float("inf"):
            raise ValueError(f"a rate needs 1 ms or more, not {self.seconds:g} s; write one such as {_EXAMPLES}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """The rate that `text` names: a whole number, a slash, and a unit (ms, s, m, h, d) with a whole number before
        it where it is not 1. ValueError for anything else."""
        match = _RATE.fullmatch(text)
        if match is None:
            if text.isascii() and text.isdigit():
                raise ValueError(f"{text!r} does not say in what time; write {text}/s")
            raise ValueError(f"{text!r} is not a rate; write one such as {_EXAMPLES}")
        return cls(int(match[1]), float(int(match[2] or 1) * _SECONDS[match[3]]))

    def format(self) -> str:
        """The shortest text that parses to the same value: 10 in 120 s is `10/2m`."""
        exact = Decimal(repr(self.seconds))
        unit = next((unit for unit, seconds in _SECONDS.items() if exact % seconds == 0), "ms")
        count = round(exact / _SECONDS[unit])
        return f"{self.amount}/{unit}" if count == 1 else f"{self.amount}/{count}{unit}"

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"Rate({self.format()!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        def validate(value: object) -> Rate:
            if isinstance(value, cls):
                return value
            if isinstance(value, str):
                return cls.parse(value)
            if isinstance(value, int) and not isinstance(value, bool):
                return cls.parse(str(value))
            raise ValueError(f"should be a rate such as {_EXAMPLES}")

        return core_schema.no_info_plain_validator_function(
            validate, serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        # An editor checks the file before `${VAR}` is filled in.
        pattern = rf"^({_RATE.pattern}|\$\{{.+\}})$"
        return {
            "type": "string",
            "description": "a rate",
            "pattern": pattern,
            "examples": ["100/s", "5000/m", "10/10s"],
        }
