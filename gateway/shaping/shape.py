"""What is done to a JSON text: a list of steps, each from value to value, between one reading and one writing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias

from gateway.errors import ConfigError
from gateway.shaping.edit import compile_edit
from gateway.shaping.exact import parse, write
from gateway.shaping.pick import compile_pick

Step: TypeAlias = Callable[[Any], Any]


def compile_steps(pick: str | None, rename: Mapping[str, str], remove: Iterable[str]) -> tuple[Step, ...]:
    """First `pick`, then `rename` and `remove` on what it left. ValueError for what cannot be read."""
    steps: list[Step] = []
    try:
        if pick is not None:
            steps.append(compile_pick(pick))
        if rename or remove:
            steps.append(compile_edit(rename, remove))
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return tuple(steps)


def reshape(data: bytes, steps: Iterable[Step]) -> bytes:
    """The JSON text after all steps. ValueError, whose text holds no data, for what is not JSON or does not fit."""
    value = parse(data)
    for step in steps:
        value = step(value)
    return write(value)
