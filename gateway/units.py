"""Quantities as configuration writes them: Duration, Size, Share and Secret, and ranges of statuses. Leaf module.

Each of the first is a subclass of a built-in (float, int, str), so that code that uses it computes with it as it is,
and each is a field type for pydantic models and for plain dataclasses that pydantic validates. In a file only the text
form is accepted; in code also a number: `Duration("5s") == Duration(5)`. Every mistake is a ValueError whose message
shows a right example.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic_core import CoreSchema, core_schema

MASK = "***"

# 18 digits stay exact in Decimal's default 28 after the largest factor, and never overflow a float.
_NUMBER = r"([0-9]{1,18}(?:\.[0-9]+)?)"
# An editor checks the file before `${VAR}` is filled in, so every pattern lets a substitution pass.
_SUBSTITUTION = r"\$\{.+\}"

_SECONDS = {"h": Decimal(3600), "m": Decimal(60), "s": Decimal(1), "ms": Decimal("0.001")}
_BYTES = {"GiB": 1 << 30, "MiB": 1 << 20, "KiB": 1 << 10, "GB": 10**9, "MB": 10**6, "KB": 10**3, "B": 1}

_DURATION = re.compile(rf"{_NUMBER}(ms|s|m|h)")
_SIZE = re.compile(rf"{_NUMBER}(GiB|MiB|KiB|GB|MB|KB|B)")
_SHARE = re.compile(rf"{_NUMBER}%")
_STATUSES = re.compile(r"([1-9])xx|([1-9][0-9]{2})(?:-([1-9][0-9]{2}))?")


class Duration(float):
    """A length of time in seconds, at least 0. Text: `250ms`, `5s`, `1m`, `2h`, or a plain `0`."""

    __slots__ = ()

    def __new__(cls, value: str | float) -> Self:
        if isinstance(value, str):
            return cls.parse(value)
        if not 0 <= value < float("inf"):
            raise ValueError(f"a duration is at least 0, not {value!r}")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The duration that `text` names. ValueError for anything but a number with a unit, or 0."""
        if text == "0":
            return super().__new__(cls, 0.0)
        match = _DURATION.fullmatch(text)
        if match is None:
            raise ValueError(_unitless(text, "duration", "s", "5s or 250ms"))
        return super().__new__(cls, float(Decimal(match[1]) * _SECONDS[match[2]]))

    def format(self) -> str:
        """The shortest text that parses to the same value: 0.25 is `250ms`, 90 is `90s`, 7200 is `2h`."""
        exact = Decimal(repr(float(self)))
        for unit, seconds in _SECONDS.items():
            if exact and exact % seconds == 0:
                return f"{int(exact / seconds)}{unit}"
        return f"{exact / _SECONDS['ms']:f}ms" if exact else "0s"

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"Duration({self.format()!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _text_schema(cls, "duration", "5s or 250ms")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _json_schema("a duration", f"^({_DURATION.pattern}|0|{_SUBSTITUTION})$", ["250ms", "5s", "1m"])


