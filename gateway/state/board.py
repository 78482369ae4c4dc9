"""What the workers of one gateway keep together in the machine's memory: rate limits, how many requests are under way,
and what each knows of circuits. Without a lock: a worker that is killed at any instruction leaves nothing stuck.

    board = Board.create(seats=4)      # the supervisor, before it forks
    seat = board.take_seat(2)          # in the worker
    board.clear_seat(2)                # the supervisor, once the worker is dead

Numbers are 8 aligned bytes in a `memoryview` of doubles or of 64-bit integers. CPython copies them as 8 bytes of a
fixed size (`pack_single`, `unpack_single`), which compilers make one move of: none is ever seen half written. All but
those of rate limits have one writer, the worker in whose seat they lie; what holds for all is worked out from all.
"""

from __future__ import annotations

import mmap
import secrets

from gateway.state.marks import Marks
from gateway.state.rate_table import RateTable
from gateway.state.records import Record, Records
from gateway.state.tallies import Tallies, Tally


class Board:
    """Anonymous memory that forked processes share. As large as it will ever be: 2 MiB, and 1.1 MiB for each seat; the
    machine gives it page by page as it is used. Mutable state: the memory."""

    def __init__(self, memory: mmap.mmap, seats: int, secret: bytes) -> None:
        """Use `create`."""
        self.seats = seats
        self._memory = memory
        self._secret = secret

    @classmethod
    def create(cls, seats: int) -> Board:
        """A board for so many workers at a time, those included that finish what they have while others have taken
        over. ValueError for none."""
        if seats < 1:
            raise ValueError(f"a board has at least 1 seat, not {seats}")
        size = RateTable.SIZE + seats * (Tallies.SIZE + Records.SIZE)
        # Keyed, so that no client can find keys that are taken for each other.
        return cls(mmap.mmap(-1, size), seats, secrets.token_bytes(16))

    def take_seat(self, number: int) -> Seat:
        """The board as the worker in this seat uses it. ValueError for a seat that is not there. Nobody else may have
        it: a worker that goes keeps its own until it is dead, and then the seat is cleared."""
        self._check(number)
        tallies, records = self._parts()
        return Seat(self._secret, RateTable(self._memory), tallies, records, number)

    def clear_seat(self, number: int) -> None:
        """The worker of this seat is dead: what it had under way is over. About 2 ms."""
        self._check(number)
        for part in self._parts():
            part.clear(number)

    def _check(self, number: int) -> None:
        if not 0 <= number < self.seats:
            raise ValueError(f"there is no seat {number}, only 0 to {self.seats - 1}")

    def _parts(self) -> tuple[Tallies, Records]:
        first = RateTable.SIZE
        second = first + self.seats * Tallies.SIZE
        return Tallies(self._memory, first, self.seats), Records(self._memory, second, self.seats)


class Seat:
    """One worker's place at the board. Mutable state: what is in the memory, and the records that it has there."""

    def __init__(self, secret: bytes, rates: RateTable, tallies: Tallies, records: Records, number: int) -> None:
        self.rates = rates
        self.number = number
        self._secret = secret
        self._tallies = tallies
        self._records = records
        self._mine: dict[Record, None] = {}

    def marks(self, space: str) -> Marks:
        """The marks of keys of one space: what has the same space and key is the same in all workers."""
        return Marks(self._secret, space)

    def tally(self, mark: int) -> Tally:
        """How many of one thing there are, here and in the other workers."""
        return Tally(self._tallies, self.number, mark)

    def record(self, name: str) -> Record | None:
        """Numbers of one thing that the workers tell each other, under the same name. None when there are too many."""
        mark = self.marks("record").of(name)
        cell = self._records.add(self.number, mark)
        if cell is None:
            return None
        record = Record(self._records, self.number, mark, cell, self._mine)
        self._mine[record] = None
        return record

    def tick(self, now: float) -> None:
        """Tell and learn what has happened since the last time; every 20 ms or so. `now` is in monotonic seconds, which
        are the same in all processes of a machine."""
        for record in list(self._mine):
            record.exchange(now)
