"""Sessions in the shared state, and what is known of them here."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gateway.auth.sessions import Session, Sessions, read_session, session_key
from gateway.plugin import Shared, SharedUnavailable
from gateway.state.memory import MemoryShared
from gateway.testing import FakeClock
from tests.support.polling import turns

CLAIMS = {"sub": "1", "roles": ["admin"]}
IDLE, MAX_AGE = 600.0, 3600.0


class Store:
    """A memory that notes what it is asked, and can be taken away. `held` keeps answers about an entry back."""

    def __init__(self, clock: FakeClock) -> None:
        self.memory = MemoryShared(clock)
        self.asked: list[tuple[str, str]] = []
        self.there = True
        self.held: dict[str, asyncio.Event] = {}

    async def get(self, key: str) -> bytes | None:
        entry = self._note("get", key)
        found = await self.memory.get(key)
        if entry in self.held:
            await self.held[entry].wait()
        return found

    async def set(self, key: str, value: bytes, ttl: float | None = None) -> None:
        self._note("set", key)
        await self.memory.set(key, value, ttl)

    async def add(self, key: str, amount: int = 1, ttl: float | None = None) -> int:
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        self._note("delete", key)
        await self.memory.delete(key)

    def hold(self, entry: str) -> asyncio.Event:
        self.held[entry] = asyncio.Event()
        return self.held[entry]

    def _note(self, what: str, key: str) -> str:
        if not self.there:
            raise SharedUnavailable("gone")
        entry = "active" if key.endswith(":active") else "record"
        self.asked.append((what, entry))
        return entry

    def took(self) -> list[tuple[str, str]]:
        asked, self.asked = self.asked, []
        return asked


class Bench:
    """Sessions of one or more instances with a clock and a store in common."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.store = Store(self.clock)

    def instance(self, shared: Shared | None = None, space: str = "auth:sid", **headers: str) -> Sessions:
        return Sessions(shared or self.store, self.clock, space, IDLE, MAX_AGE, headers)

    def keys(self) -> list[str]:
        return list(self.store.memory._entries)

    async def begun(self, sessions: Sessions, **claims: Any) -> bytes:
        session_id, _ = await sessions.begin({**CLAIMS, **claims}, {})
        self.store.took()
        return key_of(session_id)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def key_of(session_id: str) -> bytes:
    key = session_key(session_id)
    assert key is not None
    return key


async def test_a_session_has_an_id_that_is_kept_nowhere(bench: Bench) -> None:
    sessions = bench.instance()
    session_id, session = await sessions.begin(CLAIMS, {"access_token": "at", "refresh_token": "rt"})

    assert len(session_id) == 43, "256 bits"
    assert (session.subject, session.claims) == ("1", CLAIMS)
    key = key_of(session_id)
    assert set(bench.keys()) == {f"session:auth:sid:{key.hex()}", f"session:auth:sid:{key.hex()}:active"}
    stored = repr(bench.store.memory._entries)
    assert session_id not in stored
    assert session_id not in repr(vars(sessions))
    record = orjson.loads(await bench.store.memory.get(f"session:auth:sid:{key.hex()}") or b"")
    assert (record["access_token"], record["refresh_token"]) == ("at", "rt")


async def test_ids_and_csrf_tokens_are_new_each_time(bench: Bench) -> None:
    sessions = bench.instance()
    begun = [await sessions.begin(CLAIMS, {}) for _ in range(50)]

    assert len({text for session_id, session in begun for text in (session_id, session.csrf)}) == 100


async def test_it_is_known_here_at_once_and_elsewhere_by_asking(bench: Bench) -> None:
    one, other = bench.instance(), bench.instance()
    key = await bench.begun(one)

    assert one.fresh(key, bench.clock.now()) is not None
    assert other.fresh(key, bench.clock.now()) is None
    found = await other.find(key)
    assert found is not None
    assert found.claims == CLAIMS
    assert other.fresh(key, bench.clock.now()) is found


async def test_a_local_copy_lasts_a_second(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)

    bench.clock.advance(0.999)
    assert sessions.fresh(key, bench.clock.now()) is not None
    bench.clock.advance(0.001)
    assert sessions.fresh(key, bench.clock.now()) is None


