"""What the sample services take from a query or a switch, with bounds: `200ms`, `50%`, `64KiB`, `503`."""

from __future__ import annotations

import re

from gateway.units import Duration, Share, Size

MAX_DELAY = Duration("60s")
MAX_SIZE = Size("1GiB")


class BadValue(ValueError):
    """Something that a client of the sample services must change; the text says how."""


def duration(value: object, name: str) -> Duration:
    """At most 60s, from text such as `200ms` or `1.5s`; BadValue, with `name` in its text, for anything else."""
    try:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is not a duration; write one such as 200ms")
        result = Duration(value)
    except ValueError as error:
        raise BadValue(f"{name}: {error}") from None
    if result > MAX_DELAY:
        raise BadValue(f"{name}: {value!r} is more than {MAX_DELAY}")
    return result


def share(value: object, name: str) -> Share:
    """0 to 1, from the text `50%` or the number 0.5."""
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError(f"{value!r} is not a share; write one such as 50%")
        return Share(value)
    except ValueError as error:
        raise BadValue(f"{name}: {error}") from None


def size(value: str, name: str) -> Size:
    """At most 1GiB, from `1000`, `64KiB` or `10MiB`."""
    try:
        result = Size(int(value)) if re.fullmatch("[0-9]{1,18}", value) else Size(value)
    except ValueError as error:
        raise BadValue(f"{name}: {error}") from None
    if result > MAX_SIZE:
        raise BadValue(f"{name}: {value!r} is more than {MAX_SIZE}")
    return result


def number(value: str, name: str) -> int:
    """A number of at most nine digits."""
    if not re.fullmatch("[0-9]{1,9}", value):
        raise BadValue(f"{name}: {value!r} is not a number such as 3")
    return int(value)


def error_status(value: object, name: str) -> int:
    """A status code from 400 to 599, given as a number or as text."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not re.fullmatch("[45][0-9][0-9]", text):
        raise BadValue(f"{name}: {value!r} is not a status from 400 to 599")
    return int(text)
