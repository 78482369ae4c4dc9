"""The paths at which sessions begin and end."""

from __future__ import annotations

from gateway.auth.auth_service import AuthService
from gateway.auth.cookies import SessionCookie
from gateway.auth.csrf import CsrfGuard
from gateway.auth.sessions import Sessions
from gateway.exchange import Exchange, Reply

NO_STORE = {"Cache-Control": "no-store"}


class Doors:
    """Logs in and out. Immutable. Both may raise SharedUnavailable, and GatewayError for what is refused."""

    def __init__(self, service: AuthService, sessions: Sessions, cookie: SessionCookie, guard: CsrfGuard) -> None:
        self._service = service
        self._sessions = sessions
        self._cookie = cookie
        self._guard = guard

    async def log_in(self, exchange: Exchange, brought: bytes | None) -> Reply:
        """A new session and its cookie, or the auth service's refusal.

        The id is always a new one, and the session `brought` along ends: nobody can plant one and wait for its login
        (session fixation).
        """
        self._guard.check_login(exchange)
        answer = await self._service.log_in(exchange)
        if isinstance(answer, Reply):
            if answer.status == 401:
                answer.headers["WWW-Authenticate"] = self._cookie.challenge
            return answer
        if brought is not None:
            await self._sessions.end(brought)
        try:
            session_id, session = await self._sessions.begin(answer.claims, answer.tokens)
        except ValueError as error:
            raise self._service.unavailable(str(error)) from None
        exchange.principal = session.subject
        told = {"sub": session.subject, "csrf": session.csrf, "expires_in": int(self._sessions.max_age)}
        reply = Reply.json(200, told, NO_STORE)
        reply.cookies = (self._cookie.given(session_id),)
        return reply

    async def log_out(self, exchange: Exchange, key: bytes | None) -> Reply:
        """The session ends, and the cookie goes; 204 also without either."""
        session = await self._sessions.find(key) if key is not None else None
        if key is not None and session is not None:
            self._guard.check(exchange, session.csrf)
            await self._sessions.end(key)
        return Reply(204, NO_STORE, cookies=[self._cookie.cleared])
