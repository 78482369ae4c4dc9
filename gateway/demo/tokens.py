"""The tokens of the sample auth service: sessions with their access tokens (JWT) and refresh tokens (opaque)."""

from __future__ import annotations

import secrets
from base64 import b64decode, urlsafe_b64encode
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest, digest
from typing import Any

from gateway.demo.accounts import Account
from gateway.demo.signing import SigningKeys

AUDIENCE = "api"
# In seconds.
ACCESS_LIFETIME = 300
SESSION_LIFETIME = 3600

Claims = dict[str, Any]

_ID_BYTES = 16
_BODY_BYTES = _ID_BYTES + 4
_TAG_BYTES = 16


@dataclass(slots=True)
class Session:
    """What began with one log-in: RFC 9700 §4.14.2 calls its refresh tokens a family.

    `scope` is the most that its tokens may hold. `number` is that of the one refresh token that is good; it counts up
    with each use. `ends` is in seconds since the epoch.
    """

    id: bytes
    account: Account
    scope: frozenset[str]
    ends: float
    number: int = 0


class Tokens:
    """Gives out tokens and tells which are good. Each `now` is in seconds since the epoch.

    An access token names its session in the claim `sid`, and is good for no longer than that lives. A refresh token is
    session, number and a keyed hash of both; so the used ones are known without being kept.

    Mutable state: `_sessions` alive by id, in the order in which they end, and `_revoked`, when access tokens that were
    revoked one by one expire, by `jti`.
    """

    def __init__(self, issuer: str, keys: SigningKeys) -> None:
        self._issuer = issuer
        self._keys = keys
        self._secret = secrets.token_bytes(32)
        self._sessions: dict[bytes, Session] = {}
        self._revoked: dict[str, int] = {}

    def begin(self, account: Account, scope: frozenset[str], now: float) -> Session:
        """A new session."""
        while self._sessions and (oldest := next(iter(self._sessions.values()))).ends <= now:
            del self._sessions[oldest.id]
        session = Session(secrets.token_bytes(_ID_BYTES), account, scope, now + SESSION_LIFETIME)
        self._sessions[session.id] = session
        return session

    def end(self, session: Session) -> None:
        """None of its tokens is good any more."""
        self._sessions.pop(session.id, None)

    def access_token(self, session: Session, scope: frozenset[str], now: float) -> tuple[str, int]:
        """A token for the gateway, and in how many seconds it expires."""
        issued = int(now)
        claims: Claims = {
            "iss": self._issuer,
            "sub": str(session.account.id),
            "aud": AUDIENCE,
            "iat": issued,
            "exp": min(issued + ACCESS_LIFETIME, int(session.ends)),
            "jti": secrets.token_hex(16),
            "sid": session.id.hex(),
            "scope": " ".join(sorted(scope)),
            "roles": list(session.account.roles),
            "preferred_username": session.account.user,
        }
        return self._keys.sign(claims), claims["exp"] - issued

    def exchanged_token(self, claims: Claims, audience: str, scope: frozenset[str], now: float) -> tuple[str, int]:
        """A token of the same session and the same expiry for another audience, RFC 8693."""
        issued = int(now)
        changes = {"aud": audience, "scope": " ".join(sorted(scope)), "iat": issued, "jti": secrets.token_hex(16)}
        return self._keys.sign({**claims, **changes}), claims["exp"] - issued

    def refresh_token(self, session: Session) -> str:
        """The one refresh token of the session that is good now."""
        body = session.id + session.number.to_bytes(_BODY_BYTES - _ID_BYTES)
        return urlsafe_b64encode(body + self._tag(body)).decode()

    def read_access(self, token: str, now: float) -> Claims | None:
        """The claims of an access token that is good, for whichever audience."""
        claims = self._keys.read(token, now)
        if claims is None or claims["exp"] <= now or claims["jti"] in self._revoked:
            return None
        return None if self._session(bytes.fromhex(claims["sid"]), now) is None else claims

    def read_refresh(self, token: str, now: float) -> Session | None:
        """The session of a refresh token that is good. It is not used up by this."""
        session, number = self._parse_refresh(token, now)
        return session if session is not None and number == session.number else None

    def use_refresh(self, token: str, now: float) -> Session | None:
        """As `read_refresh`, and the next refresh token is the good one then.

        A token that was used before ends the session: either it or the one that followed is in the wrong hands.
        """
        session, number = self._parse_refresh(token, now)
        if session is None:
            return None
        if number != session.number:
            self.end(session)
            return None
        session.number += 1
        return session

    def revoke_access(self, claims: Claims, now: float) -> None:
        """The token with these claims is not good any more; others of its session are."""
        self._revoked = {jti: expires for jti, expires in self._revoked.items() if expires > now}
        self._revoked[claims["jti"]] = claims["exp"]

    def session_of(self, token: str, now: float) -> Session | None:
        """The session alive of any token that was given out, one that was used or has expired included."""
        claims = self._keys.read(token, now)
        if claims is not None:
            return self._session(bytes.fromhex(claims["sid"]), now)
        return self._parse_refresh(token, now)[0]

    def _session(self, session_id: bytes, now: float) -> Session | None:
        session = self._sessions.get(session_id)
        return None if session is None or session.ends <= now else session

    def _parse_refresh(self, token: str, now: float) -> tuple[Session | None, int]:
        """Session alive and number of a token that was given out some time."""
        try:
            data = b64decode(token, altchars=b"-_", validate=True)
        except ValueError:
            return None, 0
        body, tag = data[:_BODY_BYTES], data[_BODY_BYTES:]
        if not compare_digest(tag, self._tag(body)):
            return None, 0
        return self._session(body[:_ID_BYTES], now), int.from_bytes(body[_ID_BYTES:])

    def _tag(self, body: bytes) -> bytes:
        return digest(self._secret, body, sha256)[:_TAG_BYTES]
