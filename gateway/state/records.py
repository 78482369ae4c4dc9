"""What workers tell each other of one thing: a row of numbers, which each writes in its own seat and reads in others'.

A row is read whole or not at all: its version is odd while it is written (a sequence lock, whose writer never waits).
A worker that dies meanwhile leaves a row that nobody reads until its seat is cleared.
"""

from __future__ import annotations

import mmap
import secrets
from collections.abc import Callable, Sequence
from struct import Struct
from typing import ClassVar, Final

# Of how many things a worker may tell, and how many numbers each has.
RECORDS: Final = 4096
NUMBERS: Final = 16
_RECORD: Final = 8 * (2 + NUMBERS)
_ROW: Final = Struct(f"={NUMBERS}d")
# How often records came or went, and how many have been used at most.
_CHANGES, _USED, _HEADER = 0, 1, 2


def _ignore(now: float) -> None:
    """What a tick does with a record that nobody has taken up yet."""


class Records:
    """Rows by seat: a mark, a version, and the numbers; a free row has no mark. `starts` are the seats, each with where
    it begins, in words. Mutable state: the memory, and `found`: how often the rows of each seat had changed when its
    marks were looked for, and where they were then."""

    SIZE: ClassVar[int] = 8 * _HEADER + RECORDS * _RECORD

    def __init__(self, memory: mmap.mmap, start: int, seats: int) -> None:
        """The memory from `start` on, SIZE bytes for each of the seats."""
        self.memory = memory
        self.words: memoryview[int] = memoryview(memory)[: len(memory) & -8].cast("Q")
        self.starts = [(seat, (start + seat * self.SIZE) >> 3) for seat in range(seats)]
        self.found: list[tuple[int, dict[int, int]]] = [(0, {}) for _ in range(seats)]

    def add(self, seat: int, mark: int) -> int | None:
        """A row in this seat, the place of its mark in words; None when all are taken."""
        words, start = self.words, self.starts[seat][1]
        used = words[start + _USED]
        cells = [start + _HEADER + row * (_RECORD >> 3) for row in range(min(used + 1, RECORDS))]
        cell = next((cell for cell in cells if not words[cell]), None)
        if cell is None:
            return None
        words[cell + 1] = secrets.randbits(62) << 1
        words[cell] = mark
        words[start + _USED] = max(used, cells.index(cell) + 1)
        self._changed(start)
        return cell

    def drop(self, seat: int, cell: int) -> None:
        """The row is free."""
        self.words[cell] = 0
        self._changed(self.starts[seat][1])

    def _changed(self, start: int) -> None:
        self.words[start + _CHANGES] = self.words[start + _CHANGES] + 1

    def look(self, seat: int, start: int) -> dict[int, int]:
        """Find the rows of a seat, by their marks."""
        words, step = self.words, _RECORD >> 3
        changes = words[start + _CHANGES]
        first = start + _HEADER
        cells = range(first, first + min(words[start + _USED], RECORDS) * step, step)
        marks = {words[cell]: cell for cell in cells if words[cell]}
        self.found[seat] = changes, marks
        return marks

    def clear(self, seat: int) -> None:
        """Everything of this seat is 0."""
        start = self.starts[seat][1]
        used = 8 * _HEADER + min(self.words[start + _USED], RECORDS) * _RECORD
        self.memory[start << 3 : (start << 3) + used] = bytes(used)
        # Nobody who remembers its last worker takes the next one for that.
        self.words[start + _CHANGES] = secrets.randbits(62)


class Record:
    """One thing's, as one worker tells of it. `exchange` is called at each tick with the monotonic time.

    Mutable state: whether it is closed, what it told last, and the others' rows as they were last read, with their
    versions.
    """

    __slots__ = ("_cell", "_known", "_mark", "_mine", "_others", "_records", "_seat", "_told", "exchange")

    def __init__(self, records: Records, seat: int, mark: int, cell: int, mine: dict[Record, None]) -> None:
        """`mine` are the worker's records, of which this is one until it is closed."""
        self._records = records
        self._seat = seat
        self._mark = mark
        self._cell: int | None = cell
        self._mine = mine
        self._told: Sequence[float] = ()
        self._known: dict[int, tuple[int, tuple[float, ...]]] = {}
        self._others: list[tuple[float, ...]] = []
        self.exchange: Callable[[float], None] = _ignore

    def tell(self, numbers: Sequence[float]) -> None:
        """Let the others know these, NUMBERS of them. After `close` nobody hears."""
        if self._cell is None or numbers == self._told:
            return
        self._told = numbers
        words, version = self._records.words, self._cell + 1
        words[version] = words[version] + 1
        _ROW.pack_into(self._records.memory, (version + 1) << 3, *numbers)
        words[version] = words[version] + 1

    def others(self) -> list[tuple[float, ...]]:
        """What each of the other workers told last: the same list while none of it has changed."""
        records, known, changed = self._records, self._known, False
        words, found = records.words, records.found
        for seat, start in records.starts:
            if seat == self._seat:
                continue
            changes, cells = found[seat]
            if changes != words[start]:
                cells = records.look(seat, start)
            cell = cells.get(self._mark)
            if cell is None:
                changed = known.pop(seat, None) is not None or changed
                continue
            version = words[cell + 1]
            if seat in known and known[seat][0] == version:
                continue
            numbers = _ROW.unpack_from(records.memory, (cell + 2) << 3)
            # Half written, it is told at the next reading.
            if not version & 1 and words[cell + 1] == version:
                known[seat] = version, numbers
                changed = True
        if changed:
            self._others = [numbers for _, numbers in known.values()]
        return self._others

    def close(self) -> None:
        """Tell no more."""
        if self._cell is not None:
            self._records.drop(self._seat, self._cell)
            self._cell = None
            self._mine.pop(self, None)