class Size(int):
    """A number of bytes, at least 0. Text: `512B`, `64KiB`, `10MiB`, `1GiB`, also decimal `10KB`, `10MB`, `1GB`."""

    __slots__ = ()

    def __new__(cls, value: str | int) -> Self:
        if isinstance(value, str):
            return cls.parse(value)
        if value < 0:
            raise ValueError(f"a size is at least 0, not {value!r}")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The size that `text` names. ValueError for anything but a number with a unit, or 0."""
        if text == "0":
            return super().__new__(cls, 0)
        match = _SIZE.fullmatch(text)
        if match is None:
            raise ValueError(_unitless(text, "size", "B", "64KiB or 10MiB"))
        exact = Decimal(match[1]) * _BYTES[match[2]]
        if exact % 1:
            raise ValueError(f"{text!r} is not a whole number of bytes; write one such as 64KiB")
        return super().__new__(cls, int(exact))

    def format(self) -> str:
        """The shortest text that parses to the same value, binary units first: 65536 is `64KiB`, 10**7 is `10MB`."""
        exact = int(self)
        texts = [f"{exact // factor}{unit}" for unit, factor in _BYTES.items() if exact and exact % factor == 0]
        return min(texts, key=lambda text: len(text.rstrip("GMKiB")), default="0B")

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"Size({self.format()!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _text_schema(cls, "size", "64KiB or 10MiB")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _json_schema("a size in bytes", f"^({_SIZE.pattern}|0|{_SUBSTITUTION})$", ["64KiB", "10MiB", "1GiB"])


class Share(float):
    """A part of the whole, 0 to 1. Text: `20%`, `0.5%`, or a plain `0`; in code also 0.2."""

    __slots__ = ()

    def __new__(cls, value: str | float) -> Self:
        if isinstance(value, str):
            return cls.parse(value)
        if not 0 <= value <= 1:
            raise ValueError(f"a share is 0 to 1, not {value!r}")
        return super().__new__(cls, value)

    @classmethod
    def parse(cls, text: str) -> Self:
        """The share that `text` names. ValueError for anything but 0% to 100%, or 0."""
        if text == "0":
            return super().__new__(cls, 0.0)
        match = _SHARE.fullmatch(text)
        if match is None:
            raise ValueError(f"{text!r} is not a share; write one such as 20%")
        value = float(Decimal(match[1]) / 100)
        if value > 1:
            raise ValueError(f"{text!r} is more than the whole; write 100% or less")
        return super().__new__(cls, value)

    def format(self) -> str:
        """The shortest text that parses to the same value: 0.2 is `20%`."""
        percent = f"{Decimal(repr(float(self))) * 100:f}"
        return (percent.rstrip("0").rstrip(".") if "." in percent else percent) + "%"

    def __str__(self) -> str:
        return self.format()

    def __repr__(self) -> str:
        return f"Share({self.format()!r})"

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _text_schema(cls, "share", "20%")

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return _json_schema("a share", f"^({_SHARE.pattern}|0|{_SUBSTITUTION})$", ["20%", "0.5%"])


class Secret(str):
    """Text that no output may show: `str()`, `repr()`, f-strings and dumps give `***`, `reveal()` gives the text.

    It compares and hashes as the text does. Whoever validates with a `set[str]` as pydantic's context finds in it
    every secret that was met, also when the validation failed elsewhere.
    """

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """`text` as a secret; any text is one."""
        return cls(text)

    def reveal(self) -> str:
        """The text itself, as a plain str."""
        return str.__str__(self)

    def format(self, *_args: object, **_fields: object) -> str:
        """The mask, whatever the text."""
        return MASK

    def __str__(self) -> str:
        return MASK

    def __repr__(self) -> str:
        return f"Secret({MASK!r})"

    def __format__(self, spec: str) -> str:
        return format(MASK, spec)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema

        return core_schema.with_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: MASK, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "examples": ["${TOKEN}", "${file:/run/secrets/token}"]}

    @classmethod
    def _validate(cls, value: object, info: core_schema.ValidationInfo) -> Self:
        if not isinstance(value, str):
            raise ValueError("should be text; write it in quotes")
        secret = value if isinstance(value, cls) else cls(value)
        if isinstance(info.context, set):
            info.context.add(secret.reveal())
        return secret


def status_range(choice: int | str, examples: str = "200, 2xx or 200-399") -> range:
    """404, `5xx` or `400-499` as numbers. ValueError for anything else, which tells to write one of the examples."""
    match = _STATUSES.fullmatch(str(choice))
    if match is None:
        raise ValueError(f"{choice!r} is no status; write {examples}")
    first = int(match[1]) * 100 if match[1] else int(match[2])
    last = first + 99 if match[1] else int(match[3] or first)
    if last < first:
        raise ValueError(f"{choice!r} ends before it begins")
    return range(first, last + 1)


def _unitless(text: str, kind: str, unit: str, examples: str) -> str:
    if re.fullmatch(_NUMBER, text):
        return f"{text!r} has no unit; write {text}{unit}"
    return f"{text!r} is not a {kind}; write one such as {examples}"


def _text_schema(cls: type[Duration | Size | Share], kind: str, examples: str) -> CoreSchema:
    """Accepts an instance, text, or the number 0; any other number is told which unit it lacks."""
    from pydantic_core import core_schema

    def validate(value: object) -> Duration | Size | Share:
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        if isinstance(value, int | float) and not isinstance(value, bool):
            return cls.parse(repr(value))
        raise ValueError(f"should be a {kind} such as {examples}")

    to_text: Callable[[Duration | Size | Share], str] = str
    return core_schema.no_info_plain_validator_function(
        validate, serialization=core_schema.plain_serializer_function_ser_schema(to_text, when_used="json")
    )


def _json_schema(what: str, pattern: str, examples: list[str]) -> dict[str, Any]:
    return {"type": "string", "description": what, "pattern": pattern, "examples": examples}
