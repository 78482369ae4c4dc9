"""The TATs of rate limits, one for each key, in memory that all workers write. Pure: time is passed in.

Two workers that take from one bucket at the same moment, within 0.1 us, may both write what only one has taken: that is
one request too many. Of two new keys that come to one slot at once, one starts anew. Nothing else can go wrong, and
nothing lasts: a slot whose TAT is past is free, since a full bucket says nothing.
"""

from __future__ import annotations

import mmap
from typing import ClassVar, Final

SLOTS: Final = 1 << 17
# Among so many slots a key may stand.
WAYS: Final = 8


class RateTable:
    """`marks` and `tats` by slot; a TAT is in monotonic seconds. A key stands in the first slot with its mark of those
    from `mark & first` on. Mutable state: the memory, its first SIZE bytes."""

    SIZE: ClassVar[int] = SLOTS * 16
    first: ClassVar[int] = (SLOTS - 1) & -WAYS

    def __init__(self, memory: mmap.mmap) -> None:
        view = memoryview(memory)
        half = SLOTS * 8
        self.marks: memoryview[int] = view[:half].cast("Q")
        self.tats: memoryview[float] = view[half : 2 * half].cast("d")

    def find(self, mark: int, now: float) -> int:
        """The slot of a mark. One that is not there gets a free slot, or the one that would be free soonest."""
        marks, tats = self.marks, self.tats
        first = mark & self.first
        slots = range(first, first + WAYS)
        for slot in slots:
            if marks[slot] == mark:
                return slot
        slot = next((slot for slot in slots if tats[slot] <= now), -1)
        if slot < 0:
            slot = min(slots, key=tats.__getitem__)
        # In this order: nobody may find the TAT of another key under the mark.
        tats[slot] = 0.0
        marks[slot] = mark
        return slot
