"""Shared state that runs the scripts of limits, without a server: the same arithmetic, and the clock of the test."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from math import ceil, floor
from typing import Any

from gateway.limits.redis_limiter import GCRA
from gateway.plugin import SharedUnavailable
from gateway.state.memory import MemoryShared
from gateway.testing import FakeClock


class FakeScripting(MemoryShared):
    """`runs` holds the calls of each round trip. `down` raises; a `gate` that is there keeps every answer back."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__(clock)
        self.clock = clock
        self.runs: list[list[tuple[str, Sequence[str | int]]]] = []
        self.tats: dict[str, float] = {}
        self.down = False
        self.gate: asyncio.Event | None = None

    async def run(self, script: str, calls: Sequence[tuple[str, Sequence[str | int]]]) -> list[Any]:
        """The script of GCRA alone."""
        assert script == GCRA
        self.runs.append(list(calls))
        if self.gate is not None:
            await self.gate.wait()
        if self.down:
            raise SharedUnavailable("the store is down")
        return [self._gcra(key, *map(float, arguments)) for key, arguments in calls]

    @property
    def asked(self) -> list[tuple[str, int]]:
        """Each key with the number of requests that it was asked for."""
        return [(key, int(arguments[-1])) for run in self.runs for key, arguments in run]

    def _gcra(self, key: str, emission: float, space: float, cost: float, wanted: float) -> list[int]:
        now = self.clock.now() * 1e6
        tat = min(max(self.tats.get(key, now), now), now + space)
        step = emission * cost
        passing = min(max(floor((space - (tat - now)) / step), 0), int(wanted))
        self.tats[key] = tat = tat + passing * step
        room = space - (tat - now)
        return [passing, floor(room / emission), ceil(max(step - room, 0))]
