"""The options of the auth_delegation plugin as configuration writes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.auth.jwt_options import HEADER_NAME, check_identity_headers
from gateway.breaker.options import BreakerOptions
from gateway.units import Duration, Size

Dialect = Literal["traefik", "nginx", "envoy"]
_HALF_A_SECOND = Duration("500ms")
_TWO_SECONDS = Duration("2s")
_EIGHT_KIB = Size("8KiB")


@dataclass(frozen=True)
class CacheOptions:
    """Which answers are kept: by the values of the headers `by`, and by host, method and raw path with query, unless
    they are `per: credential`. `ttl` of what was allowed, `negative_ttl` of 401 and 403."""

    by: tuple[str, ...] = ("Authorization", "Cookie")
    ttl: Duration | Literal["from_response"] = "from_response"
    negative_ttl: Duration = _TWO_SECONDS
    max: int = 10_000
    per: Literal["request", "credential"] = "request"

    def __post_init__(self) -> None:
        if not self.by:
            raise ValueError("by is empty, so everybody would share one answer; write [Authorization, Cookie]")
        if self.max < 2:
            raise ValueError("max is the most answers that are kept; write 10000")


@dataclass(frozen=True)
class BodyOptions:
    """The request's body goes along; a longer one than `max` is refused with 413."""

    max: Size = _EIGHT_KIB


@dataclass(frozen=True)
class Rule:
    """Requests on one of these routes, and with one of these methods; what is not given is every one."""

    routes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.routes and not self.methods:
            raise ValueError("a rule names routes or methods, as in {methods: [POST, DELETE]}")

    def fits(self, route: str, method: str) -> bool:
        """Is it such a request?"""
        return (not self.routes or route in self.routes) and (not self.methods or method in self.methods)


_BREAKER = BreakerOptions()


@dataclass(frozen=True)
class DelegationOptions:
    """`path` is where the service is asked; with `dialect: envoy`, what stands before the request's own path."""

    upstream: str
    path: str = "/"
    method: Literal["GET", "original"] | None = None
    send_headers: tuple[str, ...] = ("Authorization", "Cookie")
    copy_on_allow: tuple[str, ...] = ()
    copy_on_deny: tuple[str, ...] = ("Location", "Retry-After", "Set-Cookie", "WWW-Authenticate")
    with_body: BodyOptions | None = None
    timeout: Duration = _HALF_A_SECOND
    status_on_error: int = 503
    fail: Literal["closed", "open"] = "closed"
    dialect: Dialect = "traefik"
    cache: CacheOptions | None = None
    principal: str | None = None
    when: tuple[Rule, ...] = ()
    breaker: BreakerOptions = _BREAKER
    name: str | None = None

    def __post_init__(self) -> None:
        if not self.path.startswith("/") or not self.path.isascii() or not self.path.isprintable() or " " in self.path:
            raise ValueError(f"{self.path!r} is no path; write one such as /verify")
        for header in (*self.send_headers, *self.copy_on_deny):
            if not HEADER_NAME.fullmatch(header):
                raise ValueError(f"{header!r} is no header name; write one such as X-Api-Key")
        for header in self.send_headers:
            if header.lower().startswith(("x-forwarded-", "x-original-")) or header.lower() in ("host", "forwarded"):
                raise ValueError(f"{header} is told by the gateway itself; leave it out of send_headers")
        credentials = {name.lower() for name in self.send_headers}
        check_identity_headers(name for name in self.copy_on_allow if name.lower() not in credentials)
        if not 400 <= self.status_on_error <= 599:
            raise ValueError("status_on_error is 400 to 599, such as 503")
        if self.principal is not None and self.principal not in self.copy_on_allow:
            raise ValueError("principal is one of copy_on_allow: the header of the answer that says who it is")
        if self.breaker.fallback is not None or self.breaker.scope != "route" or self.breaker.name is not None:
            raise ValueError("this breaker guards the service that is asked: it has no fallback, scope or name")
        if self.cache is not None:
            self._check_cache(self.cache)

    def _check_cache(self, cache: CacheOptions) -> None:
        by = {name.lower() for name in cache.by}
        left_out = [name for name in self.send_headers if name.lower() not in by]
        if left_out:
            raise ValueError(
                f"the service decides by {left_out[0]}, and the cache does not: one caller would get another's answer; "
                "list it in cache.by, or leave it out of send_headers"
            )
        if self.with_body is not None:
            raise ValueError("the service decides by the body, and the cache does not; leave out cache or with_body")
