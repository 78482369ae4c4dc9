"""The sample auth service: log in, log out, and tell a gateway who a request is from.

The tokens are those of `tokens.py`, everything is kept in memory, and a restart ends all sessions. What OAuth clients
ask for is in `oauth.py`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from aiohttp import web

from gateway.demo.accounts import Account, Accounts
from gateway.demo.credentials import basic_credentials, bearer_token, read_fields
from gateway.demo.oauth import NO_STORE, ClientEndpoints, session_tokens
from gateway.demo.quantities import BadValue
from gateway.demo.signing import ALGORITHM, SigningKey, SigningKeys
from gateway.demo.switches import make_app, problem
from gateway.demo.tokens import AUDIENCE, Tokens

ISSUER = "http://127.0.0.1:9004"
CHALLENGE = 'Bearer realm="sample"'
KEY_SET_MAX_AGE = 300
# For how many seconds a gateway may go on without asking again.
VERIFIED_MAX_AGE = 10


class AuthService:
    """The service. `clock` gives seconds since the epoch."""

    def __init__(self, issuer: str, accounts: Accounts, keys: SigningKeys, clock: Callable[[], float]) -> None:
        self._issuer = issuer
        self._accounts = accounts
        self._keys = keys
        self._tokens = Tokens(issuer, keys)
        self._clients = ClientEndpoints(accounts, self._tokens, clock)
        self._clock = clock

    def app(self) -> web.Application:
        """The application."""
        return make_app(
            "auth",
            [
                web.post("/login", self.login),
                web.post("/refresh", self.refresh),
                web.post("/logout", self.logout),
                web.get("/verify", self.verify),
                web.post("/token", self._clients.token),
                web.post("/introspect", self._clients.introspect),
                web.post("/revoke", self._clients.revoke),
                web.get("/.well-known/jwks.json", self.key_set),
                web.get("/.well-known/openid-configuration", self.metadata),
                web.post("/_rotate", self.rotate),
            ],
        )

    async def login(self, request: web.Request) -> web.Response:
        """POST /login {user, password}: an access token and a refresh token."""
        fields = await read_fields(request)
        if not {"user", "password"} <= fields.keys():
            raise BadValue('this needs user and password, such as {"user": "ada", "password": "lovelace"}')
        account = await self._account(fields["user"], fields["password"])
        if account is None:
            return _unauthorized("wrong user or password")
        now = self._clock()
        return session_tokens(self._tokens, self._tokens.begin(account, account.scope, now), account.scope, now)

    async def refresh(self, request: web.Request) -> web.Response:
        """POST /refresh {refresh_token}: the next two. A refresh token that comes twice ends its session."""
        fields = await read_fields(request)
        if "refresh_token" not in fields:
            raise BadValue("this needs refresh_token")
        now = self._clock()
        session = self._tokens.use_refresh(fields["refresh_token"], now)
        if session is None:
            return _unauthorized("the refresh token is not good, or was used before")
        return session_tokens(self._tokens, session, session.scope, now)

    async def logout(self, request: web.Request) -> web.Response:
        """POST /logout {refresh_token}, or Authorization: Bearer, or both: their sessions end, 204 also if they had."""
        fields = await read_fields(request)
        given = [token for token in (fields.get("refresh_token"), bearer_token(request)) if token is not None]
        if not given:
            raise BadValue("this needs refresh_token, or an access token in Authorization: Bearer")
        now = self._clock()
        for token in given:
            session = self._tokens.session_of(token, now)
            if session is not None:
                self._tokens.end(session)
        return web.Response(status=204)

    async def verify(self, request: web.Request) -> web.Response:
        """GET /verify: whose bearer token or Basic credentials these are, for a gateway that delegates the question.

        Of the request behind it the gateway tells method and URI; only an admin may use DELETE.
        """
        token = bearer_token(request)
        credentials = basic_credentials(request)
        max_age = VERIFIED_MAX_AGE
        if token is not None:
            now = self._clock()
            claims = self._tokens.read_access(token, now)
            if claims is None or claims["aud"] != AUDIENCE:
                return _unauthorized("the token is not good", ', error="invalid_token"')
            user_id, roles = claims["sub"], claims["roles"]
            max_age = min(max_age, int(claims["exp"] - now))
        elif credentials is not None:
            account = await self._account(*credentials)
            if account is None:
                return _unauthorized("wrong user or password")
            user_id, roles = str(account.id), account.roles
        else:
            return _unauthorized("this needs a bearer token or Basic credentials")
        return _forbidden(request, roles) or web.Response(
            headers={
                "X-User-Id": user_id,
                "X-User-Roles": ",".join(roles),
                "Cache-Control": f"private, max-age={max_age}",
                "Vary": "Authorization, X-Forwarded-Method",
            }
        )

    async def key_set(self, request: web.Request) -> web.Response:
        """GET /.well-known/jwks.json"""
        headers = {"Cache-Control": f"max-age={KEY_SET_MAX_AGE}"}
        return web.json_response(self._keys.key_set(self._clock()), headers=headers)

    async def metadata(self, request: web.Request) -> web.Response:
        """GET /.well-known/openid-configuration: what there is of OpenID Connect Discovery 1.0 §3."""
        return web.json_response(
            {
                "issuer": self._issuer,
                "jwks_uri": f"{self._issuer}/.well-known/jwks.json",
                "token_endpoint": f"{self._issuer}/token",
                "introspection_endpoint": f"{self._issuer}/introspect",
                "revocation_endpoint": f"{self._issuer}/revoke",
                "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                "introspection_endpoint_auth_methods_supported": ["client_secret_basic"],
                "revocation_endpoint_auth_methods_supported": ["client_secret_basic"],
                "grant_types_supported": self._clients.grant_types,
                "subject_types_supported": ["public"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
            }
        )

    async def rotate(self, request: web.Request) -> web.Response:
        """POST /_rotate: sign with a new key. The old one stays in the key set for ten minutes."""
        key = await asyncio.to_thread(SigningKey.generate)
        self._keys.rotate(key, self._clock())
        return web.json_response({"kid": key.kid})

    async def _account(self, user: str, password: str) -> Account | None:
        return await asyncio.to_thread(self._accounts.log_in, user, password)


def _forbidden(request: web.Request, roles: Sequence[str]) -> web.Response | None:
    """The one rule of the service about what a user may do."""
    if request.headers.get("X-Forwarded-Method") != "DELETE" or "admin" in roles:
        return None
    path = request.headers.get("X-Forwarded-Uri", "").partition("?")[0]
    return problem(403, f"only an admin may DELETE {path}".rstrip())


def _unauthorized(text: str, error: str = "") -> web.Response:
    """401 with the challenge of RFC 6750 §3."""
    response = problem(401, text)
    response.headers.update({**NO_STORE, "WWW-Authenticate": CHALLENGE + error})
    return response


def auth(issuer: str = ISSUER) -> web.Application:
    """The auth service, with a new signing key."""
    keys = SigningKeys(SigningKey.generate())
    return AuthService(issuer, Accounts.load(), keys, time.time).app()
