"""Passwords are verified in threads: a few at a time, and no crowd waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from gateway.auth.decisions import fingerprint
from gateway.auth.passwords import verify_password

AT_ONCE = 2
MOST_WAITING = 32


class Busy(Exception):
    """As many verifications wait as may."""


class PasswordVerifier:
    """Verifies passwords of users, `AT_ONCE` at a time, while at most `MOST_WAITING` wait.

    An unknown user costs what a known one does: the password is held against the hash of one who is there, always the
    same for a name, and what comes of it counts for nothing.

    Mutable state: the free places, and how many wait for one. A place is free again when its thread is done, also when
    whoever asked has gone: else clients that hang up could make many threads work.
    """

    __slots__ = ("_free", "_stand_ins", "_stored", "_waiting")

    def __init__(self, users: Mapping[str, str]) -> None:
        """`users` are the stored passwords by user, at least one."""
        self._stored = dict(users)
        self._stand_ins = tuple(users.values())
        self._free = asyncio.Semaphore(AT_ONCE)
        self._waiting = 0

    async def verify(self, user: str, password: str) -> bool:
        """Is it this user's password? Busy when too many wait."""
        stored = self._stored.get(user)
        if self._waiting >= MOST_WAITING:
            raise Busy
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        against = self._stand_in(user) if stored is None else stored
        work = asyncio.get_running_loop().run_in_executor(None, verify_password, password, against)
        work.add_done_callback(self._done)
        right = await asyncio.shield(work)
        return right and stored is not None

    def _stand_in(self, user: str) -> str:
        number = int.from_bytes(fingerprint(user.encode()), "big")
        return self._stand_ins[number % len(self._stand_ins)]

    def _done(self, work: asyncio.Future[bool]) -> None:
        self._free.release()
        if not work.cancelled():
            # Whoever asked may have gone: an error that nobody reads is none.
            work.exception()
