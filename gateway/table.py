"""What one configuration comes to: the immutable snapshot that a request is served by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.chain import EMPTY, Chain
from gateway.routing.router import Router
from gateway.upstreams.upstream import Upstream


@dataclass(frozen=True, slots=True, weakref_slot=True)
class RouteTable:
    """Routes, upstreams and the plugin chain of requests without a route. `via` is our line of the Via field."""

    router: Router
    upstreams: Mapping[str, Upstream]
    chain: Chain = EMPTY
    name: str = "gateway"
    via: bytes = b"Via: 1.1 gateway\r\n"
    version: int = 1
    digest: str = ""
    identity_headers: frozenset[str] = field(default_factory=frozenset)

    @classmethod
    def empty(cls) -> RouteTable:
        """No routes: every answer is 404."""
        return cls(Router(()), {})
