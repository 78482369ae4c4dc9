"""What every store on the network does about a server that is slow, gone or back, without a server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from gateway.plugin import SharedUnavailable
from gateway.state import remote
from gateway.state.outage import PAUSE
from gateway.state.remote import RemoteShared, checked_ttl
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock
from gateway.units import Duration
from tests.support.polling import eventually, soon, turns


class Answer(Exception):
    """What a store says that is not down."""


class Store(RemoteShared):
    """`acts` say what becomes of the steps of a try and of calls: nothing, an error, or an event to wait for."""

    def __init__(self, timeout: str = "10s", connections: int = 2) -> None:
        self.clock, self.metrics = FakeClock(), Metrics()
        self.acts: dict[str, Exception | asyncio.Event | None] = {}
        self.steps: list[str] = []
        super().__init__("fake", "fake at home", Duration(timeout), connections, self.clock, self.metrics)

    async def call(self, name: str = "call") -> str:
        return await self._ask(lambda: self._step(name))

    def counts(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_shared_state_total", "", ("store", "result"))
        return {result: child.value for (_, result), child in family.children.items() if child.value}

    async def _step(self, name: str) -> str:
        self.steps.append(name)
        act = self.acts.get(name)
        if isinstance(act, asyncio.Event):
            await act.wait()
        elif act is not None:
            raise act
        return name

    async def _connect(self) -> None:
        await self._step("connect")

    async def _ping(self) -> None:
        await self._step("ping")

    async def _disconnect(self) -> None:
        await self._step("disconnect")

    def _is_lost(self, error: Exception) -> bool:
        return not isinstance(error, Answer)

    def _words(self, error: Exception) -> str:
        return f"words for {type(error).__name__}"


@pytest.fixture
async def store() -> Store:
    """One that is up."""
    made = Store()
    await made.start()
    made.steps.clear()
    return made


async def test_the_first_call_connects() -> None:
    store = Store()

    assert repr(store) == "<Store fake at home down>"
    assert await store.call() == "call"
    assert store.steps == ["disconnect", "connect", "ping", "call"]
    assert repr(store) == "<Store fake at home up>"


async def test_a_start_connects_once(store: Store) -> None:
    await store.start()
    assert await store.call() == "call"

    assert store.steps == ["call"]
    assert store.counts() == {"ok": 1}


async def test_a_start_without_the_store_warns(caplog: pytest.LogCaptureFixture) -> None:
    store = Store()
    store.acts["connect"] = OSError()
    await store.start()

    assert caplog.messages == ["fake at home is taken as down until it answers: words for OSError"]
    with pytest.raises(SharedUnavailable, match="^fake at home is taken as down: words for OSError$"):
        await store.call()


async def test_an_error_takes_the_store_down(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    store.acts["call"] = broken = OSError("secret")
    with pytest.raises(SharedUnavailable, match="^fake at home: words for OSError$") as caught:
        await store.call()
    assert caught.value.__cause__ is broken
    for _ in range(3):
        with pytest.raises(SharedUnavailable, match="is taken as down: words for OSError"):
            await store.call()
    assert store.steps == ["call"]

    store.acts["call"] = None
    store.clock.advance(PAUSE)
    assert await store.call() == "call"
    assert store.steps == ["call", "disconnect", "connect", "ping", "call"]
    assert store.counts() == {"ok": 1, "error": 1, "skipped": 3}
    assert caplog.messages == [
        "fake at home is taken as down until it answers: words for OSError",
        "fake at home answers again",
    ]


async def test_what_the_store_says_does_not_take_it_down(store: Store) -> None:
    store.acts["call"] = Answer()
    for _ in range(2):
        with pytest.raises(SharedUnavailable, match="words for Answer"):
            await store.call()

    assert store.steps == ["call", "call"]
    assert store.counts() == {"error": 2}


async def test_no_answer_takes_the_store_down() -> None:
    store = Store(timeout="1ms")
    await store.start()
    store.acts["call"] = asyncio.Event()

    with pytest.raises(SharedUnavailable, match="^fake at home: no answer within 1ms$") as caught:
        await soon(store.call())
    assert isinstance(caught.value.__cause__, TimeoutError)
    with pytest.raises(SharedUnavailable, match="is taken as down"):
        await store.call()


async def test_a_call_that_has_no_turn_in_time_takes_nothing_down() -> None:
    store = Store(timeout="100ms", connections=1)
    await store.start()
    store._turns = asyncio.Semaphore(0)

    with pytest.raises(SharedUnavailable, match="no time left to wait for one of its 1 connections"):
        await soon(store.call())
    store._turns.release()
    assert await store.call() == "call"


async def test_no_more_calls_at_a_time_than_connections(store: Store) -> None:
    store.acts["call"] = go = asyncio.Event()
    calls = [asyncio.create_task(store.call()) for _ in range(5)]
    await turns()
    assert store.steps == ["call"] * 2
    go.set()

    assert await soon(asyncio.gather(*calls)) == ["call"] * 5


async def lost(store: Store) -> None:
    store.acts["call"] = OSError()
    with pytest.raises(SharedUnavailable):
        await store.call()
    store.acts["call"] = None
    store.clock.advance(PAUSE)


async def test_one_call_waits_for_a_try_and_the_others_fail_at_once(store: Store) -> None:
    await lost(store)
    store.acts["ping"] = go = asyncio.Event()
    first = asyncio.create_task(store.call())
    await turns()
    with pytest.raises(SharedUnavailable, match="is taken as down"):
        await store.call()
    go.set()

    assert await soon(first) == "call"
    assert store.steps == ["call", "disconnect", "connect", "ping", "call"]


async def test_a_try_that_fails_fails_its_call(store: Store) -> None:
    await lost(store)
    store.acts["connect"] = OSError()
    with pytest.raises(SharedUnavailable, match="^fake at home: words for OSError$"):
        await store.call()

    assert store.counts() == {"error": 2}
    assert store.steps == ["call", "disconnect", "connect"]


@pytest.mark.parametrize("leave", (lambda task: None, asyncio.Task.cancel), ids=("times out", "is cancelled"))
async def test_a_try_goes_on_without_its_call(leave: Callable[[asyncio.Task[str]], object]) -> None:
    store = Store(timeout="100ms")
    await store.start()
    await lost(store)
    store.acts["connect"] = go = asyncio.Event()
    call = asyncio.create_task(store.call())
    await turns()
    leave(call)
    with pytest.raises((SharedUnavailable, asyncio.CancelledError)):
        await soon(call)
    go.set()

    await eventually(lambda: repr(store).endswith("up>"))
    assert await store.call() == "call"


async def test_a_store_that_answers_too_late_stays_down(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "TRY_SECONDS", 1000)
    store = Store(timeout="1ms")
    store.acts["ping"] = asyncio.Event()
    await soon(store.start())

    assert repr(store).endswith("down>")
    assert caplog.messages == ["fake at home is taken as down until it answers: it does not answer in time"]


async def test_a_try_takes_only_so_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "TRY_SECONDS", 0.001)
    store = Store()
    store.acts["connect"] = asyncio.Event()
    await soon(store.start())

    assert repr(store).endswith("down>")


async def test_a_close_ends_a_try(store: Store) -> None:
    await lost(store)
    store.acts["connect"] = asyncio.Event()
    call = asyncio.create_task(store.call())
    await turns()
    await soon(store.close())

    assert store.steps[-1] == "disconnect"
    call.cancel()
    await asyncio.wait((call,))


async def test_a_close_waits_for_the_calls_under_way(store: Store) -> None:
    store.acts["call"] = go = asyncio.Event()
    calls = [asyncio.create_task(store.call()) for _ in range(5)]
    await turns()
    close = asyncio.create_task(store.close())
    await turns()
    assert store.steps == ["call"] * 2
    go.set()

    await soon(close)
    assert store.steps == ["call"] * 5 + ["disconnect"]
    assert await soon(asyncio.gather(*calls)) == ["call"] * 5


async def test_after_a_close_calls_have_no_turn() -> None:
    store = Store(timeout="1ms")
    await store.start()
    await store.close()

    with pytest.raises(SharedUnavailable, match="no time left to wait for one of its 2 connections"):
        await soon(store.call())


def test_times_to_live() -> None:
    assert [checked_ttl(ttl) for ttl in (None, 0.001, 5, 1e12, float("inf"))] == [None, 0.001, 5, None, None]
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="more than 0 seconds"):
            checked_ttl(wrong)
