"""What a part's answer lets others have of it, for how long, and how much of it all is kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.compose.part_cache import OVERHEAD, PartCache

NOW = 1000.0
MINUTE = 60.0
DATE = {"date": "Tue, 15 Nov 1994 08:12:31 GMT"}


def cache(size: int = 1 << 20) -> PartCache:
    return PartCache(MINUTE, size)


def life(headers: dict[str, str], status: int = 200) -> float:
    """For how long an answer with these fields is given again; 0 for not at all."""
    kept = cache()
    kept.put(b"k", status, headers, b"body", NOW)
    entry = kept.get(b"k", NOW)
    if entry is None:
        assert (len(kept), kept.bytes) == (0, 0)
        return 0.0
    assert (entry.headers, entry.body) == (headers, b"body")
    assert kept.get(b"k", entry.until - 0.001) is entry
    assert kept.get(b"k", entry.until) is None
    assert (len(kept), kept.bytes) == (0, 0)
    return entry.until - NOW


def test_an_answer_is_given_for_its_own_key() -> None:
    kept = cache()
    kept.put(b"a", 200, {"content-type": "a/b"}, b"one", NOW)

    assert kept.get(b"b", NOW) is None
    assert kept.get(b"a", NOW) == ({"content-type": "a/b"}, b"one", NOW + MINUTE)
    kept.put(b"a", 200, {}, b"two", NOW + 1)
    assert kept.get(b"a", NOW) == ({}, b"two", NOW + 1 + MINUTE)
    assert len(kept) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    (
        ({}, MINUTE),
        ({"cache-control": "public"}, MINUTE),
        ({"cache-control": "max-age=5"}, 5),
        ({"cache-control": "max-age=61"}, MINUTE),
        ({"cache-control": "max-age=5, s-maxage=10"}, 10),
        ({"cache-control": "max-age=10, s-maxage=5"}, 5),
        ({"cache-control": "max-age=10, s-maxage=0"}, 0),
        ({"cache-control": "max-age=0"}, 0),
        ({"cache-control": "max-age=soon"}, 0),
        ({"cache-control": "max-age=5", "age": "3"}, 2),
        ({"cache-control": "max-age=100", "age": "30"}, MINUTE),
        ({"cache-control": "max-age=5", "age": "5"}, 0),
        ({"cache-control": "max-age=5", "age": "old"}, 5),
        ({"age": "3000"}, MINUTE),
        ({"cache-control": "no-store"}, 0),
        ({"cache-control": "No-Cache, max-age=5"}, 0),
        ({"cache-control": 'no-cache="x-a"'}, 0),
        ({"cache-control": "max-age=5, private"}, 0),
        ({"cache-control": "max-age=5; private"}, 0),
        ({"set-cookie": "a=b", "cache-control": "max-age=5"}, 0),
        ({"vary": "Accept, Origin"}, MINUTE),
        ({"vary": "*"}, 0),
        ({"vary": "Accept, *"}, 0),
        (DATE | {"expires": "Tue, 15 Nov 1994 08:12:41 GMT"}, 10),
        (DATE | {"expires": "Tue, 15 Nov 1994 08:12:41 GMT", "age": "4"}, 6),
        (DATE | {"expires": "Tue, 15 Nov 1994 08:12:41 GMT", "cache-control": "max-age=5"}, 5),
        (DATE | {"expires": "Tue, 15 Nov 1995 08:12:41 GMT"}, MINUTE),
        (DATE | {"expires": DATE["date"]}, 0),
        (DATE | {"expires": "0"}, 0),
        (DATE | {"expires": "Tue, 15 Now 1994 08:12:41 GMT"}, 0),
        ({"expires": "Tue, 15 Nov 2094 08:12:41 GMT"}, 0),
        ({"expires": "Tue, 15 Nov 2094 08:12:41 GMT", "date": "today"}, 0),
    ),
)
def test_how_long_an_answer_is_fresh(headers: dict[str, str], seconds: float) -> None:
    assert life(headers) == seconds


@pytest.mark.parametrize("status", (201, 203, 204, 206, 301, 304, 404, 500))
def test_nothing_but_a_200_is_kept(status: int) -> None:
    assert life({"cache-control": "max-age=5"}, status) == 0


@given(st.text("Tue, 15Nov1994 :+-JanGMTZ\x000", max_size=30), st.text("Tue, 0123456789Nov:+-GMT", max_size=30))
def test_any_date_can_be_read(expires: str, date: str) -> None:
    assert 0 <= life({"expires": expires, "date": date}) <= MINUTE


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3000), st.booleans()), max_size=30))
def test_never_more_than_its_size(steps: list[tuple[int, int, bool]]) -> None:
    kept = cache(4 * (OVERHEAD + 2000))
    for number, length, asks in steps:
        key = b"%d" % number
        if asks:
            kept.get(key, NOW)
        else:
            kept.put(key, 200, {"a": "bc"}, bytes(length), NOW)
            assert (kept.get(key, NOW) is not None) is (length <= 2000 - 4)
        assert kept.bytes <= 4 * (OVERHEAD + 2000)


def test_what_is_used_stays() -> None:
    kept = cache(4 * (OVERHEAD + 100))
    for key in (b"a", b"b", b"c", b"d"):
        kept.put(key, 200, {}, bytes(99), NOW)
    kept.get(b"a", NOW)
    kept.put(b"e", 200, {}, bytes(99), NOW)

    assert [key for key in (b"a", b"b", b"c", b"d", b"e") if kept.get(key, NOW)] == [b"a", b"c", b"d", b"e"]
    assert repr(kept) == f"<PartCache 4 answers, {4 * (OVERHEAD + 100)} bytes>"


def test_what_the_caller_does_to_its_headers_afterwards_changes_nothing() -> None:
    kept, headers = cache(), {"content-type": "a/b"}
    kept.put(b"k", 200, headers, b"", NOW)
    headers.clear()

    assert kept.get(b"k", NOW) == ({"content-type": "a/b"}, b"", NOW + MINUTE)
