"""The options of the jwt plugin as configuration writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from gateway.auth.header_names import check_identity_headers
from gateway.auth.key_set import KEY_TYPES
from gateway.auth.remote_keys import KeyPlace, checked_url
from gateway.auth.tokens import TokenPolicy
from gateway.units import Duration, Secret

Algorithm = Literal[
    "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]  # fmt: skip
SCOPE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")
_LEEWAY = Duration("30s")


@dataclass(frozen=True)
class IssuerOptions:
    """Whose tokens are accepted, for whom they must be, and where the keys are: one of jwks, discovery, key and
    key_file."""

    issuer: str
    audience: str | tuple[str, ...]
    algorithms: tuple[Algorithm, ...] = ("RS256",)
    jwks: str | None = None
    discovery: bool = False
    key: Secret | None = None
    key_file: str | None = None
    leeway: Duration = _LEEWAY
    insecure_http: bool = False

    def __post_init__(self) -> None:
        places = [self.jwks is not None, self.discovery, self.key is not None, self.key_file is not None]
        if sum(places) != 1:
            raise ValueError(f"the issuer {self.issuer} has keys from one place: jwks, discovery, key or key_file")
        if not self.issuer or not all(self.audiences) or not self.audiences:
            raise ValueError("issuer and audience say whose tokens are accepted, and for whom; neither is empty")
        if not self.algorithms:
            raise ValueError("algorithms is empty, so no token could be verified; write [RS256]")
        if len(set(self.algorithms)) < len(self.algorithms):
            raise ValueError("an algorithm is listed twice; list each once")
        if float(self.leeway) > 60:
            raise ValueError("a leeway of more than 60s makes expiry mean little; write 30s")
        if self.jwks is not None:
            checked_url(self.jwks, self.insecure_http)
        if self.discovery:
            checked_url(self.issuer, self.insecure_http)
        if self.is_remote and any(KEY_TYPES[name][0] == "oct" for name in self.algorithms):
            raise ValueError("a published key cannot verify HS*: those have a secret, which goes into key or key_file")

    @property
    def audiences(self) -> tuple[str, ...]:
        """Values of which a token's `aud` must hold one."""
        return (self.audience,) if isinstance(self.audience, str) else self.audience

    @property
    def is_remote(self) -> bool:
        """Are the keys fetched?"""
        return self.jwks is not None or self.discovery

    def place(self) -> KeyPlace:
        """Where to fetch them."""
        return KeyPlace(self.issuer, self.jwks, self.insecure_http)

    def policy(self, required: tuple[str, ...]) -> TokenPolicy:
        """What this issuer's tokens must be. Where claims are required at all, `exp` is one of them."""
        required = tuple(dict.fromkeys(("exp", *required))) if required else ()
        return TokenPolicy(self.issuer, self.audiences, frozenset(self.algorithms), float(self.leeway), required)


@dataclass(frozen=True)
class JwtOptions:
    """`scopes` must all be there, `require` are claims that must, `exp` with them; a request without a token passes if
    `optional`."""

    issuers: tuple[IssuerOptions, ...]
    claims_to_headers: dict[str, str] = field(default_factory=dict)
    scopes: tuple[str, ...] = ()
    require: tuple[str, ...] = ("exp",)
    optional: bool = False
    revocation: bool = False

    def __post_init__(self) -> None:
        if not self.issuers:
            raise ValueError("issuers is empty, so no token could be accepted; list one")
        named = [one.issuer for one in self.issuers]
        if len(set(named)) < len(named):
            raise ValueError("an issuer is listed twice; give it one entry with several algorithms or audiences")
        check_identity_headers(self.claims_to_headers.values())
        for scope in self.scopes:
            if not SCOPE.fullmatch(scope):
                raise ValueError(f"{scope!r} is no scope; write one without blanks, such as items:read")
        for name in self.require:
            # It is told to who lacks it, in a header.
            if not SCOPE.fullmatch(name):
                raise ValueError(f"{name!r} is no name of a claim; write one such as sub")
