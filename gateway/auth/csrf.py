"""Which requests a page of another site may have made in a visitor's name (CSRF), and are refused. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from hmac import compare_digest

from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange

# RFC 9110 §9.2.1.
SAFE_METHODS = frozenset(["GET", "HEAD", "OPTIONS", "TRACE"])
HEADER = "X-CSRF-Token"
REFUSAL = (
    "nothing shows that a page of this site asks: send the header X-CSRF-Token with the `csrf` that the login answered "
    "or, as browsers do, Sec-Fetch-Site: same-origin or the Origin of this site"
)


class CsrfGuard:
    """Tells pages of this site from those of others. Immutable."""

    __slots__ = ("_origins", "_secure")

    def __init__(self, origins: Iterable[str], secure: bool) -> None:
        """`origins` are those of other sites that may do what pages of this one may; `secure` says that browsers come
        by https, whatever stands between."""
        self._origins = frozenset(origin.lower() for origin in origins)
        self._secure = secure

    def check(self, exchange: Exchange, token: str) -> None:
        """GatewayError FORBIDDEN, unless the method is safe, the session's token is shown, or the browser says that
        a page of this site asks."""
        if exchange.method in SAFE_METHODS:
            return
        shown = exchange.headers.get(HEADER) or ""
        if not compare_digest(shown.encode(), token.encode()) and not self._is_at_home(exchange):
            raise GatewayError(Kind.FORBIDDEN, REFUSAL)

    def check_login(self, exchange: Exchange) -> None:
        """GatewayError FORBIDDEN where the browser says that a page of another site asks: it would log its visitor in
        as somebody else. There is no token yet, and what is no browser may say nothing."""
        if self._is_at_home(exchange) is False:
            raise GatewayError(Kind.FORBIDDEN, "a page of another site cannot log in here")

    def _is_at_home(self, exchange: Exchange) -> bool | None:
        """Does the request come from a page of this site, or one of the origins? None where nothing says so."""
        headers = exchange.headers
        origin = headers.get("origin")
        if origin is not None and origin.lower() in self._origins:
            return True
        # Fetch Metadata: no page can set it. `none` is the visitor's own doing, such as a bookmark.
        site = headers.get("sec-fetch-site")
        if site is not None:
            return site in ("same-origin", "none")
        return None if origin is None else origin.lower() in self._own_origins(exchange)

    def _own_origins(self, exchange: Exchange) -> set[str]:
        """What this site is called (RFC 6454 §6.2). TLS may end before the gateway: a trusted proxy says so (of others
        the field does not come so far), and so does a cookie that browsers send by https alone."""
        told = exchange.headers.get("x-forwarded-proto")
        schemes = {told or exchange.scheme, "https" if self._secure else exchange.scheme}
        return {f"{scheme}://{exchange.host}".lower() for scheme in schemes}
