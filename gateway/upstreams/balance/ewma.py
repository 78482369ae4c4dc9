"""The one of two that is likely to answer sooner."""

from __future__ import annotations

import random
from collections.abc import Callable, Container, Sequence
from math import exp

from gateway.exchange import Exchange
from gateway.upstreams.balance.balancer import Choice, E
from gateway.upstreams.balance.random_choice import RandomChoice

# In so many seconds without an observation a latency counts for 1/e of what it was.
DECAY = 10.0
# What is assumed of an endpoint while its first attempts are under way, so that one of them is the probe.
UNKNOWN = 60.0


class Latency:
    """Peak-sensitive moving average of one endpoint's latency.

    Mutable state: `seconds` as of the time `observed`; None before the first observation.
    """

    __slots__ = ("observed", "seconds")

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.observed = 0.0

    def observe(self, seconds: float, now: float) -> None:
        """A rise counts at once, a fall by the time since the last observation."""
        known = self.seconds
        if known is not None and seconds < known:
            kept = exp(min(0.0, self.observed - now) / DECAY)
            seconds = known * kept + seconds * (1 - kept)
        self.seconds = seconds
        self.observed = now

    def cost(self, choice: Choice, now: float) -> float:
        """How long one more request would take there, as far as can be told. Nothing for one never tried."""
        if self.seconds is None:
            return UNKNOWN * choice.in_flight / choice.weight
        # Decayed to `now`: one that was slow and gets no requests would never show that it has recovered.
        seconds = self.seconds * exp(min(0.0, self.observed - now) / DECAY)
        return seconds * (choice.in_flight + 1) / choice.weight


class Ewma:
    """Power of two choices by latency * (attempts in flight + 1) / weight: peak EWMA, as in Finagle and Linkerd.

    `draw` gives numbers from [0, 1). Mutable state: the latency of each of the choices last seen, by address.
    """

    __slots__ = ("_choices", "_latencies", "_random")

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        self._choices: Sequence[Choice] = ()
        self._latencies: dict[str, Latency] = {}
        self._random = RandomChoice(draw)

    def pick(self, choices: Sequence[E], exchange: Exchange | None, now: float, avoid: Container[E] = ()) -> E | None:
        """The one of less cost, of equals the one that was drawn first."""
        if choices is not self._choices:
            known = self._latencies
            self._choices = choices
            self._latencies = {choice.address: known.get(choice.address) or Latency() for choice in choices}
        pair = self._random.pick_two(choices, avoid)
        if pair is None:
            return None
        one, other = pair
        latencies = self._latencies
        if latencies[one.address].cost(one, now) <= latencies[other.address].cost(other, now):
            return one
        return other

    def observe(self, endpoint: Choice, seconds: float, now: float) -> None:
        """An attempt took so long until its head. For one that failed, pass no less than a slow answer takes: what
        refuses at once would look like the fastest. An endpoint that is not among the choices is not remembered."""
        latency = self._latencies.get(endpoint.address)
        if latency is not None:
            latency.observe(seconds, now)
