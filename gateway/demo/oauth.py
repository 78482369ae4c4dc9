"""What OAuth clients ask of the sample auth service: tokens, what a token is worth, and to revoke one.

There is one client, `gateway` with `gateway-secret`, by HTTP Basic (RFC 6749 §2.3.1).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from hmac import compare_digest
from typing import Any
from urllib.parse import unquote_plus

from aiohttp import web

from gateway.demo.accounts import Accounts
from gateway.demo.credentials import basic_credentials, read_form
from gateway.demo.quantities import BadValue
from gateway.demo.tokens import AUDIENCE, Session, Tokens

CLIENT = ("gateway", "gateway-secret")
# Of an exchanged token: a service behind the gateway.
AUDIENCES = frozenset({AUDIENCE, "catalog", "reviews", "users"})
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"
JWT = "urn:ietf:params:oauth:token-type:jwt"
NO_STORE = {"Cache-Control": "no-store"}

Form = Mapping[str, str]


class Refused(Exception):
    """An error response of RFC 6749 §5.2: code and a sentence."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code, description)
        self.code = code
        self.description = description

    def response(self) -> web.Response:
        """What the client gets: 401 for the wrong client, else 400."""
        wrong_client = self.code == "invalid_client"
        challenge = {"WWW-Authenticate": 'Basic realm="sample"'} if wrong_client else {}
        return web.json_response(
            {"error": self.code, "error_description": self.description},
            status=401 if wrong_client else 400,
            headers={**NO_STORE, **challenge},
        )


def session_tokens(tokens: Tokens, session: Session, scope: frozenset[str], now: float) -> web.Response:
    """The next tokens of a session, as RFC 6749 §5.1."""
    token, expires_in = tokens.access_token(session, scope, now)
    body = {
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": expires_in,
        "refresh_token": tokens.refresh_token(session),
        "scope": " ".join(sorted(scope)),
    }
    return web.json_response(body, headers=NO_STORE)