async def test_the_second_counts_from_the_question(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)
    bench.clock.advance(5)
    answer = bench.store.hold("record")
    finding = asyncio.ensure_future(sessions.find(key))
    await turns()
    bench.clock.advance(0.9)
    answer.set()
    assert await finding is not None

    assert sessions.fresh(key, bench.clock.now()) is not None
    bench.clock.advance(0.1)
    assert sessions.fresh(key, bench.clock.now()) is None


async def test_one_that_was_ended_elsewhere_is_gone_within_a_second(bench: Bench) -> None:
    one, other = bench.instance(), bench.instance()
    key = await bench.begun(one)
    assert await other.find(key) is not None

    await one.end(key)

    assert one.fresh(key, bench.clock.now()) is None
    assert await one.find(key) is None
    bench.clock.advance(1)
    assert other.fresh(key, bench.clock.now()) is None
    assert await other.find(key) is None
    assert bench.keys() == []


async def test_a_renewal_under_way_brings_no_ended_session_back(bench: Bench) -> None:
    one, other = bench.instance(), bench.instance()
    key = await bench.begun(one)
    answer = bench.store.hold("active")
    renewing = asyncio.ensure_future(other.find(key))
    await turns()
    await one.end(key)
    answer.set()
    assert await renewing is not None, "it was asked before the end"
    assert bench.store.took()[-1] == ("set", "active"), "this is what comes too late"

    bench.clock.advance(1)
    assert await one.find(key) is None
    assert await other.find(key) is None


async def test_many_at_once_ask_once(bench: Bench) -> None:
    one, other = bench.instance(), bench.instance()
    key = await bench.begun(one)

    found = await asyncio.gather(*(other.find(key) for _ in range(20)))

    assert len(set(map(id, found))) == 1
    assert bench.store.took() == [("get", "record"), ("get", "active"), ("set", "active")]


async def test_idle_time_begins_anew_seldom(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)
    for _ in range(29):
        bench.clock.advance(1)
        assert await sessions.find(key) is not None
    assert bench.store.took() == [("get", "record")] * 29

    bench.clock.advance(1)
    assert await sessions.find(key) is not None
    assert bench.store.took() == [("get", "record"), ("get", "active"), ("set", "active")]


async def test_requests_keep_it_alive_until_its_end(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)
    for _ in range(int(MAX_AGE / 300) - 1):
        bench.clock.advance(300)
        assert await sessions.find(key) is not None
    bench.clock.advance(299.5)
    assert await sessions.find(key) is not None

    bench.clock.advance(0.5)
    assert sessions.fresh(key, bench.clock.now()) is None, "no local copy outlives the session"
    assert await sessions.find(key) is None


async def test_the_store_need_not_keep_it_any_longer(bench: Bench) -> None:
    key = await bench.begun(bench.instance())
    name = f"session:auth:sid:{key.hex()}"
    assert await bench.store.get(name) is not None

    bench.clock.advance(MAX_AGE)

    assert await bench.store.get(name) is None
    assert await bench.store.get(f"{name}:active") is None


async def test_without_requests_it_ends(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)

    bench.clock.advance(IDLE)

    assert await sessions.find(key) is None
    assert await bench.instance().find(key) is None


async def test_a_clock_that_is_late_does_not_prolong_it(bench: Bench) -> None:
    key = await bench.begun(bench.instance())
    late = FakeClock(now=50.0, wall=bench.clock.wall() + MAX_AGE)

    assert await Sessions(bench.store, late, "auth:sid", IDLE, MAX_AGE, {}).find(key) is None


async def test_sessions_of_another_kind_are_none(bench: Bench) -> None:
    key = await bench.begun(bench.instance(space="auth:sid"))

    assert await bench.instance(space="auth:admin").find(key) is None


async def test_what_was_made_for_it_stays_with_it(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)
    known = sessions.fresh(key, bench.clock.now())
    assert known is not None
    known.authorizations["service"] = ("Bearer a.b.c", 5000.0)
    bench.clock.advance(1)

    found = await sessions.find(key)

    assert found is not None
    assert found.authorizations == {"service": ("Bearer a.b.c", 5000.0)}


