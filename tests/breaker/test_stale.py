"""Which answers are kept, for whom, and for how long."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.breaker.stale import OVERHEAD, Collector, StaleStore
from gateway.exchange import Exchange, Reply
from gateway.testing import Fields, make_exchange, make_head

NOW = 1000.0
MIB = 1 << 20


def store(size: int = MIB, seconds: float = 60.0) -> StaleStore:
    return StaleStore(size, seconds)


def keep(
    stale: StaleStore,
    exchange: Exchange | None = None,
    headers: Fields | None = None,
    body: bytes = b"good",
    now: float = NOW,
    status: int = 200,
) -> bool:
    """Let an answer pass; whether it was wanted."""
    tap = stale.tap(exchange or make_exchange(), make_head(status, headers), now)
    if tap is None:
        return False
    tap.feed(body[:2])
    tap.feed(body[2:])
    tap.end()
    return True


def body(reply: Reply | None) -> bytes | None:
    return reply.body if reply is not None else None


def find(stale: StaleStore, exchange: Exchange | None = None, now: float = NOW) -> bytes | None:
    return body(stale.find(exchange or make_exchange(), now))


def test_the_last_good_answer_is_given_with_its_age() -> None:
    stale = store()
    keep(stale, headers={"Content-Type": "text/plain", "X-A": "b"}, body=b"first")
    keep(stale, headers={"Content-Type": "text/html", "Age": "30"}, body=b"second", now=NOW + 1)

    reply = stale.find(make_exchange(), NOW + 11.9)

    assert reply is not None
    assert (reply.status, reply.headers, reply.body) == (200, {"Content-Type": "text/html", "Age": "40"}, b"second")
    assert len(stale) == 1


@pytest.mark.parametrize(
    ("method", "status", "wanted"),
    (
        ("GET", 200, True),
        ("HEAD", 200, False),
        ("POST", 200, False),
        ("GET", 201, False),
        ("GET", 206, False),
        ("GET", 404, False),
    ),
)
def test_only_a_200_for_get_is_kept(method: str, status: int, wanted: bool) -> None:
    assert keep(store(), make_exchange(method), status=status) is wanted


@pytest.mark.parametrize(("method", "given_"), (("GET", b"good"), ("HEAD", b"good"), ("POST", None), ("DELETE", None)))
def test_get_and_head_are_answered(method: str, given_: bytes | None) -> None:
    stale = store()
    keep(stale)

    assert find(stale, make_exchange(method)) == given_


@pytest.mark.parametrize(
    "headers",
    (
        {"Set-Cookie": "a=b"},
        {"Cache-Control": "private"},
        {"Cache-Control": 'max-age=5, Private="x-a"'},
        {"Cache-Control": "NO-STORE"},
        {"Cache-Control": "no-cache, max-age=0"},
        {"Cache-Control": 'no-cache="x-a"'},
        {"Cache-Control": "max-age=5, must-revalidate"},
        {"Cache-Control": "proxy-revalidate"},
        {"Cache-Control": "s-maxage=5"},
        {"Cache-Control": "max-age=5; private"},
        [("Cache-Control", "max-age=5"), ("Cache-Control", "no-store")],
        {"Vary": "*"},
        {"Vary": "Accept, *"},
    ),
)
def test_what_is_never_kept(headers: Fields) -> None:
    assert not keep(store(), headers=headers)


@pytest.mark.parametrize(
    "headers",
    (
        {"Cache-Control": "max-age=0"},
        {"Cache-Control": "public"},
        {"Cache-Control": 'x="a, private"'},
        {"Vary": ""},
        {"X-Private": "no-store"},
    ),
)
def test_what_may_be_kept(headers: Fields) -> None:
    stale = store()

    assert keep(stale, headers=headers)
    assert find(stale) == b"good"


@pytest.mark.parametrize(
    "fields",
    (
        {"path": "/other"},
        {"path": "/?a=1"},
        {"headers": {"Host": "other.test"}},
        {"route": "other"},
        {"frontend": "mobile"},
    ),
)
def test_another_resource_has_another_answer(fields: dict[str, Any]) -> None:
    stale = store()
    keep(stale)

    assert find(stale, make_exchange("GET", **fields)) is None


# whose answer it is


@pytest.mark.parametrize("header", ("Authorization", "Cookie"))
def test_who_may_be_known_takes_no_part(header: str) -> None:
    stale = store()
    known = make_exchange("GET", "/", {header: "x"})

    assert not keep(stale, known)
    keep(stale)
    assert find(stale, known) is None


def test_claims_without_a_name_take_no_part() -> None:
    stale = store()

    assert not keep(stale, make_exchange(claims={"role": "admin"}))
    keep(stale)
    assert find(stale, make_exchange(claims={"role": "admin"})) is None


def test_a_principal_sees_his_own_answers_alone() -> None:
    stale = store()
    keep(stale, make_exchange("GET", "/", {"Authorization": "x"}, principal="ann"), body=b"ann's")
    keep(stale, body=b"everybody's")

    assert find(stale, make_exchange("GET", "/", {"Cookie": "y"}, principal="ann")) == b"ann's"
    assert find(stale, make_exchange(principal="bob")) is None
    assert find(stale, make_exchange(principal="")) is None
    assert find(stale) == b"everybody's"


# variants


def test_variants_are_told_apart() -> None:
    stale = store()
    for language in ("de", "en"):
        keep(
            stale,
            make_exchange("GET", "/", {"Accept-Language": language}),
            {"Vary": "Accept-Language"},
            language.encode(),
        )

    assert find(stale, make_exchange("GET", "/", {"accept-language": "de"})) == b"de"
    assert find(stale, make_exchange("GET", "/", {"Accept-Language": "en"})) == b"en"
    assert find(stale, make_exchange("GET", "/", {"Accept-Language": "fr"})) is None
    assert find(stale) is None


def test_absent_and_empty_are_two_variants() -> None:
    stale = store()
    keep(stale, headers={"Vary": "X-A"})

    assert find(stale) == b"good"
    assert find(stale, make_exchange("GET", "/", {"X-A": ""})) is None


def test_several_fields_of_vary_in_any_order_and_spelling() -> None:
    stale = store()
    asked = {"Accept-Encoding": "gzip", "Accept": "text/html"}
    keep(stale, make_exchange("GET", "/", asked), [("Vary", "accept-ENCODING"), ("Vary", "Accept")], b"old")
    keep(
        stale, make_exchange("GET", "/", asked), {"Vary": "Accept, Accept-Encoding", "Content-Encoding": "gzip"}, b"new"
    )

    reply = stale.find(make_exchange("GET", "/", asked), NOW)

    assert len(stale) == 1
    assert reply is not None
    assert reply.body == b"new"
    assert reply.headers["Content-Encoding"] == "gzip"
    assert find(stale, make_exchange("GET", "/", {"Accept": "text/html"})) is None


def test_a_vary_that_changes_holds_from_then_on() -> None:
    stale = store()
    keep(stale, body=b"for all")
    keep(stale, make_exchange("GET", "/", {"X-Tenant": "a"}), {"Vary": "X-Tenant"}, b"for a")

    assert find(stale, make_exchange("GET", "/", {"X-Tenant": "a"})) == b"for a"
    assert find(stale) is None
    assert find(stale, make_exchange("GET", "/", {"X-Tenant": "b"})) is None

    keep(stale, make_exchange("GET", "/", {"X-Tenant": "a", "X-Shard": "1"}), {"Vary": "X-Shard"}, b"for 1")

    assert find(stale, make_exchange("GET", "/", {"X-Tenant": "a", "X-Shard": "2"})) is None
    assert find(stale, make_exchange("GET", "/", {"X-Tenant": "b", "X-Shard": "1"})) == b"for 1"


# what is kept of an answer


def test_what_belongs_to_the_message_or_the_connection_is_not_kept() -> None:
    stale = store()
    headers = [
        ("Date", "Tue, 01 Jan 2030 00:00:00 GMT"),
        ("Content-Length", "4"),
        ("Keep-Alive", "timeout=5"),
        ("Connection", "keep-alive"),
        ("ETag", '"1"'),
        ("Link", "</a>"),
        ("link", "</b>"),
    ]
    keep(stale, headers=headers)

    reply = stale.find(make_exchange(), NOW)

    assert reply is not None
    assert reply.headers == {"ETag": '"1"', "Link": "</a>, </b>", "Age": "0"}


def test_a_body_that_broke_off_is_not_kept() -> None:
    stale = store()
    tap = stale.tap(make_exchange(), make_head(), NOW)
    assert tap is not None
    tap.feed(b"half")

    assert (len(stale), find(stale)) == (0, None)


def test_an_age_that_is_no_number_is_none() -> None:
    stale = store()
    keep(stale, headers={"Age": "old"})
    reply = stale.find(make_exchange(), NOW)

    assert reply is not None
    assert reply.headers["Age"] == "0"


def test_fields_as_they_came() -> None:
    stale = store()
    received = make_head(headers={"X-A": "theirs", "Vary": "X-B"})
    edited = make_head(headers={"X-A": "ours", "Vary": "X-C"})
    exchange = make_exchange("GET", "/", {"X-B": "1", "X-C": "1"})
    tap = stale.tap(exchange, edited, NOW, received)
    assert tap is not None
    tap.end()

    reply = stale.find(exchange, NOW)

    assert reply is not None
    assert reply.headers["X-A"] == "theirs"
    assert find(stale, make_exchange("GET", "/", {"X-B": "1"})) is None
    assert find(stale, make_exchange("GET", "/", {"X-C": "1"})) is None


@pytest.mark.parametrize("headers", ({"Set-Cookie": "a=b"}, {"Cache-Control": "private"}))
def test_what_came_and_what_plugins_made_of_it_may_both_forbid(headers: Fields) -> None:
    assert store().tap(make_exchange(), make_head(headers=headers), NOW, make_head()) is None
    assert store().tap(make_exchange(), make_head(), NOW, make_head(headers=headers)) is None


# bounds


def test_an_answer_grows_too_old() -> None:
    stale = store(seconds=60)
    keep(stale)

    assert find(stale, now=NOW + 60) == b"good"
    assert find(stale, now=NOW + 60.1) is None
    assert (len(stale), stale.bytes) == (0, 0)


def test_what_is_too_old_goes_when_something_comes() -> None:
    stale = store(seconds=60)
    keep(stale, make_exchange("GET", "/old"))
    keep(stale, make_exchange("GET", "/new"), now=NOW + 61)

    assert len(stale) == 1


def test_the_oldest_goes_first() -> None:
    stale = store(size=8 * OVERHEAD)
    for number in range(20):
        keep(stale, make_exchange("GET", f"/{number}"), now=NOW + number)
        keep(stale, make_exchange("GET", "/again"), now=NOW + number)

    assert stale.bytes <= 8 * OVERHEAD
    assert find(stale, make_exchange("GET", "/0"), NOW + 20) is None
    assert find(stale, make_exchange("GET", "/19"), NOW + 20) == b"good"
    assert find(stale, make_exchange("GET", "/again"), NOW + 20) == b"good"


def test_an_answer_takes_a_quarter_at_most() -> None:
    stale = store(size=64 * 1024)
    assert stale.largest == 16 * 1024
    assert not keep(stale, headers={"Content-Length": str(16 * 1024 + 1)}), "it is not even collected"

    keep(stale, make_exchange("GET", "/large"), body=b"x" * 16 * 1024)
    keep(stale, make_exchange("GET", "/headers"), {"X-A": "x" * 16 * 1024})
    keep(stale, make_exchange("GET", "/fits"), body=b"x" * 14 * 1024)

    assert find(stale, make_exchange("GET", "/large")) is None
    assert find(stale, make_exchange("GET", "/headers")) is None
    assert find(stale, make_exchange("GET", "/fits")) == b"x" * 14 * 1024


def gathering(stale: StaleStore, path: str = "/", now: float = NOW, **asked: str) -> Collector:
    tap = stale.tap(make_exchange("GET", path, asked), make_head(), now)
    assert tap is not None
    return tap


def test_a_body_that_grows_too_large_is_let_go() -> None:
    stale = store(size=64 * 1024)
    tap = gathering(stale)
    tap.feed(bytes(10 * 1024))
    assert stale.gathering == 10 * 1024
    tap.feed(bytes(10 * 1024))
    assert stale.gathering == 0
    tap.feed(b"x")

    tap.end()

    assert (stale.gathering, len(stale)) == (0, 0)


def test_bodies_under_way_take_half_at_most() -> None:
    stale = store(size=64 * 1024)
    taps = [gathering(stale, f"/{number}") for number in range(10)]
    for tap in taps:
        for _ in range(8):
            tap.feed(bytes(1024))
        assert stale.gathering <= 32 * 1024

    for tap in taps:
        tap.end()

    assert (stale.gathering, len(stale)) == (0, 4)


def test_bodies_under_way_take_the_place_of_the_oldest_answers() -> None:
    stale = store(size=64 * 1024)
    for number in range(6):
        keep(stale, make_exchange("GET", f"/{number}"), body=bytes(9 * 1024))
    assert len(stale) == 6
    tap = gathering(stale, "/new")
    tap.feed(bytes(14 * 1024))

    assert stale.bytes + stale.gathering <= 64 * 1024
    tap.end()
    assert find(stale, make_exchange("GET", "/new")) == bytes(14 * 1024)
    assert find(stale, make_exchange("GET", "/0")) is None
    assert find(stale, make_exchange("GET", "/5")) is not None


def test_what_is_given_up_is_given_back_once() -> None:
    stale = store()
    first, second = gathering(stale), gathering(stale)
    first.feed(b"half")
    second.feed(b"other")

    first.abandon()
    first.abandon()
    first.end()

    assert (stale.gathering, len(stale)) == (5, 0)


def test_a_slow_old_body_does_not_replace_a_newer_answer() -> None:
    stale = store()
    slow = gathering(stale)
    slow.feed(b"old")
    keep(stale, body=b"new", now=NOW + 5)

    slow.end()

    assert (find(stale, now=NOW + 5), len(stale)) == (b"new", 1)


def test_a_slow_old_body_does_not_bring_its_vary_back() -> None:
    stale = store()
    slow = gathering(stale)
    keep(stale, make_exchange("GET", "/", {"X-A": "1"}), {"Vary": "X-A"}, b"new", NOW + 5)

    slow.end()

    assert find(stale, make_exchange("GET", "/", {"X-A": "1"}), NOW + 5) == b"new"
    assert find(stale, make_exchange("GET", "/", {"X-A": "2"}), NOW + 5) is None


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.integers(0, 3000), st.floats(0, 30), st.booleans()),
        max_size=60,
    )
)
def test_it_never_holds_more_than_its_size_and_gives_what_was_kept_last(
    answers: list[tuple[int, str, int, float, bool]],
) -> None:
    size, now = 24 * 1024, NOW
    stale = store(size, seconds=60)
    last: dict[tuple[int, str], tuple[bytes, float]] = {}
    for path, tenant, length, passed, asks in answers:
        now += passed
        exchange = make_exchange("GET", f"/{path}", {"X-Tenant": tenant})
        if asks:
            found = find(stale, exchange, now)
            if found is not None:
                assert found == last[path, tenant][0]
                assert now - last[path, tenant][1] <= 60
        else:
            made = bytes([path]) * length
            keep(stale, exchange, {"Vary": "X-Tenant"}, made, now)
            last[path, tenant] = (made, now)
            assert find(stale, exchange, now) == made
        assert 0 <= stale.bytes <= size
        assert bool(stale.bytes) == bool(len(stale))
