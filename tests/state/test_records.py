"""Rows of numbers that workers tell each other: whole, or not at all."""

from __future__ import annotations

import mmap

from gateway.state import records
from gateway.state.records import NUMBERS, RECORDS, Record, Records

SEATS = 3
MARK = 77


def row(number: float) -> tuple[float, ...]:
    return (float(number),) * NUMBERS


class Worker:
    """One seat, with a memory of its own of where others' rows are."""

    def __init__(self, memory: mmap.mmap, seat: int) -> None:
        self.seat = seat
        self.records = Records(memory, 16, SEATS)
        self.mine: dict[Record, None] = {}

    def record(self, mark: int = MARK) -> Record:
        cell = self.records.add(self.seat, mark)
        assert cell is not None
        record = Record(self.records, self.seat, mark, cell, self.mine)
        self.mine[record] = None
        return record


def memory() -> mmap.mmap:
    return mmap.mmap(-1, 16 + SEATS * Records.SIZE)


def workers() -> list[Worker]:
    shared = memory()
    return [Worker(shared, seat) for seat in range(SEATS)]


def test_others_read_what_was_told_last() -> None:
    one, two, three = (worker.record() for worker in workers())
    one.tell(row(1))
    two.tell(row(2))
    assert sorted(three.others()) == [row(1), row(2)]
    two.tell(row(3))
    assert sorted(three.others()) == [row(1), row(3)]
    assert row(3) in one.others()
    assert row(3) not in two.others()


def test_while_nothing_changes_it_is_the_same_list() -> None:
    one, two, _ = (worker.record() for worker in workers())
    one.tell(row(1))
    read = two.others()
    one.tell(row(1))
    assert two.others() is read
    one.tell(row(2))
    assert two.others() is not read


def test_each_thing_has_its_own() -> None:
    one, two, _ = workers()
    apples, pears = one.record(1), one.record(2)
    other = two.record(2)
    apples.tell(row(1))
    pears.tell(row(2))
    assert row(2) in other.others()
    assert row(1) not in other.others()


def test_one_that_is_closed_is_heard_no_more() -> None:
    one, two, _ = workers()
    record, other = one.record(), two.record()
    record.tell(row(1))
    assert other.others()
    record.close()
    record.close()
    record.tell(row(2))
    assert (other.others(), one.mine) == ([], {})
    again = one.record()
    again.tell(row(3))
    assert other.others() == [row(3)]


def test_rows_are_used_again() -> None:
    (one, *_) = workers()
    for _ in range(RECORDS + 10):
        one.record().close()
    kept = [one.records.add(0, mark) for mark in range(1, 4)]
    assert len(set(kept)) == 3


def test_there_are_so_many_and_no_more() -> None:
    one, two, _ = workers()
    size = records._RECORD >> 3
    start = one.records.starts[0][1]
    for number in range(RECORDS):
        one.records.words[start + 2 + number * size] = number + 1
    one.records.words[start + 1] = RECORDS
    assert one.records.add(0, MARK) is None
    assert one.records.starts[1][1] == start + 2 + RECORDS * size
    assert two.records.add(1, MARK) is not None


def test_half_written_it_is_as_it_was() -> None:
    one, two, _ = (worker.record() for worker in workers())
    one.tell(row(1))
    assert row(1) in two.others()
    words, version = one._records.words, (one._cell or 0) + 1
    words[version] += 1
    records._ROW.pack_into(one._records.memory, (version + 1) << 3, *row(9))
    assert row(1) in two.others()
    assert row(9) not in two.others()
    words[version] += 1
    assert row(9) in two.others()


def test_a_successor_is_not_taken_for_the_one_before() -> None:
    one, two, _ = workers()
    record, other = one.record(), two.record()
    record.tell(row(1))
    assert other.others() == [row(1)]
    one.records.clear(0)
    elsewhere = Worker(one.records.memory, 0).record(5)
    elsewhere.tell(row(2))
    assert other.others() == []


def test_what_a_successor_tells_is_news() -> None:
    one, two, _ = workers()
    record, other = one.record(), two.record()
    record.tell(row(1))
    assert other.others() == [row(1)]
    one.records.clear(0)
    Worker(one.records.memory, 0).record().tell(row(2))
    assert other.others() == [row(2)]


def test_a_worker_that_dies_while_it_writes_is_gone_when_its_seat_is_cleared() -> None:
    one, two, _ = workers()
    record, other = one.record(), two.record()
    record._records.words[(record._cell or 0) + 1] += 1
    Records(one.records.memory, 16, SEATS).clear(0)
    assert other.others() == []
    successor = Worker(one.records.memory, 0)
    successor.record(5)
    fresh = successor.record()
    fresh.tell(row(4))
    assert other.others() == [row(4)]
