"""What is settled before a request is routed, where its connection is not like most: the peer is trusted, the client
has shown a certificate, or everybody there is to come by HTTPS."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.errors import GatewayError, Kind, not_allowed
from gateway.exchange import Reply
from gateway.routing.predicates import ROUTABLE

if TYPE_CHECKING:
    from gateway.live import LiveExchange
    from gateway.proxy import Proxy
    from gateway.wire.client_connection import ClientConnection
    from gateway.wire.client_settings import HttpsRedirect

UNREDIRECTED = frozenset(["CONNECT", "TRACE"])


def arrived(proxy: Proxy, client: ClientConnection, exchange: LiveExchange) -> bool:
    """Look at the request's connection. True when the request is answered. GatewayError for one that is refused."""
    if client.trusted:
        exchange.believe()
    certificate, settings = client.certificate, client.settings
    if certificate is not None:
        if certificate.expired:
            # On a new connection it may show a new one.
            proxy.fail(exchange, GatewayError(Kind.FORBIDDEN, "the client's certificate has expired"))
            client.close_after_answer()
            return True
        exchange.client_certificate = certificate
        if settings.client_headers:
            exchange.headers.add_all(certificate.fields_for(settings.client_headers))
    if settings.redirect is None:
        return False
    proxy.answer(exchange, _by_https(exchange, settings.redirect))
    return True


def _by_https(exchange: LiveExchange, redirect: HttpsRedirect) -> Reply:
    """RFC 9110 §4.2.2: the same host and path, by HTTPS."""
    host, target = exchange.headers.block.host, exchange.headers.target
    if not host:
        raise GatewayError(Kind.BAD_REQUEST, "without a Host nobody knows where to go")
    if exchange.method in UNREDIRECTED or target == "*":
        raise not_allowed(exchange.method, ROUTABLE)
    name = host[: host.index("]") + 1] if host.startswith("[") else host.partition(":")[0]
    port = "" if redirect.port == 443 else f":{redirect.port}"
    return Reply.redirect(f"https://{name}{port}{target}", redirect.status)
