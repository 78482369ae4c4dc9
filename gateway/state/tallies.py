"""How many of each thing every worker has: a cell for each, in the worker's own seat. Pure."""

from __future__ import annotations

import mmap
import sys
from struct import Struct
from typing import ClassVar, Final

BUCKETS: Final = 1 << 12
# A seat has so many cells in each bucket. With 10,000 things at a time one in a thousand finds no cell.
WAYS: Final = 8
_CELL: Final = 16
_SEAT: Final = WAYS * _CELL
_WORD: Final = Struct("=Q")


class Tallies:
    """Cells, each a mark and a number, by bucket and seat; one whose number is 0 is free. Mutable state: the memory."""

    SIZE: ClassVar[int] = BUCKETS * _SEAT

    def __init__(self, memory: mmap.mmap, start: int, seats: int) -> None:
        """The memory from `start` on, SIZE bytes for each of the seats."""
        self.memory = memory
        self.words: memoryview[int] = memoryview(memory)[: len(memory) & -8].cast("Q")
        self._start = start
        self._row = seats * _SEAT

    def row(self, mark: int) -> tuple[int, int]:
        """Where the cells of all seats begin and end that this mark may be in, in bytes."""
        begin = self._start + (mark & (BUCKETS - 1)) * self._row
        return begin, begin + self._row

    def cells(self, mark: int, seat: int) -> range:
        """The cells of this seat that the mark may be in: the indexes of their numbers, each behind its mark."""
        first = (self.row(mark)[0] + seat * _SEAT) >> 3
        return range(first + 1, first + 2 * WAYS, 2)

    def clear(self, seat: int) -> None:
        """Everything of this seat is 0."""
        for begin in range(self._start + seat * _SEAT, self._start + BUCKETS * self._row, self._row):
            self.memory[begin : begin + _SEAT] = bytes(_SEAT)


class Tally:
    """One thing's. Mutable state: `own`, how many this worker has, and the cell that says so to the others while there
    are any. Where no cell is free, the others do not know of them."""

    __slots__ = ("_cell", "_cells", "_mark", "_memory", "_pattern", "_row", "_told", "_words", "own")

    def __init__(self, tallies: Tallies, seat: int, mark: int) -> None:
        self._memory = tallies.memory
        self._words = tallies.words
        self._mark = mark
        self._pattern = mark.to_bytes(8, sys.byteorder)
        self._row = slice(*tallies.row(mark))
        self._cells = tallies.cells(mark, seat)
        self._cell = self._cells[0]
        self._told = False
        self.own = 0

    def put(self, number: int) -> None:
        """This worker has so many."""
        self.own = number
        if not self._told:
            if not number:
                return
            words = self._words
            if words[self._cell]:
                # It is another thing's by now.
                self._cell = next((cell for cell in self._cells if not words[cell]), self._cell)
                if words[self._cell]:
                    return
            words[self._cell - 1] = self._mark
        self._words[self._cell] = number
        self._told = number > 0

    def total(self) -> int:
        """How many there are in all workers."""
        total = 0 if self._told else self.own
        # One copy of all cells that it may be in, searched in C.
        cells, pattern = self._memory[self._row], self._pattern
        at = cells.find(pattern)
        while at >= 0:
            if not at % _CELL:
                total += _WORD.unpack_from(cells, at + 8)[0]
            at = cells.find(pattern, at + 8)
        return total

    def take(self, most: int) -> bool:
        """One more, unless there are `most` already.

        Taken first and counted then, so two workers at the same moment may both find one too many and give it back.
        That both find room takes a processor that lets reads pass a write made hundreds of instructions before.
        """
        self.put(self.own + 1)
        if self.total() > most:
            self.put(self.own - 1)
            return False
        return True

    def __repr__(self) -> str:
        return f"<Tally {self.own} of {self.total()}>"
