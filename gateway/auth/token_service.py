"""A token service that is asked by form: introspection (RFC 7662), token exchange (RFC 8693)."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, Literal
from urllib.parse import quote_plus, urlencode, urlsplit

import aiohttp
import orjson

from gateway.exchange import ORIGIN_FORM
from gateway.plugin import Duration, Env, GatewayError, Kind, Secret, UpstreamClient

MAX_ANSWER: Final = 256 * 1024
# A service that fails is in the log so often, in seconds, however many requests it fails.
TOLD_EVERY: Final = 1.0
# What RFC 6749 §5.2, RFC 7009 §2.2.1 and RFC 8693 §2.2.2 have a service say. Any other word may be a token.
CODES: Final = frozenset(
    (
        "invalid_request",
        "invalid_client",
        "invalid_grant",
        "invalid_scope",
        "invalid_target",
        "unauthorized_client",
        "unsupported_grant_type",
        "unsupported_token_type",
    )
)

Form = Iterable[tuple[str, str]]

_HALF_A_SECOND = Duration("500ms")


@dataclass(frozen=True)
class TokenServiceOptions:
    """Where the service is: at `url`, or behind an `upstream` of the configuration under `path`. And who asks it, how
    long it may take, and what clients are told while it cannot be asked."""

    client_id: str
    client_secret: Secret
    client_auth: Literal["basic", "post"] = "basic"
    url: str | None = None
    upstream: str | None = None
    path: str | None = None
    insecure_http: bool = False
    timeout: Duration = _HALF_A_SECOND
    status_on_error: int = 503

    def __post_init__(self) -> None:
        if (self.url is None) == (self.upstream is None) or (self.upstream is None) != (self.path is None):
            raise ValueError(
                "say where the service is, as url: https://id.example.com/introspect,"
                " or as upstream: auth with path: /introspect"
            )
        if self.url is not None:
            _check_url(self.url, self.insecure_http)
        if self.path is not None and not ORIGIN_FORM.fullmatch(self.path):
            raise ValueError(f"{self.path!r} is no raw path; write one such as /introspect")
        if not self.client_id or not self.client_secret.reveal():
            raise ValueError("client_id and client_secret are what the gateway shows to the service; neither is empty")
        if not self.timeout:
            raise ValueError("timeout should be more than 0, such as 500ms")
        if not 400 <= self.status_on_error <= 599:
            raise ValueError(f"status_on_error should be 400 to 599, not {self.status_on_error}; write 503")

    @property
    def place(self) -> str:
        """What the log calls the service."""
        return self.url.partition("?")[0] if self.url is not None else f"{self.path} of {self.upstream}"


class TokenServiceError(Exception):
    """The service gave no answer that can be used. The text is for the log: no token and no secret is in it.

    `code` is the error that it refused the request with (status 400), one of CODES, else "".
    """

    def __init__(self, why: str, code: str = "") -> None:
        super().__init__(why)
        self.code = code


class _HungUp(TokenServiceError):
    """The connection ended before the answer did."""


class TokenService:
    """Mutable state: when the log was last told of a failure."""

    def __init__(self, options: TokenServiceOptions, env: Env) -> None:
        """LookupError for an upstream that the configuration does not have."""
        self._options = options
        self._env = env
        self._upstream: UpstreamClient | None = None
        if options.upstream is not None:
            self._upstream = env.upstream(options.upstream)
        self._headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        self._credentials: tuple[tuple[str, str], ...] = ()
        secret = options.client_secret.reveal()
        if options.client_auth == "basic":
            # RFC 6749 §2.3.1: id and secret are form-urlencoded first.
            pair = f"{quote_plus(options.client_id)}:{quote_plus(secret)}"
            self._headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
        else:
            self._credentials = (("client_id", options.client_id), ("client_secret", secret))
        self._told_at = float("-inf")

    def is_current(self, env: Env) -> bool:
        """Is its upstream still there?"""
        try:
            if self._options.upstream is not None:
                env.upstream(self._options.upstream)
        except LookupError:
            return False
        return True

    async def ask(self, form: Form) -> dict[str, Any]:
        """The JSON object that the service answers with 200. TokenServiceError for everything else: no answer in time,
        another status, a redirect too, another body, one over 256 KiB."""
        status, body = await self._post(urlencode([*form, *self._credentials]).encode())
        answer = _object(body)
        if status == 200:
            if answer is None:
                raise TokenServiceError("it answered 200 with what is no JSON object")
            return answer
        word = answer.get("error") if answer is not None else None
        code = word if isinstance(word, str) and word in CODES else ""
        raise TokenServiceError(f"it answered {status} {code}".rstrip(), code if status == 400 else "")

    def unavailable(self, error: TokenServiceError) -> GatewayError:
        """What to raise when access cannot be decided. The log is told why, at most once a second."""
        now = self._env.clock.now()
        if now - self._told_at >= TOLD_EVERY:
            self._told_at = now
            self._env.log.warning("the token service at %s cannot be used: %s", self._options.place, error)
        return GatewayError(Kind.AUTH_UNAVAILABLE, cause=str(error), status=self._options.status_on_error)

    async def _post(self, form: bytes) -> tuple[int, bytes]:
        seconds = float(self._options.timeout)
        post = self._post_to_url if self._upstream is None else self._post_to_upstream
        started = self._env.clock.now()
        try:
            return await post(form, seconds)
        except _HungUp:
            # So does a kept connection look that the service closes just then, and asking twice does no harm.
            left = seconds - (self._env.clock.now() - started)
            if left <= 0:
                raise
            return await post(form, left)

    async def _post_to_upstream(self, form: bytes, seconds: float) -> tuple[int, bytes]:
        assert self._upstream is not None
        assert self._options.path is not None
        try:
            reply = await self._upstream.request("POST", self._options.path, self._headers, form, seconds, MAX_ANSWER)
        except GatewayError as error:
            # The cause may quote the answer, and so what was asked.
            failed = _HungUp if error.kind is Kind.UPSTREAM_RESET else TokenServiceError
            raise failed(error.answer.title) from None
        except LookupError as error:
            raise TokenServiceError(str(error)) from None
        return reply.status, reply.body

    async def _post_to_url(self, form: bytes, seconds: float) -> tuple[int, bytes]:
        assert self._options.url is not None
        asked = self._env.http.post(
            self._options.url,
            data=form,
            headers={**self._headers, "Accept-Encoding": "identity"},
            allow_redirects=False,
            # What is decoded on the way may grow beyond every limit.
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=seconds),
        )
        body = b""
        try:
            async with asked as answer:
                while piece := await answer.content.read(MAX_ANSWER + 1 - len(body)):
                    body += piece
        except TimeoutError:
            raise TokenServiceError(f"it did not answer in {self._options.timeout}") from None
        # The library's words may quote the answer, and so what was asked; the system's own do not.
        except aiohttp.ClientConnectorError as error:
            raise TokenServiceError(f"it cannot be reached: {error.strerror or type(error).__name__}") from None
        except aiohttp.ClientConnectionError as error:
            raise _HungUp(f"it hung up: {type(error).__name__}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TokenServiceError(f"its answer is broken: {type(error).__name__}") from None
        if len(body) > MAX_ANSWER:
            raise TokenServiceError(f"it answered more than {MAX_ANSWER} bytes")
        return answer.status, body


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _check_url(url: str, insecure_http: bool) -> None:
    parts = urlsplit(url)
    try:
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if "@" in parts.netloc:
        raise ValueError("user and password have no place in a url; write client_id and client_secret")
    if not known or "#" in url or " " in url or not url.isascii() or not url.isprintable():
        raise ValueError(f"{url!r} is no URL to ask; write one such as https://id.example.com/introspect")
    if parts.scheme == "http" and not insecure_http and not _is_loopback(parts.hostname or ""):
        raise ValueError(
            f"{url!r} is not https, and tokens and the client's secret are sent there; "
            "write https://, or insecure_http: true where the network is trusted"
        )


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
