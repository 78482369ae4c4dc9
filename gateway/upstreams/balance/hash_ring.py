"""Requests with the same key go to the same endpoint."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Container, Sequence
from math import ceil

from gateway.exchange import Exchange
from gateway.routing.request_key import RequestKey, stable_hash
from gateway.upstreams.balance.balancer import Choice, E
from gateway.upstreams.balance.random_choice import RandomChoice

# Of the heaviest endpoint, up to twice as many: its share is then right to some 8 % (1 / sqrt(160)).
POINTS = 160
MOST_POINTS = 16_384


class HashRing:
    """Consistent hashing (Karger et al., 1997): an endpoint that goes takes only its own keys along, and one that
    comes takes its part from each of the others.

    `key` reads a request's key; one without a key goes anywhere, by weight. With `max_load` (1.25 for a quarter more,
    0 for no limit) an endpoint that has more than so much times its part of the attempts in flight is passed by
    (consistent hashing with bounded loads, Mirrokni et al., 2016). `draw` gives numbers from [0, 1).

    Mutable state: the ring of the choices last seen, and the points of each by address.
    """

    __slots__ = ("_choices", "_hashes", "_key", "_max_load", "_points", "_positions", "_random", "_total_weight")

    def __init__(self, key: RequestKey, max_load: float = 0, draw: Callable[[], float] = random.random) -> None:
        self._key = key
        self._max_load = max_load
        self._random = RandomChoice(draw)
        self._choices: Sequence[Choice] = ()
        self._total_weight = 0
        self._points: dict[str, list[int]] = {}
        self._hashes: list[int] = []
        # The choice at each hash, and once more the first one's for what is above the last hash.
        self._positions: list[int] = []

    def pick(self, choices: Sequence[E], exchange: Exchange | None, now: float, avoid: Container[E] = ()) -> E | None:
        """The first one on the ring from where the key stands that is neither avoided nor too busy; when all are too
        busy, the first that is not avoided."""
        key = None if exchange is None else self._key(exchange)
        if key is None:
            return self._random.pick(choices, exchange, now, avoid)
        if choices is not self._choices:
            self._change(choices)
        if not choices:
            return None
        at = bisect(self._hashes, stable_hash(key))
        choice = choices[self._positions[at]]
        if choice in avoid or (self._max_load and self._is_busy(choice, self._in_flight())):
            return self._walk_on(choices, at, avoid)
        return choice

    def _walk_on(self, choices: Sequence[E], at: int, avoid: Container[E]) -> E | None:
        in_flight = self._in_flight()
        busy: E | None = None
        positions = self._positions
        seen: set[int] = set()
        for step in range(at, at + len(positions)):
            position = positions[step % len(positions)]
            if position in seen:
                continue
            seen.add(position)
            choice = choices[position]
            if choice not in avoid:
                if not self._max_load or not self._is_busy(choice, in_flight):
                    return choice
                busy = busy or choice
            if len(seen) == len(choices):
                break
        return busy

    def _in_flight(self) -> int:
        return sum([choice.in_flight for choice in self._choices])

    def _is_busy(self, choice: Choice, in_flight: int) -> bool:
        return choice.in_flight + 1 > ceil(self._max_load * (in_flight + 1) * choice.weight / self._total_weight)

    def _change(self, choices: Sequence[Choice]) -> None:
        counts = point_counts([choice.weight for choice in choices])
        known = self._points
        self._choices = choices
        self._total_weight = sum([choice.weight for choice in choices])
        self._points = {}
        ring: dict[int, int] = {}
        for position, choice in enumerate(choices):
            address, count = choice.address, counts[position]
            points = known.get(address, [])
            points.extend([stable_hash(f"{address}#{number}") for number in range(len(points), count)])
            self._points[address] = points
            ring.update(dict.fromkeys(points[:count], position))
        self._hashes = sorted(ring)
        self._positions = [ring[point] for point in self._hashes]
        self._positions += self._positions[:1]


def point_counts(weights: Sequence[int]) -> list[int]:
    """How many points on the ring each weight gets: at least 1, and MOST_POINTS in all unless there are more weights.

    What a unit of weight gets is a power of two times POINTS. It changes seldom then, and as long as it does not, an
    endpoint that comes, goes or warms up leaves the points of the others where they are.
    """
    heaviest = max(weights, default=1)
    unit = POINTS / (1 << heaviest.bit_length() - 1)
    while sum(weights) * unit > MOST_POINTS:
        unit /= 2
    return [max(1, round(weight * unit)) for weight in weights]
