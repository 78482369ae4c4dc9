"""What the supervisor remembers for the gateway: counts of workers that have ended, and the operator's last words.

The worker that is asked merges what all workers answer; see `gateway.admin.answering`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from gateway.admin.answering import FOLDS, fold
from gateway.process.channel import Channel, Gone, Refusal

# Who takes longer to answer is left out of what is shown.
ANSWER_SECONDS = 1.0


class Child(Protocol):
    """A worker, as the supervisor sees it."""

    pid: int
    channel: Channel


class Figures:
    """`living` gives the workers that serve.

    Mutable state: `departed`, what is left of workers that have ended; `_last`, the youngest of what each living
    worker has said, by its process id; and the last word on each thing that was changed."""

    def __init__(self, living: Callable[[], Sequence[Child]]) -> None:
        self._living = living
        self.departed: dict[str, Any] = {}
        self._last: dict[int, dict[str, Any]] = {}
        self._words: dict[tuple[Any, ...], Any] = {}

    def begin(self, pid: int) -> None:
        """A worker is there."""
        self._last[pid] = {}

    def note(self, pid: int, said: dict[str, Any]) -> None:
        """A worker has said this, by what was asked. Nothing that comes too late counts, or it would twice."""
        last = self._last.get(pid)
        if last is not None:
            last.update((what, data) for what, data in said.items() if what in FOLDS and data is not None)

    def end(self, pid: int) -> None:
        """A worker has ended: what it has counted stays."""
        last = self._last.pop(pid, None)
        if last:
            self.departed = fold(self.departed, last)

    def words(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """What a worker that starts later has to be told."""
        # More may be said while these are told: each is the last word when it is told.
        for key in list(self._words):
            if key in self._words:
                what, *of_what = key
                yield what, (*of_what, self._words[key])

    async def gather(self, asker: Child, what: str, arguments: tuple[Any, ...], own: Any) -> list[Any]:
        """What the others answer, and what is left of those that have ended. `own` is the asker's answer.

        No count goes down: of who does not answer counts what it has said before, of who ends meanwhile what is left.
        """
        self.note(asker.pid, {what: own})
        others = [child for child in self._living() if child is not asker]
        answers = await asyncio.gather(*(self._answer(child, what, arguments) for child in others))
        found = {child.pid: one for child, one in zip(others, answers, strict=True) if one is not None}
        if what not in FOLDS:
            return list(found.values())
        silent = [
            fold({}, {what: last[what]})[what]
            for pid, last in self._last.items()
            if what in last and pid not in found and pid != asker.pid
        ]
        departed = [self.departed[what]] if what in self.departed else []
        return [*(one for pid, one in found.items() if pid in self._last), *silent, *departed]

    async def tell(self, asker: Child, what: str, arguments: tuple[Any, ...], own: Any) -> list[Any]:
        """The same for a change, which a worker that starts later is told too."""
        key = (what, *arguments[:-1])
        self._words[key] = arguments[-1]
        found = await self.gather(asker, what, arguments, own)
        if not any(isinstance(one, dict) for one in (own, *found)):
            # Nobody has a row of it: names that are made up are not kept.
            self._words.pop(key, None)
        return found

    async def _answer(self, child: Child, what: str, arguments: tuple[Any, ...]) -> Any:
        try:
            found = await child.channel.ask("answer", what, arguments, timeout=ANSWER_SECONDS)
        except (Gone, Refusal):
            return None
        self.note(child.pid, {what: found})
        return found

    def __repr__(self) -> str:
        return f"<Figures of {len(self._last)} workers>"
