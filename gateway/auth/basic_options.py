"""The options of `basic_auth` as configuration writes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from gateway.auth.basic import check_realm
from gateway.auth.header_names import check_identity_headers


@dataclass(frozen=True)
class BasicAuthOptions:
    """`file` is beside the configuration, the gateway's name stands in for a `realm`, `headers` are what services are
    told."""

    file: str
    realm: str | None = None
    optional: bool = False
    forward: bool = False
    headers: dict[Literal["user"], str] = field(default_factory=lambda: {"user": "X-User"})

    def __post_init__(self) -> None:
        if self.realm is not None:
            check_realm(self.realm)
        check_identity_headers(self.headers.values(), credential="Authorization")