class ClientEndpoints:
    """The endpoints. `clock` gives seconds since the epoch."""

    def __init__(self, accounts: Accounts, tokens: Tokens, clock: Callable[[], float]) -> None:
        self._accounts = accounts
        self._tokens = tokens
        self._clock = clock
        self._grants: dict[str, Callable[[Form], Awaitable[web.Response]]] = {
            "password": self._password,
            "refresh_token": self._refresh,
            TOKEN_EXCHANGE: self._exchange,
        }

    @property
    def grant_types(self) -> list[str]:
        """What `grant_type` may be."""
        return list(self._grants)

    async def token(self, request: web.Request) -> web.Response:
        """POST /token, RFC 6749 §3.2: a token for a password, a refresh token or another token."""
        try:
            form = await _client_form(request, "grant_type")
            grant = self._grants.get(form["grant_type"])
            if grant is None:
                raise Refused("unsupported_grant_type", f"grant_type is one of {', '.join(self._grants)}")
            return await grant(form)
        except Refused as refusal:
            return refusal.response()

    async def introspect(self, request: web.Request) -> web.Response:
        """POST /introspect, RFC 7662."""
        try:
            token = (await _client_form(request, "token"))["token"]
        except Refused as refusal:
            return refusal.response()
        return web.json_response(self._introspected(token), headers=NO_STORE)

    async def revoke(self, request: web.Request) -> web.Response:
        """POST /revoke, RFC 7009: an access token alone, or with a refresh token all of its session."""
        try:
            token = (await _client_form(request, "token"))["token"]
        except Refused as refusal:
            return refusal.response()
        now = self._clock()
        claims = self._tokens.read_access(token, now)
        if claims is not None:
            self._tokens.revoke_access(claims, now)
        elif (session := self._tokens.read_refresh(token, now)) is not None:
            self._tokens.end(session)
        return web.Response()

    async def _password(self, form: Form) -> web.Response:
        user, password = _field(form, "username"), _field(form, "password")
        account = await asyncio.to_thread(self._accounts.log_in, user, password)
        if account is None:
            raise Refused("invalid_grant", "wrong user or password")
        scope = _narrowed(form, account.scope)
        now = self._clock()
        return session_tokens(self._tokens, self._tokens.begin(account, scope, now), scope, now)

    async def _refresh(self, form: Form) -> web.Response:
        token, now = _field(form, "refresh_token"), self._clock()
        session = self._tokens.read_refresh(token, now)
        # A scope that cannot be had must not use the token up.
        scope = frozenset() if session is None else _narrowed(form, session.scope)
        session = self._tokens.use_refresh(token, now)
        if session is None:
            raise Refused("invalid_grant", "the refresh token is not good, or was used before")
        return session_tokens(self._tokens, session, scope, now)

    async def _exchange(self, form: Form) -> web.Response:
        """RFC 8693, impersonation only."""
        token, now = _field(form, "subject_token"), self._clock()
        if _field(form, "subject_token_type") not in (ACCESS_TOKEN, JWT):
            raise Refused("invalid_request", f"subject_token_type is {ACCESS_TOKEN} or {JWT}")
        if form.get("requested_token_type", ACCESS_TOKEN) not in (ACCESS_TOKEN, JWT):
            raise Refused("invalid_request", f"requested_token_type is {ACCESS_TOKEN} or {JWT}")
        if "actor_token" in form:
            raise Refused("invalid_request", "actor tokens are not taken")
        claims = self._tokens.read_access(token, now)
        if claims is None or claims["aud"] != AUDIENCE:
            raise Refused("invalid_request", "the subject token is not good")
        audience = form.get("audience", AUDIENCE)
        if audience not in AUDIENCES or "resource" in form:
            raise Refused("invalid_target", f"the audience is one of {', '.join(sorted(AUDIENCES))}")
        scope = _narrowed(form, frozenset(claims["scope"].split()))
        exchanged, expires_in = self._tokens.exchanged_token(claims, audience, scope, now)
        body = {
            "access_token": exchanged,
            "issued_token_type": form.get("requested_token_type", ACCESS_TOKEN),
            "token_type": "Bearer",
            "expires_in": expires_in,
            "scope": " ".join(sorted(scope)),
        }
        return web.json_response(body, headers=NO_STORE)

    def _introspected(self, token: str) -> dict[str, Any]:
        now = self._clock()
        claims = self._tokens.read_access(token, now)
        if claims is not None:
            user = claims["preferred_username"]
            return {"active": True, "token_type": "Bearer", "username": user, **claims}
        session = self._tokens.read_refresh(token, now)
        if session is not None:
            return {
                "active": True,
                "sub": str(session.account.id),
                "username": session.account.user,
                "scope": " ".join(sorted(session.scope)),
                "exp": int(session.ends),
            }
        return {"active": False}


async def _client_form(request: web.Request, required: str) -> dict[str, str]:
    """The form of a client that has shown who it is, with at least the field `required`."""
    given = basic_credentials(request) or ("", "")
    right = [compare_digest(unquote_plus(a).encode(), b.encode()) for a, b in zip(given, CLIENT, strict=True)]
    if not all(right):
        raise Refused("invalid_client", "this needs the client's id and secret, by HTTP Basic")
    try:
        form = await read_form(request)
    except BadValue as error:
        raise Refused("invalid_request", str(error)) from None
    _field(form, required)
    return form


def _field(form: Form, name: str) -> str:
    if name not in form:
        raise Refused("invalid_request", f"{name} is missing")
    return form[name]


def _narrowed(form: Form, granted: frozenset[str]) -> frozenset[str]:
    """The scope that is asked for, or all that is granted."""
    wanted = frozenset(form.get("scope", "").split()) or granted
    if not wanted <= granted:
        raise Refused("invalid_scope", f"no more than {' '.join(sorted(granted))}")
    return wanted
