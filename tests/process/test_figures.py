"""What the supervisor remembers: counts never go down, whichever worker ends, is asked or does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from gateway.process import figures as figures_module
from gateway.process.channel import Channel, Gone, Refusal
from gateway.process.figures import Figures
from gateway.telemetry.merging import Packed, collected, merge, packed
from gateway.telemetry.metrics import Metrics
from tests.support.polling import soon, turns

Answer = Callable[..., Any]


class Worker:
    """A child whose channel answers with what `answers` says."""

    def __init__(self, pid: int, answers: Answer = lambda what, arguments: None) -> None:
        self.pid = pid
        self.asked: list[tuple[str, tuple[Any, ...]]] = []
        self.timeouts: list[float | None] = []
        self.answers = answers
        self.channel = cast(Channel, self)

    async def ask(self, what: str, *arguments: Any, timeout: float | None = None) -> Any:
        assert what == "answer"
        self.asked.append(arguments)  # type: ignore[arg-type]
        self.timeouts.append(timeout)
        found = self.answers(*arguments)
        return await found if asyncio.iscoroutine(found) else found


def calls(number: int) -> dict[str, Any]:
    """A living worker's summary."""
    return {"version": 1, "calls": number, "errors": 0, "active_requests": 1, "connections": 1}


def counting(number: int) -> Answer:
    return lambda what, arguments: calls(number)


def raising(error: Exception) -> Answer:
    def answer(what: str, arguments: tuple[Any, ...]) -> None:
        raise error

    return answer


def figures_of(*workers: Worker) -> Figures:
    figures = Figures(lambda: workers)
    for worker in workers:
        figures.begin(worker.pid)
    return figures


async def shown(figures: Figures, asker: Worker, own: int) -> int:
    """The calls that the admin listener of `asker` shows."""
    parts = [calls(own), *await soon(figures.gather(asker, "summary", (), calls(own)))]
    return sum(part["calls"] for part in parts)


async def test_the_others_are_asked_and_not_who_asks() -> None:
    one, two, three = Worker(1), Worker(2, counting(5)), Worker(3, counting(7))
    figures = figures_of(one, two, three)
    assert await shown(figures, one, 1) == 13
    assert (one.asked, two.asked) == ([], [("summary", ())])
    assert two.timeouts == [figures_module.ANSWER_SECONDS]


@pytest.mark.parametrize("silence", [Gone(), Refusal("busy")])
async def test_what_a_worker_has_said_counts_while_it_does_not_answer(silence: Exception) -> None:
    one, two = Worker(1), Worker(2, counting(5))
    figures = figures_of(one, two)
    assert await shown(figures, one, 1) == 6
    two.answers = raising(silence)
    found = await soon(figures.gather(one, "summary", (), calls(1)))
    assert found == [{"calls": 5, "errors": 0}], "it counts, and does not live"


async def test_what_it_has_said_counts_while_it_leaves_and_when_it_has_ended() -> None:
    one, two = Worker(1), Worker(2, counting(5))
    living = [one, two]
    figures = Figures(lambda: living)
    for worker in living:
        figures.begin(worker.pid)
    assert await shown(figures, one, 1) == 6
    living.remove(two)
    assert await shown(figures, one, 1) == 6
    figures.note(2, {"summary": {"calls": 8, "errors": 0}})
    assert await shown(figures, one, 1) == 9
    figures.end(2)
    assert await shown(figures, one, 1) == 9
    figures.end(2)
    figures.note(2, {"summary": {"calls": 8, "errors": 0}})
    assert await shown(figures, one, 1) == 9, "what comes too late is counted already"


async def test_who_ends_between_its_answer_and_the_last_one_counts_once() -> None:
    go = asyncio.Event()

    async def slowly(what: str, arguments: tuple[Any, ...]) -> dict[str, Any]:
        await go.wait()
        return calls(7)

    one, two, three = Worker(1), Worker(2, counting(5)), Worker(3, slowly)
    figures = figures_of(one, two, three)
    waiting = asyncio.create_task(shown(figures, one, 1))
    await turns()
    figures.end(two.pid)
    go.set()
    assert await waiting == 13


async def test_the_counts_of_those_who_have_ended_add_up() -> None:
    figures = figures_of(*(Worker(pid) for pid in range(1, 6)))
    for pid in range(2, 6):
        figures.note(pid, {"summary": calls(pid), "nobody knows": 1, "routes": None})
        figures.end(pid)
    assert figures.departed == {"summary": {"calls": 14, "errors": 0}}


async def test_metrics_of_those_who_have_ended_are_counters_alone() -> None:
    metrics = Metrics()
    metrics.counter("calls_total", "Calls.").labels().inc(3)
    metrics.gauge("open", "Open.").labels().set(2)
    one, two = Worker(1), Worker(2)
    figures = figures_of(one, two)
    figures.note(2, {"metrics": packed(collected(metrics))})
    figures.end(2)
    (left,) = await soon(figures.gather(one, "metrics", (), {}))
    assert {name: family["children"] for name, family in merge([Packed(left)]).items()} == {"calls_total": {(): 3}}


async def test_the_last_word_on_each_thing_is_kept_for_those_who_come_later() -> None:
    one, two = Worker(1), Worker(2, lambda what, arguments: {"state": arguments[-1]})
    figures = figures_of(one, two)
    assert await soon(figures.tell(one, "force_breaker", ("a", "forced_open"), {})) == [{"state": "forced_open"}]
    await soon(figures.tell(one, "force_breaker", ("b", "forced_open"), {}))
    await soon(figures.tell(two, "force_breaker", ("a", "auto"), {}))
    await soon(figures.tell(two, "put_endpoint", ("up", "h:1", "drain"), {}))
    assert list(figures.words()) == [
        ("force_breaker", ("a", "auto")),
        ("force_breaker", ("b", "forced_open")),
        ("put_endpoint", ("up", "h:1", "drain")),
    ]
    assert two.asked == [("force_breaker", ("a", "forced_open")), ("force_breaker", ("b", "forced_open"))]


async def test_a_word_on_what_nobody_knows_is_not_kept() -> None:
    one, two = Worker(1), Worker(2, lambda what, arguments: ["a", "b"])
    figures = figures_of(one, two)
    assert await soon(figures.tell(one, "force_breaker", ("c", "auto"), ["a"])) == [["a", "b"]]
    assert list(figures.words()) == []
    two.answers = lambda what, arguments: {"state": "auto"}
    await soon(figures.tell(one, "force_breaker", ("c", "auto"), ["a"]))
    assert list(figures.words()) == [("force_breaker", ("c", "auto"))], "one worker knows it"


async def test_what_is_said_while_a_worker_is_told() -> None:
    """It hears of that by itself, and must not hear the old word afterwards."""
    one = Worker(1)
    figures = figures_of(one)
    for name in "ab":
        await soon(figures.tell(one, "force_breaker", (name, "forced_open"), {}))
    words = figures.words()
    assert next(words) == ("force_breaker", ("a", "forced_open"))
    await soon(figures.tell(one, "force_breaker", ("b", "auto"), {}))
    await soon(figures.tell(one, "force_breaker", ("c", "forced_open"), {}))
    assert list(words) == [("force_breaker", ("b", "auto"))]
