"""Requests at a steady rate, and what came back."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import pytest

from loadtest.paced import Sender, Tally, offer
from tests.support.raw_upstream import OK, answering, upstream


async def test_every_request_is_sent_and_its_answer_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # Its time goes on by 5 ms whenever somebody looks, however busy the machine is.
    ticks = itertools.count()
    monkeypatch.setattr("loadtest.paced.time", SimpleNamespace(monotonic=lambda: next(ticks) * 0.005))
    async with upstream(answering) as service:
        tally = await offer(service.port, "/x", rate=50, seconds=1, connections=3)

    assert 40 <= tally.sent <= 51
    assert tally.statuses == {200: tally.sent}
    assert sum(tally.admitted.values()) == tally.sent
    assert {message.first for message in service.requests} == {b"GET /x HTTP/1.1"}


def test_answers_are_told_apart_wherever_they_are_cut() -> None:
    whole = OK + b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\n\r\nlater" + OK
    for cut in range(len(whole)):
        tally = Tally()
        sender = Sender(b"", tally, 0.0)
        sender._pending = [0.0] * 3
        sender.data_received(whole[:cut])
        sender.data_received(whole[cut:])

        assert tally.statuses == {200: 2, 429: 1}


def test_the_first_and_the_last_second_are_left_out() -> None:
    tally = Tally()
    tally.admitted.update({0: 2000, 1: 999, 2: 1001, 3: 5})

    assert tally.per_second(4) == [999, 1001]
