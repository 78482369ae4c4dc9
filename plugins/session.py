"""Keeps browsers logged in by an opaque cookie; services get a short internal JWT in its place.

    - session: {login: {upstream: auth, path: /login, forward_to: /login}, claims_to_headers: {sub: X-User-Id}}

What a browser posts to `login.path` (JSON or a form) goes to that upstream, whose answer says who it is: the claims of
a JWT in `access_token`, or `sub` and others beside it. The browser gets the cookie and {sub, csrf, expires_in}, never a
token. A POST to `logout: /logout` ends the session, within a second everywhere. The session lies in the shared state
under the SHA-256 of its id, for `idle: 30m` after a request and `max_age: 12h` in all. `optional: true` lets requests
without one pass as they came.

`cookie: __Host-session`, `same_site: Lax` or Strict, `secure: true`. A request that changes something must show that a
page of this site sends it: by the header X-CSRF-Token, or as browsers tell by themselves; `origins: [https://...]` are
other sites that may. `token: {ttl: 2m, audience, issuer, algorithm: EdDSA, key or key_file}` is what services verify by
the key set at `jwks: /.well-known/jwks.json`; `key_file` is PEM, its first key signs, all are in the set. The audience
is the upstream's name if none is given. Without a key each instance makes its own when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from gateway.auth.auth_service import MAX_BODY, AuthService
from gateway.auth.claims import set_identity
from gateway.auth.cookies import SessionCookie
from gateway.auth.csrf import CsrfGuard
from gateway.auth.internal_tokens import InternalTokens
from gateway.auth.login import Doors
from gateway.auth.meter import AuthMeter
from gateway.auth.session_options import SessionOptions
from gateway.auth.sessions import Session, Sessions, session_key
from gateway.auth.signing import is_current, make_signer
from gateway.plugin import ADMITTED, Env, Exchange, GatewayError, Kind, Plugin, Reply, SharedUnavailable

KEY_SET = {"Content-Type": "application/jwk-set+json", "Cache-Control": "max-age=300"}


class SessionPlugin(Plugin):
    """Mutable state: what `Sessions` knows of sessions."""

    Options = SessionOptions
    spans_routes = True
    own_body = MAX_BODY

    def __init__(self, options: SessionOptions, env: Env) -> None:
        super().__init__(options, env)
        login = options.login
        self._now = env.clock.now
        self._meter = AuthMeter(env.metrics, "session")
        self._cookie = SessionCookie(options, env.name)
        self._guard = CsrfGuard(options.origins, options.secure)
        space, lives = f"{login.upstream}:{options.cookie}", (float(options.idle), float(options.max_age))
        self._sessions = Sessions(env.shared, env.clock, space, *lives, options.claims_to_headers)
        service = AuthService(login, env.upstream(login.upstream), env.log)
        doors = Doors(service, self._sessions, self._cookie, self._guard)
        self._own = {login.path: doors.log_in, options.logout: doors.log_out}
        self._signer = make_signer(options.token, env.folder)
        self._tokens = InternalTokens(options.token, env.name, self._signer, env.clock)
        self._key_set = Reply(200, KEY_SET, self._signer.key_set)

    def identity_headers(self) -> Iterable[str]:
        return tuple(self.options.claims_to_headers.values())

    def own_paths(self) -> Mapping[str, Iterable[str]]:
        return {**dict.fromkeys(self._own, ("POST",)), self.options.jwks: ("GET",)}

    def is_current(self, env: Env) -> bool:
        try:
            env.upstream(self.options.login.upstream)
        except LookupError:
            return False
        return env.name == self.env.name and is_current(self._signer, self.options.token, env.folder)

    async def start(self) -> None:
        """Say so when nobody else knows the key."""
        if not self._signer.source:
            self.env.log.info("the key that signs tokens is this instance's own: others need token.key_file")

    def on_request(self, exchange: Exchange) -> Reply | None:
        if not exchange.upstream:
            path = _own_path(exchange)
            if path in self._own:
                return None
            if path == self.options.jwks:
                return self._key_set
        try:
            session_id, others = self._cookie.read(exchange.headers)
            key = session_key(session_id) if session_id is not None else None
            now = self._now()
            session = self._sessions.fresh(key, now) if key is not None else None
            if session is not None or key is None:
                return self._let_in(exchange, session, others, now)
        except GatewayError as error:
            self._count(error)
            raise
        return None

    async def admit(self, exchange: Exchange) -> Reply | None:
        own = self._own.get(_own_path(exchange))
        try:
            session_id, others = self._cookie.read(exchange.headers)
            key = session_key(session_id) if session_id is not None else None
            if own is not None:
                reply = await own(exchange, key)
                if reply.status >= 400:
                    self._meter.denied.inc()
                return reply
            session = await self._sessions.find(key) if key is not None else None
            self._let_in(exchange, session, others, self._now())
        except SharedUnavailable as error:
            self._meter.error.inc()
            raise GatewayError(Kind.AUTH_UNAVAILABLE, cause=f"no session can be read: {error}") from None
        except GatewayError as error:
            self._count(error)
            raise
        return None

    def _let_in(self, exchange: Exchange, session: Session | None, others: list[str] | None, now: float) -> Reply:
        if session is None and not self.options.optional:
            raise self._cookie.missing(sent=others is not None)
        headers = exchange.headers
        if session is None:
            if others is not None:
                self._cookie.leave(headers, others)
            return ADMITTED
        self._guard.check(exchange, session.csrf)
        if exchange.upstream:
            headers.set("Authorization", self._tokens.authorization(session, exchange.upstream, now))
        self._cookie.leave(headers, others or [])
        set_identity(exchange, session.subject, session.claims, session.fields)
        self._meter.allowed.value += 1
        return ADMITTED

    def _count(self, error: GatewayError) -> None:
        if error.kind is Kind.AUTH_UNAVAILABLE:
            self._meter.error.inc()
        elif "WWW-Authenticate" in error.headers and "Set-Cookie" not in error.headers:
            # No cookie came that could be told to go.
            self._meter.missing.inc()
        else:
            self._meter.denied.inc()


def _own_path(exchange: Exchange) -> str:
    """Routes of own paths are named PLUGIN:PATH, and no others have a colon in their name."""
    return exchange.route.partition(":")[2]
