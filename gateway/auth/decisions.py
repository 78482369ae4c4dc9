"""What was decided a moment ago about a credential: a bounded memory, and the rule that one question is asked once."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Hashable
from hashlib import blake2b
from typing import Generic, TypeVar

from gateway.recent import Recent

V = TypeVar("V")
Credentials = tuple[tuple[bytes, ...], ...]
# Nobody outside this process can say which two inputs meet in one digest.
_KEY = secrets.token_bytes(16)
# Digests by what they are of. A credential comes with every request of its owner, in a header block that the wire
# remembers as it is; so this remembers it too, for a twentieth of the cost. Cleared when full.
_DIGESTS: dict[bytes | Credentials, bytes] = {}
_DIGESTS_KEPT = 1024
_LONGEST_KEPT = 4096


def fingerprint(credential: bytes | Credentials) -> bytes:
    """16 bytes that stand for a credential in this process, so that no cache has to hold it; or for the values of
    several fields, each with as many as it has."""
    digests = _DIGESTS
    digest = digests.get(credential)
    if digest is None:
        # Where each value and each field ends counts: one that holds a separator imitates nothing.
        text = credential if isinstance(credential, bytes) else repr(credential).encode()
        digest = blake2b(text, digest_size=16, key=_KEY).digest()
        if len(text) <= _LONGEST_KEPT:
            if len(digests) >= _DIGESTS_KEPT:
                digests.clear()
            digests[credential] = digest
    return digest


class DecisionCache(Generic[V]):
    """Decisions by key, each until a time of its own. What was not asked for in a long while goes first (see `Recent`).

    Mutable state: the decisions with their times; `young` are those of late, in one dict for as long as this lives.
    """

    __slots__ = ("_recent", "young")

    def __init__(self, limit: int) -> None:
        """`limit` is the most entries that are kept. ValueError for less than 2."""
        self._recent: Recent[tuple[V, float]] = Recent(limit)
        self.young = self._recent.young

    def get(self, key: Hashable, now: float) -> V | None:
        """The decision, or None where there is none, or none that still holds at `now`."""
        entry = self.young.get(key) or self._recent.get(key)
        if entry is None:
            return None
        if entry[1] > now:
            return entry[0]
        self._recent.drop(key)
        return None

    def put(self, key: Hashable, decision: V, until: float) -> None:
        """Keep a decision until a time on the clock of `get`'s `now`."""
        self._recent.put(key, (decision, until))

    def drop(self, key: Hashable) -> None:
        """Forget one."""
        self._recent.drop(key)

    def __len__(self) -> int:
        """How many entries are kept, those included that hold no longer."""
        return len(self._recent)


class SingleFlight(Generic[V]):
    """Callers who ask the same at the same time are answered by one question.

    Mutable state: the questions under way. Each is a task of its own, so that a caller who goes away takes no answer
    from the others; it is cancelled when the last of them has gone.
    """

    def __init__(self) -> None:
        self._asked: dict[Hashable, tuple[asyncio.Task[V], list[None]]] = {}

    async def ask(self, key: Hashable, question: Callable[[], Awaitable[V]]) -> V:
        """What `question` answers or raises."""
        known = self._asked.get(key)
        if known is None:
            task = asyncio.ensure_future(_asking(question))
            known = self._asked[key] = task, []
            task.add_done_callback(lambda done: self._answered(key, done))
        task, waiting = known
        waiting.append(None)
        try:
            return await asyncio.shield(task)
        finally:
            waiting.pop()
            if not waiting and not task.done():
                self._asked.pop(key, None)
                task.cancel()
            # An error holds this frame, which would hold the error.
            del known, task

    def _answered(self, key: Hashable, task: asyncio.Task[V]) -> None:
        known = self._asked.get(key)
        if known is not None and known[0] is task:
            del self._asked[key]
        if not task.cancelled():
            # Every caller may have gone: an error that nobody reads is none.
            task.exception()


async def _asking(question: Callable[[], Awaitable[V]]) -> V:
    return await question()
