"""64 bits for each key, the same in every worker and only there."""

from __future__ import annotations

from gateway.state.marks import Marks

SECRET = bytes(range(16))


def test_the_same_in_all_workers() -> None:
    keys = ["a", b"a", ("a",), ("a", "b"), (("a",), "b"), "", "\ud800", "a\0b"]
    one, other = Marks(SECRET, "space"), Marks(SECRET, "space")
    assert [one.of(key) for key in keys] == [other.of(key) for key in keys] == [one.of(key) for key in keys]
    assert len({one.of(key) for key in keys}) == len(keys)


def test_another_space_or_board_has_others() -> None:
    found = {Marks(secret, space).of("key") for secret in (SECRET, SECRET[::-1]) for space in ("a", "b", "a'b", 'a"b')}
    assert len(found) == 8


def test_they_are_words_and_never_0() -> None:
    marks = Marks(SECRET, "space")
    assert all(0 < marks.of(str(number)) < 1 << 64 for number in range(1000))


def test_memory_is_bounded() -> None:
    marks = Marks(SECRET, "space", limit=10)
    first = marks.of("0")
    for number in range(1000):
        marks.of(str(number))
    assert len(marks) <= 10
    assert marks.of("0") == first
