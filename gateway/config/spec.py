"""What all specs share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict


class Spec(BaseModel):
    """One mapping of the file: immutable, and a key that is not a field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def or_short(short: dict[str, Any]) -> Callable[[dict[str, Any]], None]:
    """What makes a JSON Schema allow a short form beside the long one."""

    def change(schema: dict[str, Any]) -> None:
        long = dict(schema)
        schema.clear()
        schema |= {"description": long.pop("description", ""), "anyOf": [short, long]}

    return change


or_text = or_short({"type": "string"})


def not_scalar(value: object, short: str) -> object:
    """The value, for a mapping that has a short form. ValueError for a scalar, which is not that short form."""
    if isinstance(value, str | bool | int | float):
        raise ValueError(f"should be {short} or a mapping (key: value)")
    return value
