"""Messages between the supervisor and a worker."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest

from gateway.process.channel import Channel, Gone, Refusal
from tests.support.polling import eventually, soon

BIG = b"x" * 5_000_000


async def _double(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


def _refuse() -> None:
    raise Refusal("not now")


def _stumble() -> None:
    raise KeyError("lost")


@contextlib.asynccontextmanager
async def channels(closed: list[str] | None = None, **more: Any) -> AsyncIterator[tuple[Channel, Channel]]:
    """Both ends; the second one answers."""
    ends = [] if closed is None else closed
    answers = {"double": _double, "plain": lambda *given: given, "refuse": _refuse, "stumble": _stumble, **more}
    one, other = Channel({}, lambda: ends.append("one")), Channel(answers, lambda: ends.append("other"))
    loop = asyncio.get_running_loop()
    for channel, sock in zip((one, other), socket.socketpair(), strict=True):
        await loop.create_unix_connection(lambda channel=channel: channel, sock=sock)
    try:
        yield one, other
    finally:
        one.close()
        other.close()
        await eventually(lambda: len(ends) == 2)


async def test_questions_and_answers() -> None:
    async with channels() as (one, _):
        assert await soon(one.ask("plain", 1, "two", {"three": b"4"})) == (1, "two", {"three": b"4"})
        assert await soon(asyncio.gather(*(one.ask("double", number) for number in range(50)))) == list(
            range(0, 100, 2)
        )


async def test_messages_larger_than_any_buffer() -> None:
    async with channels() as (one, _):
        assert await soon(one.ask("plain", BIG)) == (BIG,)


async def test_refusals_and_mistakes_are_told() -> None:
    async with channels() as (one, _):
        with pytest.raises(Refusal, match="not now"):
            await soon(one.ask("refuse"))
        with pytest.raises(Refusal, match="KeyError: 'lost'"):
            await soon(one.ask("stumble"))
        with pytest.raises(Refusal, match="KeyError: 'nonsense'"):
            await soon(one.ask("nonsense"))


async def test_what_nobody_waits_for() -> None:
    heard: list[int] = []
    async with channels(hear=heard.append) as (one, _):
        one.tell("hear", 7)
        await eventually(lambda: heard == [7])


async def test_an_answer_that_takes_too_long() -> None:
    async with channels(never=lambda: asyncio.Event().wait()) as (one, other):
        with pytest.raises(Gone):
            await soon(one.ask("never", timeout=0.01))
        assert await soon(one.ask("double", 4)) == 8
        for task in other._answering:
            task.cancel()


async def test_the_other_end_goes() -> None:
    closed: list[str] = []
    async with channels(closed, never=lambda: asyncio.Event().wait()) as (one, other):
        waiting = asyncio.create_task(one.ask("never"))
        await eventually(lambda: other._answering)
        other.close()
        with pytest.raises(Gone):
            await soon(waiting)
        assert not one.is_open
        with pytest.raises(Gone):
            await one.ask("double", 1)
        one.tell("double", 1)
        await eventually(lambda: sorted(closed) == ["one", "other"])
        assert repr(one) == "<Channel closed waiting=0>"
        for task in other._answering:
            task.cancel()
