"""Bounded memories by key: what was not used in a long while goes first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

V = TypeVar("V")
# Of how many something is remembered, at most, where nothing else is said.
KEYS = 100_000


class Recent(Generic[V]):
    """Values by key. A flood of new keys drops old ones, and costs no memory beyond the limit.

    Mutable state: `young`, which is one dict for as long as this lives, and `_old`, which holds what `young` held when
    it had grown to half of the limit. What is old and used is young again; the rest is dropped at once when the next
    half is full, within 2 ms.
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
            self._old = self.young.copy()
            self.young.clear()
        self.young[key] = value

    def drop(self, key: Hashable) -> None:
        """Forget one."""
        self.young.pop(key, None)
        self._old.pop(key, None)

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self.young.keys() | self._old.keys())


class RecentBytes(Generic[V]):
    """Values by key, of so many bytes in all: what was not used for longest goes first.

    Mutable state: the values with their sizes, in the order of their last use, and `bytes`, the sum of the sizes.
    """

    __slots__ = ("_limit", "_values", "bytes")

    def __init__(self, limit: int) -> None:
        """`limit` is in bytes. A value that alone would take more than a quarter of it is not kept."""
        self._limit = limit
        self._values: OrderedDict[Hashable, tuple[V, int]] = OrderedDict()
        self.bytes = 0

    def get(self, key: Hashable) -> V | None:
        """The value, or None for a key that is new or was dropped."""
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: V, size: int) -> None:
        """Keep a value that takes `size` bytes with its key, in place of the one before."""
        self.drop(key)
        if size * 4 <= self._limit:
            self._values[key] = value, size
            self.bytes += size
            while self.bytes > self._limit:
                _, (_, dropped) = self._values.popitem(last=False)
                self.bytes -= dropped

    def drop(self, key: Hashable) -> None:
        """Forget one."""
        found = self._values.pop(key, None)
        if found is not None:
            self.bytes -= found[1]

    def __len__(self) -> int:
        """How many keys are kept."""
        return len(self._values)
