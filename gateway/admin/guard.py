"""Who may talk to the admin listener: a right Host, no foreign page behind a change, and the token where one is set."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Middleware

from gateway.admin.problems import Handler, Refused

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime

ALWAYS_OPEN = frozenset(("/healthz", "/readyz"))
HARMLESS = frozenset(("GET", "HEAD", "OPTIONS"))
OWN_SITE = frozenset(("same-origin", "none"))
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s]+)(?::([0-9]{1,5}))?")
BEARER = re.compile(r"bearer +(\S+) *", re.IGNORECASE)


def make_guard(runtime: Runtime) -> Middleware:
    """The middleware. It reads the settings in service, so that a reload changes them."""

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        settings = runtime.admin
        hosts = request.headers.getall("Host", [])
        if len(hosts) != 1 or not host_is_ours(hosts[0], settings.hosts):
            raise Refused(421, "this Host is not the admin listener's; list it in admin.hosts")
        if request.method not in HARMLESS:
            _check_site(request, hosts[0])
        token = settings.token.reveal() if settings.token is not None else ""
        is_open = request.path in ALWAYS_OPEN or request.path in settings.public
        if token and not is_open and not token_is_right(request.headers.getall("Authorization", []), token):
            raise Refused(401, "send Authorization: Bearer TOKEN", {"WWW-Authenticate": 'Bearer realm="gateway admin"'})
        return await handler(request)

    return guard


def host_is_ours(host: str, listed: Sequence[str] = ()) -> bool:
    """An IP literal, localhost, or one of `listed` (`*.` stands for any labels), each with any port: a page whose name
    was made to point here (DNS rebinding) has another."""
    match = HOST.fullmatch(host)
    if match is None:
        return False
    name = match[1].lower()
    if name == "localhost" or name in listed:
        return True
    if any(pattern.startswith("*.") and name.endswith(pattern[1:]) for pattern in listed):
        return True
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def origin_is_ours(origin: str, host: str) -> bool:
    """Is `origin` the page of this very Host?"""
    try:
        parts = urlsplit(origin)
        port = parts.port
    except ValueError:
        return False
    match = HOST.fullmatch(host)
    if parts.scheme not in ("http", "https") or not parts.hostname or match is None:
        return False
    default = 443 if parts.scheme == "https" else 80
    return (parts.hostname, port or default) == (match[1].lower().strip("[]"), int(match[2] or default))


def token_is_right(authorization: Sequence[str], token: str) -> bool:
    """Do the Authorization fields hold the token? The time it takes tells nothing about it."""
    match = BEARER.fullmatch(authorization[0]) if len(authorization) == 1 else None
    given = match[1] if match is not None else ""
    return hmac.compare_digest(given.encode("utf-8", "surrogateescape"), token.encode())


def _check_site(request: web.Request, host: str) -> None:
    origins = request.headers.getall("Origin", [])
    sites = request.headers.getall("Sec-Fetch-Site", [])
    if not all(origin_is_ours(origin, host) for origin in origins) or not OWN_SITE.issuperset(sites):
        raise Refused(403, "a page of another site may change nothing here")
