"""Sessions: written once into the shared state when somebody logs in, and known here for a second at a time."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson

from gateway.auth.claims import Fields, claim_headers
from gateway.auth.decisions import DecisionCache, SingleFlight
from gateway.plugin import Clock, Shared

# A session that was ended anywhere is ended everywhere after that. In seconds.
LOCAL_SECONDS = 1.0
# An active session's idle time begins anew no more often than that, and ten times in it. In seconds.
RENEWED_EVERY = 30.0
KEPT = 10_000

# 256 bits, in characters.
ID_BYTES, ID_LENGTH = 32, 43


class Session:
    """One session as this process knows it. `subject` is whose it is, `claims` what the auth service said of them, as
    headers in `fields`; `expires` is in seconds since 1970.

    Mutable state: `authorizations`, the Authorization for each upstream with its end; `fresh_until`, when the shared
    state is to be asked again; `renew_at`, when its idle time is to begin anew. All in monotonic seconds.
    """

    __slots__ = ("authorizations", "claims", "csrf", "expires", "fields", "fresh_until", "renew_at", "subject")

    def __init__(self, claims: dict[str, Any], csrf: str, expires: float, fields: Fields) -> None:
        self.subject: str = claims["sub"]
        self.claims = claims
        self.csrf = csrf
        self.expires = expires
        self.fields = fields
        self.authorizations: dict[str, tuple[str, float]] = {}
        self.fresh_until = self.renew_at = float("-inf")

    def __repr__(self) -> str:
        return f"<Session expires={self.expires}>"


def session_key(session_id: str) -> bytes | None:
    """What stands for an id wherever something is kept, its SHA-256; None for what was never given out as one."""
    return sha256(session_id.encode()).digest() if len(session_id) == ID_LENGTH else None


def read_session(record: bytes, headers: Mapping[str, str]) -> Session:
    """The session that was written so; `headers` maps claims to the names of headers. ValueError for anything else."""
    data = orjson.loads(record)
    if not isinstance(data, dict):
        raise ValueError("no session")
    claims, csrf, expires = data.get("claims"), data.get("csrf"), data.get("expires")
    if not isinstance(claims, dict) or not isinstance(csrf, str) or not isinstance(expires, float) or not csrf:
        raise ValueError("no session")
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise ValueError("nobody's session")
    return Session(claims, csrf, expires, claim_headers(claims, headers))


class Sessions:
    """All sessions of one kind, by the SHA-256 of their ids.

    A session is two entries of the shared state. The record is written when it begins, for `max_age` seconds, and never
    again: so no renewal that is under way can bring back a session that was just ended. The other one lasts `idle`
    seconds and is written again while requests come.

    `idle` and `max_age` are in seconds. Every coroutine may raise SharedUnavailable.
    Mutable state: sessions that were met, the questions under way.
    """

    def __init__(
        self, shared: Shared, clock: Clock, space: str, idle: float, max_age: float, headers: Mapping[str, str]
    ) -> None:
        """`space` keeps apart sessions that are not each other's; `headers` as for `read_session`."""
        self._shared = shared
        self._clock = clock
        self._space = f"session:{space}:"
        self._idle = idle
        self.max_age = max_age
        self._headers = headers
        self._every = min(RENEWED_EVERY, idle / 10)
        self._known = DecisionCache[Session](KEPT)
        self._asking = SingleFlight[Session | None]()

    def fresh(self, key: bytes, now: float) -> Session | None:
        """The session, if the shared state said so less than a second ago."""
        session = self._known.get(key, now)
        return session if session is not None and now < session.fresh_until else None

    async def find(self, key: bytes) -> Session | None:
        """The session, None for one that was ended, has expired or never was."""
        return await self._asking.ask(key, lambda: self._look_up(key))

    async def begin(self, claims: Mapping[str, Any], tokens: Mapping[str, str]) -> tuple[str, Session]:
        """A new session under a new id. ValueError for claims that cannot be those of one.

        The `tokens` of the auth service stay in its record.
        """
        session_id = secrets.token_urlsafe(ID_BYTES)
        expires = self._clock.wall() + self.max_age
        record = orjson.dumps({"claims": dict(claims), "csrf": secrets.token_urlsafe(32), "expires": expires, **tokens})
        session = read_session(record, self._headers)
        key = sha256(session_id.encode()).digest()
        asked = self._clock.now()
        await self._shared.set(self._active(key), b"1", self._idle)
        await self._shared.set(self._record(key), record, self.max_age)
        session.renew_at = asked + self._every
        self._keep(key, session, asked)
        return session_id, session

    async def end(self, key: bytes) -> None:
        """Forget it, everywhere within a second."""
        self._known.drop(key)
        await self._shared.delete(self._record(key))
        await self._shared.delete(self._active(key))

    async def _look_up(self, key: bytes) -> Session | None:
        asked = self._clock.now()
        session = self._read(await self._shared.get(self._record(key)))
        if session is not None:
            known = self._known.get(key, asked)
            if known is not None and known.claims == session.claims:
                session.authorizations, session.renew_at = known.authorizations, known.renew_at
            if asked < session.renew_at or await self._renewed(key, session, asked):
                self._keep(key, session, asked)
                return session
        self._known.drop(key)
        return None

    def _read(self, record: bytes | None) -> Session | None:
        if record is None:
            return None
        try:
            session = read_session(record, self._headers)
        except ValueError:
            return None
        return session if session.expires > self._clock.wall() else None

    async def _renewed(self, key: bytes, session: Session, asked: float) -> bool:
        """Begin the idle time anew, unless it is over."""
        if await self._shared.get(self._active(key)) is None:
            return False
        await self._shared.set(self._active(key), b"1", self._idle)
        session.renew_at = asked + self._every
        return True

    def _keep(self, key: bytes, session: Session, asked: float) -> None:
        session.fresh_until = asked + LOCAL_SECONDS
        self._known.put(key, session, asked + session.expires - self._clock.wall())

    def _record(self, key: bytes) -> str:
        return f"{self._space}{key.hex()}"

    def _active(self, key: bytes) -> str:
        return f"{self._space}{key.hex()}:active"
