"""What every algorithm sees, and what it is asked."""

from __future__ import annotations

from collections.abc import Container, Sequence
from typing import Protocol, TypeVar

from gateway.exchange import Exchange


class Choice(Protocol):
    """An endpoint that may be given requests. `weight` is at least 1, and smaller than configured while it warms up;
    `in_flight` counts the attempts that it has now."""

    address: str
    in_flight: int

    @property
    def weight(self) -> int: ...


E = TypeVar("E", bound=Choice)


class Balancer(Protocol):
    """One algorithm with its state, for one upstream of one configuration."""

    def pick(self, choices: Sequence[E], exchange: Exchange | None, now: float, avoid: Container[E] = ()) -> E | None:
        """The next of `choices`, none of `avoid`; None when nothing is left.

        The same sequence object is passed until a choice comes, goes or changes its weight, so that what was worked
        out for it may be kept. `exchange` is None for the gateway's own calls. `now` is in monotonic seconds.
        """
