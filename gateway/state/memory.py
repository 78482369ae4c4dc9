"""Shared state that is this process's memory: the embedded default."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterable

from gateway.plugin import Clock

ENTRIES = 100_000


class MemoryShared:
    """A bounded `gateway.plugin.Shared`: when `limit` is reached, the entry goes that was longest not used.

    Mutable state: the entries, in the order of their last use, and a heap of when which of them expire. The heap
    may name entries that were written again since; it is made anew before they outnumber the living.
    """

    def __init__(self, clock: Clock, limit: int = ENTRIES) -> None:
        if limit < 1:
            raise ValueError(f"at least one entry has to fit, not {limit}")
        self._clock = clock
        self.limit = limit
        # A plain dict finds its first key by walking over all that were taken from its front before.
        self._entries: OrderedDict[str, tuple[bytes, float]] = OrderedDict()
        self._expiries: list[tuple[float, str]] = []

    async def start(self) -> None:
        """Nothing to connect to."""

    async def close(self) -> None:
        """Nothing to let go of."""

    async def get(self, key: str) -> bytes | None:
        """The value, or None."""
        entry = self._living(key)
        return None if entry is None else entry[0]

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        """Store, for `ttl` seconds. ValueError for a time that is not positive."""
        self._entries.pop(key, None)
        self._store(key, value, self._expiry(ttl))

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        """Add to a number (0 before) and return the sum; `ttl` counts from the first addition.

        ValueError where something else than a number is stored.
        """
        entry = self._living(key)
        if entry is None:
            self._store(key, b"%d" % amount, self._expiry(ttl))
            return amount
        total = int(entry[0]) + amount
        self._entries[key] = (b"%d" % total, entry[1])
        return total

    async def delete(self, key: str) -> None:
        """Forget."""
        self._entries.pop(key, None)

    def entries(self) -> list[tuple[str, bytes, float | None]]:
        """All that has not expired, with the seconds that it has left; the longest not used first."""
        now = self._clock.now()
        return [
            (key, value, None if expires == float("inf") else expires - now)
            for key, (value, expires) in self._entries.items()
            if expires > now
        ]

    def restore(self, entries: Iterable[tuple[str, bytes, float | None]]) -> None:
        """Store what another memory held."""
        for key, value, ttl in entries:
            self._store(key, value, self._expiry(ttl))

    def __len__(self) -> int:
        """How many entries are kept, those included that expired a moment ago."""
        return len(self._entries)

    def _living(self, key: str) -> tuple[bytes, float] | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        if entry[1] <= self._clock.now():
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        return entry

    def _expiry(self, ttl: float | None) -> float:
        if ttl is None:
            return float("inf")
        if not ttl > 0:
            raise ValueError(f"a time to live is more than 0 seconds, not {ttl}")
        return self._clock.now() + ttl

    def _store(self, key: str, value: bytes, expires: float) -> None:
        self._sweep()
        entries = self._entries
        while len(entries) >= self.limit:
            entries.popitem(last=False)
        entries[key] = (value, expires)
        if expires != float("inf"):
            heapq.heappush(self._expiries, (expires, key))
            if len(self._expiries) > 2 * len(entries) + 64:
                self._expiries = [(at, name) for name, (_, at) in entries.items() if at != float("inf")]
                heapq.heapify(self._expiries)

    def _sweep(self) -> None:
        now = self._clock.now()
        expiries = self._expiries
        while expiries and expiries[0][0] <= now:
            _, key = heapq.heappop(expiries)
            entry = self._entries.get(key)
            if entry is not None and entry[1] <= now:
                del self._entries[key]

    def __repr__(self) -> str:
        return f"<MemoryShared {len(self._entries)} of {self.limit} entries>"
