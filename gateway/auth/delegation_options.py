"""The options of the auth_delegation plugin as configuration writes them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from gateway.auth.header_names import check_identity_headers, other_spellings
from gateway.breaker.options import BreakerOptions
from gateway.exchange import ORIGIN_FORM, split_route_id
from gateway.units import Duration, Size
from gateway.wire.fields import FRAMING, TOKEN
from gateway.wire.headers import NEVER_UPSTREAM, lower_spelling

Dialect = Literal["traefik", "nginx", "envoy"]
METHOD = re.compile(r"[A-Z-]+")
# What the service hears from the gateway itself, or what says where a message ends.
TOLD = FRAMING | NEVER_UPSTREAM | {b"expect", b"forwarded", b"host", b"traceparent", b"tracestate", b"x-request-id"}
TOLD_PREFIXES = (b"x-forwarded-", b"x-original-")
# What a body cannot be read without.
REPRESENTATION = ("Content-Type", "Content-Encoding")
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
        _check_names("by", self.by)
        if self.max < 2:
            raise ValueError("max is the most answers that are kept; write 10000")

    @cached_property
    def fields(self) -> tuple[bytes, ...]:
        """Names (lower case) whose values are in the key. What a trusted peer says of the scheme is told to the service
        as well, so an answer is about that too."""
        told = ("x-forwarded-proto",) if self.per == "request" else ()
        return tuple(name.lower().encode() for name in (*self.by, *told))


@dataclass(frozen=True)
class BodyOptions:
    """The request's body goes along; a longer one than `max` is refused with 413, also where `when` asks nothing."""

    max: Size = _EIGHT_KIB

    def __post_init__(self) -> None:
        if self.max < 1:
            raise ValueError("max is how long a body may be; write 8KiB, or leave out with_body")


@dataclass(frozen=True)
class Rule:
    """Requests on one of these routes, and with one of these methods; what is not given is every one. GET takes HEAD
    along, as in a route's `match`. `item` is the route of that name in every frontend and outside of them,
    `mobile/item` that of one frontend."""

    routes: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.routes and not self.methods:
            raise ValueError("a rule names routes or methods, as in {methods: [POST, DELETE]}")
        for method in self.methods:
            if not METHOD.fullmatch(method):
                raise ValueError(f"{method!r} is no method; write {method.upper() or 'POST'}")

    def fits(self, route_id: str, method: str) -> bool:
        """Is it such a request?"""
        if self.routes and route_id not in self.routes and split_route_id(route_id)[1] not in self.routes:
            return False
        return not self.methods or ("GET" if method == "HEAD" else method) in self.methods or method in self.methods


_BREAKER = BreakerOptions()
# Ids of the trace, and what a trusted peer says of how the client came.
ALSO_READ = ("traceparent", "tracestate", "x-forwarded-proto")


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
        if not ORIGIN_FORM.fullmatch(self.path):
            raise ValueError(f"{self.path!r} is no path; write one such as /verify")
        if not self.timeout:
            raise ValueError("within 0s nobody answers; write a timeout such as 500ms")
        _check_names("send_headers", self.send_headers)
        _check_names("copy_on_allow", self.copy_on_allow)
        _check_names("copy_on_deny", self.copy_on_deny)
        for header in (*self.send_headers, *self.identities):
            spelling = lower_spelling(header.encode())
            if spelling in TOLD or (header in self.send_headers and spelling.startswith(TOLD_PREFIXES)):
                raise ValueError(f"{header} is the gateway's own to tell; leave it out")
        check_identity_headers(self.identities)
        if not 400 <= self.status_on_error <= 599:
            raise ValueError("status_on_error is 400 to 599, such as 503")
        if self.principal is not None and self.principal not in self.copy_on_allow:
            raise ValueError("principal is one of copy_on_allow: the header of the answer that says who it is")
        if self.breaker.fallback is not None or self.breaker.scope != "route" or self.breaker.name is not None:
            raise ValueError("this breaker guards the service that is asked: it has no fallback, scope or name")
        if self.cache is not None:
            self._check_cache(self.cache)

    @cached_property
    def read(self) -> tuple[bytes, ...]:
        """The client's headers that a question is made of, in lower case: those of `sent`, and what they come with."""
        return tuple(name.lower().encode() for name in (*self.sent, *ALSO_READ))

    @cached_property
    def sent(self) -> tuple[str, ...]:
        """The client's headers that the service is told: with the body also what it cannot be read without."""
        given = {name.lower() for name in self.send_headers}
        needed = REPRESENTATION if self.with_body is not None else ()
        return (*self.send_headers, *(name for name in needed if name.lower() not in given))

    @cached_property
    def identities(self) -> tuple[str, ...]:
        """Those of `copy_on_allow` that no client has a right to."""
        sent = {name.lower() for name in self.send_headers}
        return tuple(name for name in self.copy_on_allow if name.lower() not in sent)

    @cached_property
    def credentials(self) -> tuple[str, ...]:
        """Those that clients show and services get anew, in every spelling. Whoever shows such a one is to be asked
        about with it: it goes when the answer is there."""
        names = [name for name in self.copy_on_allow if name not in self.identities]
        return tuple(spelling for name in names for spelling in (name, *other_spellings(name)))

    def unknown_routes(self, routes: Iterable[str]) -> list[str]:
        """What `when` names and is none of these, which are ids: nobody is asked about it."""
        known = {name for route_id in routes for name in (route_id, split_route_id(route_id)[1])}
        return sorted({route for rule in self.when for route in rule.routes}.difference(known))

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


def _check_names(option: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for name in names:
        if not TOKEN.fullmatch(name.encode()):
            raise ValueError(f"{name!r} is no header name; write one such as X-Api-Key")
        if name.lower() in seen:
            raise ValueError(f"{option} has {name} twice; leave one out")
        seen.add(name.lower())
