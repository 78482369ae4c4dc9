"""The options of the session plugin as configuration writes them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from gateway.auth.header_names import check_identity_headers
from gateway.units import Duration, Secret

Algorithm = Literal["EdDSA", "ES256", "RS256"]
SameSite = Literal["Lax", "Strict"]
# A browser takes a cookie of such a name only with Secure, from an https page (RFC 6265bis §4.1.3).
PREFIXES = ("__Host-", "__Secure-")
# A token is made anew before it gets as old as that, so that it does not expire on its way. In seconds.
TOKEN_MARGIN = 10.0

_COOKIE_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(r"(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~-]+)+")
_FORWARDED_PATH = re.compile(r"/[!-\"$-~]*")
_ORIGIN = re.compile(r"https?://(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_HALF_AN_HOUR = Duration("30m")
_TWELVE_HOURS = Duration("12h")
_TWO_MINUTES = Duration("2m")


@dataclass(frozen=True)
class LoginOptions:
    """What is posted to `path` goes to `forward_to` of `upstream`, which answers whose login it is."""

    upstream: str
    path: str = "/login"
    forward_to: str = "/login"

    def __post_init__(self) -> None:
        if not _FORWARDED_PATH.fullmatch(self.forward_to):
            raise ValueError(f"{self.forward_to!r} is no path of the upstream; write one such as /login")


@dataclass(frozen=True)
class TokenOptions:
    """The token that services get in the cookie's place. `audience` is the upstream's name and `issuer` the gateway's
    where they are not given; without a key one is made at start."""

    ttl: Duration = _TWO_MINUTES
    audience: str | None = None
    issuer: str | None = None
    key: Secret | None = None
    key_file: str | None = None
    algorithm: Algorithm = "EdDSA"

    def __post_init__(self) -> None:
        if self.ttl <= TOKEN_MARGIN:
            raise ValueError(f"token.ttl should be more than {TOKEN_MARGIN:g}s, such as 2m")
        if self.audience == "" or self.issuer == "":
            raise ValueError("audience and issuer are not empty; leave them out, or name them")
        if self.key is not None and self.key_file is not None:
            raise ValueError("key and key_file are two places for one key; keep one")


_TOKEN = TokenOptions()


@dataclass(frozen=True)
class SessionOptions:
    """`idle` is how long a session lives without a request, `max_age` how long with them. `origins` are those of other
    sites whose pages may change things here."""

    login: LoginOptions
    logout: str = "/logout"
    jwks: str = "/.well-known/jwks.json"
    cookie: str = "__Host-session"
    secure: bool = True
    same_site: SameSite = "Lax"
    idle: Duration = _HALF_AN_HOUR
    max_age: Duration = _TWELVE_HOURS
    optional: bool = False
    token: TokenOptions = _TOKEN
    claims_to_headers: dict[str, str] = field(default_factory=dict)
    origins: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        own = (self.login.path, self.logout, self.jwks)
        for path in own:
            if not _PATH.fullmatch(path):
                raise ValueError(f"{path!r} is no path to answer at; write one such as /login, without a slash behind")
        if len(set(own)) < len(own):
            raise ValueError("login, logout and jwks are three paths; give each its own")
        self._check_cookie()
        if not self.idle:
            raise ValueError("idle should be more than 0, such as 30m")
        if self.max_age < self.idle:
            raise ValueError(f"max_age ends every session, so it is not less than idle ({self.idle}); write 12h")
        check_identity_headers(self.claims_to_headers.values(), credential="X-CSRF-Token")
        for origin in self.origins:
            if not _ORIGIN.fullmatch(origin.lower()):
                raise ValueError(f"{origin!r} is no origin; write one such as https://app.example.com, without a path")

    def _check_cookie(self) -> None:
        name = self.cookie
        if not _COOKIE_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a cookie; write one such as __Host-session")
        if self.secure and not name.startswith(PREFIXES):
            raise ValueError(
                f"other sites could plant a cookie named {name}; write __Host-{name}, or `secure: false` in development"
            )
        if not self.secure and name.lower().startswith(tuple(prefix.lower() for prefix in PREFIXES)):
            raise ValueError(f"without Secure, browsers refuse a cookie named {name}; write `cookie: session`")
