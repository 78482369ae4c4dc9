"""What limits ask a shared store: all that is asked in one turn of the loop goes in one round trip."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable, Sequence
from typing import Any, Protocol

from gateway.limits.gcra import Policy
from gateway.limits.lease import Lease
from gateway.plugin import Clock, Scripting


class StoreLimiter(Protocol):
    """One policy whose buckets lie in a shared store. `ahead` is the most requests that a lease takes, `pause` how long
    a refusal lasts at least, in seconds."""

    policy: Policy
    script: str
    ahead: int
    pause: float

    def call(self, key: Any, requests: int) -> tuple[str, Sequence[str | int]]:
        """The script's key and arguments. It returns how many requests pass, how many units are left, and in how many
        microseconds the next request passes."""


class _Question:
    """About one key: who waits for the answer, and how many requests are given back along with it."""

    __slots__ = ("given_back", "key", "lease", "limiter", "waiting")

    def __init__(self, limiter: StoreLimiter, key: Hashable, lease: Lease) -> None:
        self.limiter = limiter
        self.key = key
        self.lease = lease
        self.waiting: list[asyncio.Future[bool]] = []
        self.given_back = 0

    def call(self, now: float) -> tuple[str, Sequence[str | int]]:
        wanted = self.lease.ask(len(self.waiting), self.limiter.ahead, now) if self.waiting else 0
        return self.limiter.call(self.key, wanted - self.given_back)

    def answered(self, result: Any, now: float) -> None:
        passing, left, wait = result
        if not self.waiting:
            return
        # Who has gone needs nothing.
        waiting = [one for one in self.waiting if not one.done()]
        granted = passing + self.given_back
        self.lease.answered(len(waiting), granted, left, max(wait / 1e6, self.limiter.pause), now)
        for place, one in enumerate(waiting):
            one.set_result(place < granted)

    def failed(self, error: Exception) -> None:
        if self.waiting:
            self.lease.unanswered()
        for one in self.waiting:
            if not one.done():
                one.set_exception(error)


class Questions:
    """Collects what one limit asks. Mutable state: the questions of this turn of the loop, and those under way."""

    def __init__(self, store: Scripting, script: str, clock: Clock) -> None:
        self._store = store
        self._script = script
        self._now = clock.now
        self._questions: dict[tuple[StoreLimiter, Hashable], _Question] = {}
        self._under_way: set[asyncio.Task[None]] = set()

    def ask(self, limiter: StoreLimiter, key: Hashable, lease: Lease) -> asyncio.Future[bool]:
        """May a request pass? SharedUnavailable, by the future, when the store gives no answer."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._question(limiter, key, lease).waiting.append(answer)
        return answer

    def give_back(self, limiter: StoreLimiter, key: Hashable, lease: Lease) -> None:
        """A request that could pass did not, since another policy refused it."""
        self._question(limiter, key, lease).given_back += 1

    async def settled(self) -> None:
        """No question is open."""
        while self._questions or self._under_way:
            await asyncio.sleep(0)
            await asyncio.gather(*self._under_way)

    def _question(self, limiter: StoreLimiter, key: Hashable, lease: Lease) -> _Question:
        if not self._questions:
            asyncio.get_running_loop().call_soon(self._send)
        question = self._questions.get((limiter, key))
        if question is None:
            question = self._questions[limiter, key] = _Question(limiter, key, lease)
        return question

    def _send(self) -> None:
        questions, self._questions = [*self._questions.values()], {}
        task = asyncio.get_running_loop().create_task(self._run(questions))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _run(self, questions: Sequence[_Question]) -> None:
        now = self._now()
        try:
            results = await self._store.run(self._script, [question.call(now) for question in questions])
            now = self._now()
            for question, result in zip(questions, results, strict=True):
                question.answered(result, now)
        except Exception as error:
            for question in questions:
                question.failed(error)
