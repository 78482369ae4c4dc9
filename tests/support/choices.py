"""Endpoints as balancers see them."""

from __future__ import annotations


class FakeChoice:
    """One that may be chosen."""

    def __init__(self, address: str, weight: int = 1, in_flight: int = 0) -> None:
        self.address = address
        self.weight = weight
        self.in_flight = in_flight

    def __repr__(self) -> str:
        return f"{self.address}*{self.weight}"


def make_choices(*weights: int) -> tuple[FakeChoice, ...]:
    """One for each weight: a, b, c and so on."""
    return tuple(FakeChoice(chr(ord("a") + place), weight) for place, weight in enumerate(weights))
