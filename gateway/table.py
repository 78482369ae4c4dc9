"""What one configuration comes to: the immutable snapshot that a request is served by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.chain import EMPTY, Chain
from gateway.routing.frontend import Frontends
from gateway.routing.router import Router
from gateway.upstreams.upstream import Upstream
from gateway.wire.headers import TRACING


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RouteTable:
    """Routes, upstreams and the plugin chain of requests without a route. `via` is our line of the Via field.

    `frontends` have routes and a chain of their own; None where there are none. `passed_on` are the names (lower case)
    of the fields that a subrequest carries of its client's request: who asks, and in which trace. `derived` are
    upstreams with another policy of their own, for parts of compositions.
    """

    router: Router
    upstreams: Mapping[str, Upstream]
    chain: Chain = EMPTY
    name: str = "gateway"
    via: bytes = b"Via: 1.1 gateway\r\n"
    version: int = 1
    digest: str = ""
    identity_headers: frozenset[str] = field(default_factory=frozenset)
    frontends: Frontends | None = None
    passed_on: frozenset[bytes] = TRACING
    derived: tuple[Upstream, ...] = ()

    @classmethod
    def empty(cls) -> RouteTable:
        """No routes: every answer is 404."""
        return cls(Router(()), {})
