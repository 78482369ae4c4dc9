"""Each in turn, by weight."""

from __future__ import annotations

from collections.abc import Container, Sequence
from heapq import heapify, heapreplace

from gateway.exchange import Exchange
from gateway.upstreams.balance.balancer import Choice, E


class RoundRobin:
    """Smooth weighted round robin: 5-1-1 gives a a a b a a c, never all five of a in a row.

    Each endpoint is due once in a period, which is 1 / weight; the one that is due first is next (earliest deadline
    first, as in Envoy). So a pick costs O(log n) however large and ragged the weights are, and in as many picks as
    the weights (without a common divisor) amount to, each comes up exactly as often as its weight says.

    Mutable state: when each endpoint of the choices last seen is due.
    """

    __slots__ = ("_choices", "_due", "_periods")

    def __init__(self) -> None:
        self._choices: Sequence[Choice] = ()
        self._periods: list[float] = []
        # A heap of (when it is due, position in the choices).
        self._due: list[tuple[float, int]] = []

    def pick(self, choices: Sequence[E], exchange: Exchange | None, now: float, avoid: Container[E] = ()) -> E | None:
        """The next one."""
        if choices is not self._choices:
            self._change(choices)
        if not choices:
            return None
        at, position = self._due[0]
        choice = choices[position]
        if choice in avoid:
            return self._pick_later(choices, avoid)
        heapreplace(self._due, (at + self._periods[position], position))
        return choice

    def _pick_later(self, choices: Sequence[E], avoid: Container[E]) -> E | None:
        """The first that is due and not avoided. Those before it lose their turns: kept, the turns of an endpoint
        that many avoid would come back all at once."""
        last = min((entry for entry in self._due if choices[entry[1]] not in avoid), default=None)
        if last is None:
            return None
        for index, (due, position) in enumerate(self._due):
            if (due, position) <= last:
                period = self._periods[position]
                self._due[index] = (due + period * ((last[0] - due) // period + 1), position)
        heapify(self._due)
        return choices[last[1]]

    def _change(self, choices: Sequence[Choice]) -> None:
        """Who stays, keeps the part of its period that it has waited. Who is new, is put somewhere in its first
        period, by its position, so that those of equal weight come evenly and in order."""
        start = self._due[0][0] if self._due else 0.0
        waits = {self._choices[at].address: (due - start) / self._periods[at] for due, at in self._due}
        self._choices = choices
        self._periods = [1 / choice.weight for choice in choices]
        self._due = []
        for position, choice in enumerate(choices):
            wait = waits.get(choice.address, (position + 0.5) / len(choices))
            self._due.append((wait * self._periods[position], position))
        heapify(self._due)
