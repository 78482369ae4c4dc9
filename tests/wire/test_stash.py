"""Pipelined bytes that wait: none is lost, none comes twice, and they stay in order."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.wire.stash import PIECE, Stash

ADD = st.integers(0, 60) | st.integers(PIECE - 2, PIECE + 2) | st.integers(0, 3 * PIECE)
STEPS = st.lists(ADD | st.sampled_from(["next", "clear"]), max_size=25)


@given(STEPS)
@example([PIECE + 1, "next", 5, "next", 7, "next"])
@example([2 * PIECE, "next", "next", "next"])
def test_agrees_with_plain_bytes(steps: list[int | str]) -> None:
    stash = Stash()
    waiting = b""
    written = 0
    for step in steps:
        if isinstance(step, int):
            # No two places within a few pieces hold the same bytes.
            data = b"".join(b"%07d," % (written + number) for number in range(step))[:step]
            written += step
            stash.add(data)
            waiting += data
        elif step == "next":
            assert stash.next_piece() == waiting[:PIECE]
            waiting = waiting[PIECE:]
        else:
            stash.clear()
            waiting = b""
        assert len(stash) == len(waiting)
        assert bool(stash) is bool(waiting)
    assert b"".join(iter(stash.next_piece, b"")) == waiting


def test_nothing_waits_in_a_new_one() -> None:
    stash = Stash()
    assert (len(stash), stash.next_piece()) == (0, b"")


def test_read_of_many_requests_is_not_kept_once_it_is_handed_on() -> None:
    stash = Stash()
    stash.add(b"a" * 2 * PIECE)
    assert [len(stash.next_piece()) for _ in range(2)] == [PIECE, PIECE]
    assert (stash._data, stash._at) == (b"", 0)
