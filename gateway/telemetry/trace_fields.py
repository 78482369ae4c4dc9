"""The fields that carry the ids of a request, written out."""

from __future__ import annotations

from gateway.exchange import Exchange


def begin_trace(exchange: Exchange, sampled: str) -> None:
    """The trace begins here, as most do: the service hears of it in `traceparent`, with the flag `sampled`, 0 or 1, and
    of the request in X-Request-Id."""
    exchange.mint_ids()
    headers = exchange.headers
    headers.add_line(f"traceparent: 00-{exchange.trace_id}-{exchange.span_id}-0{sampled}\r\n".encode())
    headers.add_line(request_id_line(exchange))


def request_id_line(exchange: Exchange) -> bytes:
    """X-Request-Id, for service and client."""
    return f"X-Request-Id: {exchange.request_id}\r\n".encode()