async def test_other_claims_under_its_id_get_tokens_of_their_own(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)
    known = sessions.fresh(key, bench.clock.now())
    assert known is not None
    known.authorizations["service"] = ("Bearer a.b.c", 5000.0)
    name = f"session:auth:sid:{key.hex()}"
    record = orjson.loads(await bench.store.memory.get(name) or b"")
    await bench.store.memory.set(name, orjson.dumps({**record, "claims": {"sub": "2"}}))
    bench.clock.advance(1)

    found = await sessions.find(key)

    assert found is not None
    assert (found.subject, found.authorizations) == ("2", {})


async def test_no_session_where_the_store_is_gone(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)
    bench.store.there = False
    assert sessions.fresh(key, bench.clock.now()) is not None, "for the rest of its second"
    bench.clock.advance(1)

    assert sessions.fresh(key, bench.clock.now()) is None
    for call in (sessions.find(key), sessions.end(key), sessions.begin(CLAIMS, {})):
        with pytest.raises(SharedUnavailable):
            await call


async def test_a_logout_that_fails_is_no_logout(bench: Bench) -> None:
    sessions = bench.instance()
    key = await bench.begun(sessions)
    bench.store.there = False
    with pytest.raises(SharedUnavailable):
        await sessions.end(key)
    assert sessions.fresh(key, bench.clock.now()) is None


async def test_floods_of_sessions_are_bounded(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.auth.sessions.KEPT", 20)
    sessions = bench.instance()
    for _ in range(100):
        await sessions.begin(CLAIMS, {})

    assert len(sessions._known) <= 20


@pytest.mark.parametrize("session_id", ["", "a", "a" * 42, "a" * 44, "a" * 100_000])
def test_what_is_no_id_has_no_key(session_id: str) -> None:
    assert session_key(session_id) is None


def test_any_text_of_its_length_has_a_key() -> None:
    assert session_key("\xff" * 43) != session_key("a" * 43)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"rubbish",
        b"[]",
        b"1",
        b'"text"',
        b"{}",
        b'{"claims": {"sub": "1"}, "csrf": "t"}',
        b'{"claims": {"sub": "1"}, "csrf": "t", "expires": "9999999999.0"}',
        b'{"claims": {"sub": "1"}, "csrf": "t", "expires": true}',
        b'{"claims": {"sub": "1"}, "csrf": "", "expires": 9999999999.0}',
        b'{"claims": {"sub": "1"}, "csrf": 5, "expires": 9999999999.0}',
        b'{"claims": {"sub": ""}, "csrf": "t", "expires": 9999999999.0}',
        b'{"claims": {"sub": 1}, "csrf": "t", "expires": 9999999999.0}',
        b'{"claims": {}, "csrf": "t", "expires": 9999999999.0}',
        b'{"claims": ["sub"], "csrf": "t", "expires": 9999999999.0}',
        b'{"claims": {"sub": "a\\r\\nX-Admin: 1"}, "csrf": "t", "expires": 9999999999.0}',
    ],
)
async def test_a_record_that_does_not_parse_is_no_session(bench: Bench, record: bytes) -> None:
    with pytest.raises(ValueError, match="."):
        read_session(record, {"sub": "X-User"})
    key = key_of("a" * 43)
    for name in ("", ":active"):
        await bench.store.set(f"session:auth:sid:{key.hex()}{name}", record)

    assert await bench.instance(sub="X-User").find(key) is None


def test_a_session_shows_nothing_of_itself() -> None:
    session = Session({"sub": "ada"}, "csrf-token", 5.0, ())
    session.authorizations["a"] = ("Bearer secret", 1.0)

    assert repr(session) == "<Session expires=5.0>"


async def test_claims_that_cannot_be_headers_begin_no_session(bench: Bench) -> None:
    with pytest.raises(ValueError, match="control character"):
        await bench.instance(sub="X-User").begin({"sub": "a\nb"}, {})

    assert bench.keys() == []
