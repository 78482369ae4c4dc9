"""A bounded memory by key: what was not used in a long while goes first."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")
# Of how many something is remembered, at most, where nothing else is said.
KEYS = 100_000


class Recent(Generic[V]):
    """Values by key. A flood of new keys drops old ones, and costs no memory beyond the limit.

    Mutable state: `young`, and `_old`, which is what `young` was when it had grown to half of the limit. What is old
    and used is young again; the rest is dropped at once when the next half is full.
    """

    __slots__ = ("_half", "_old", "young")

    def __init__(self, limit: int = KEYS) -> None:
        """`limit` is the most keys that are kept. ValueError for less than 2."""
        if limit < 2:
            raise ValueError(f"at least two keys have to fit, not {limit}")
        self._half = limit // 2
        self.young: dict[Hashable, V] = {}
        self._old: dict[Hashable, V] = {}

    def get(self, key: Hashable) -> V | None:
        """The value, or None for a key that is new or was dropped."""
        value = self.young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: Hashable, value: V) -> None:
        """Keep a value. Where `young` has the key already, storing it there is the same."""
        if key not in self.young and len(self.young) >= self._half:
            self._old, self.young = self.young, {}
        self.young[key] = value

    def drop(self, key: Hashable) -> None:
        """Forget one."""
        self.young.pop(key, None)
        self._old.pop(key, None)

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self.young.keys() | self._old.keys())
