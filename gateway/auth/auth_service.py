"""The service that knows users and passwords: what a browser posts goes there, and the answer says who it is."""

from __future__ import annotations

import binascii
import logging
from base64 import b64decode
from typing import Any, NamedTuple

import orjson

from gateway.auth.session_options import LoginOptions
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange, Reply
from gateway.plugin import UpstreamClient

MEDIA_TYPES = ("application/json", "application/x-www-form-urlencoded")
# In bytes, of what the browser sends and of what the auth service answers.
MAX_BODY = 64 * 1024
# What an answer's token says of itself, and what an answer holds beside claims (RFC 6749 §5.1, OpenID Connect Core §3).
OF_THE_TOKEN = frozenset(["iss", "aud", "exp", "nbf", "iat", "jti"])
OF_THE_ANSWER = frozenset(["access_token", "refresh_token", "id_token", "token_type", "expires_in"])
KEPT_TOKENS = ("access_token", "refresh_token")
# Of a refusal's fields. A challenge is not among them: browsers would ask for a password by themselves.
PASSED_ON = ("Content-Type", "Retry-After")


class LoggedIn(NamedTuple):
    """Who logged in. `claims` holds `sub`; `tokens` are the auth service's, which no browser sees."""

    claims: dict[str, Any]
    tokens: dict[str, str]


class AuthService:
    """One upstream, at one path. Immutable."""

    def __init__(self, options: LoginOptions, upstream: UpstreamClient, log: logging.Logger) -> None:
        self._path = options.forward_to
        self._name = options.upstream
        self._upstream = upstream
        self._log = log

    async def log_in(self, exchange: Exchange) -> LoggedIn | Reply:
        """Who it is, or the service's refusal to pass on. GatewayError AUTH_UNAVAILABLE when it gives no answer that
        can be understood, BAD_REQUEST for a body that is neither JSON nor a form."""
        content_type = exchange.headers.get("content-type", "")
        if media_type(content_type) not in MEDIA_TYPES:
            raise GatewayError(Kind.BAD_REQUEST, f"a login is {' or '.join(MEDIA_TYPES)}", status=415)
        headers = {
            "Content-Type": content_type or "",
            "Accept": "application/json",
            "X-Forwarded-For": exchange.client_ip,
            "X-Request-Id": exchange.request_id,
        }
        try:
            answer = await self._upstream.request("POST", self._path, headers, exchange.body or b"", max_body=MAX_BODY)
        except GatewayError as error:
            raise self.unavailable(error.cause or error.kind.word) from None
        except LookupError as error:
            raise self.unavailable(str(error)) from None
        if 400 <= answer.status < 500:
            kept = {name: answer.headers[name.lower()] for name in PASSED_ON if name.lower() in answer.headers}
            return Reply(answer.status, {**kept, "Cache-Control": "no-store"}, answer.body)
        if not 200 <= answer.status < 300:
            raise self.unavailable(f"it answers {answer.status}")
        try:
            return read_answer(answer.body)
        except ValueError as error:
            raise self.unavailable(str(error)) from None

    def unavailable(self, why: str) -> GatewayError:
        """503, with the reason in the log."""
        cause = f"no login by the upstream {self._name}: {why}"
        self._log.warning(cause)
        return GatewayError(Kind.AUTH_UNAVAILABLE, "nobody can log in now", cause)


def media_type(content_type: str | None) -> str:
    """The type without its parameters, in lower case (RFC 9110 §8.3.1)."""
    return (content_type or "").partition(";")[0].strip(" \t").lower()


def read_answer(body: bytes) -> LoggedIn:
    """Who the auth service says it is: the claims of the `access_token` if that is a JWT, else what stands beside it.

    The token is decoded and not verified: it comes straight from the issuer, which is asked directly. OpenID Connect
    Core §3.1.3.7 rule 6 allows that for the same reason. ValueError, with nothing of the answer in it, for what does
    not say who it is.
    """
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict):
        raise ValueError("its answer is no JSON object")
    tokens = {name: answer[name] for name in KEPT_TOKENS if isinstance(answer.get(name), str)}
    claims = _payload(tokens.get("access_token", ""))
    if claims is not None:
        claims = {name: value for name, value in claims.items() if name not in OF_THE_TOKEN}
    else:
        claims = {name: value for name, value in answer.items() if name not in OF_THE_ANSWER}
    if not isinstance(claims.get("sub"), str) or not claims["sub"]:
        raise ValueError("its answer has no `sub`, neither in the payload of a JWT in access_token nor beside it")
    return LoggedIn(claims, tokens)


def _payload(token: str) -> dict[str, Any] | None:
    """The claims of a JWT (RFC 7519 §7.2), None for what is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        found = orjson.loads(b64decode(parts[1] + "=" * (-len(parts[1]) % 4), altchars=b"-_", validate=True))
    except (ValueError, binascii.Error):
        return None
    return found if isinstance(found, dict) else None
