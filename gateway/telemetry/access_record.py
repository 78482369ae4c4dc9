"""What an access log keeps of a request: plain values, taken in `on_finish`, encoded later."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import unquote_plus

from gateway.exchange import Exchange, Headers

REDACTED = "REDACTED"

# Started and ended (monotonic seconds), method, raw path, query, HTTP version, host, scheme, client address,
# status, bytes in, bytes out, route, upstream, endpoint, attempts, outcome, flag, seconds at the upstream,
# request id, trace id, span id, principal, request headers.
AccessRecord = tuple[
    float,
    float,
    str,
    str,
    str,
    str,
    str,
    str,
    str,
    int,
    int,
    int,
    str,
    str,
    str,
    int,
    str,
    str,
    float,
    str,
    str,
    str,
    str | None,
    Headers,
]


def access_record(exchange: Exchange) -> AccessRecord:
    """The record of an exchange that is over."""
    attempt = exchange.attempt
    return (
        exchange.started,
        exchange.ended,
        exchange.method,
        exchange.raw_path,
        exchange.query,
        exchange.version,
        exchange.host,
        exchange.scheme,
        exchange.client_ip,
        exchange.status,
        exchange.bytes_in,
        exchange.bytes_out,
        exchange.route,
        exchange.upstream,
        attempt.endpoint if attempt is not None else "",
        exchange.attempts,
        exchange.outcome,
        exchange.flag,
        exchange.upstream_seconds,
        exchange.request_id,
        exchange.trace_id,
        exchange.span_id,
        exchange.principal,
        exchange.headers,
    )


class Redactor:
    """Puts `REDACTED` in place of the values of some query parameters; the rest stays byte for byte.

    Names are compared decoded, and without regard to case. Pure.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(name.lower() for name in names)

    def query(self, query: str) -> str:
        """A query without what is secret. A value reaches to the next `&`."""
        parts = query.split("&")
        for number, part in enumerate(parts):
            if ";" in part:
                parts[number] = self._old_style(part)
            elif self._hides(part):
                parts[number] = f"{part.partition('=')[0]}={REDACTED}"
        return "&".join(parts)

    def url(self, url: str) -> str:
        """A URL, such as a Referer, without what is secret in its query."""
        before, mark, query = url.partition("?")
        return f"{before}?{self.query(query)}" if mark else url

    def _hides(self, part: str) -> bool:
        name, equals, _ = part.partition("=")
        if "%" in name or "+" in name:
            name = unquote_plus(name)
        return bool(equals) and name.lower() in self._names

    def _old_style(self, part: str) -> str:
        # Some services still take `;` for `&`, others take it as part of the value: hide what either would.
        pieces = part.split(";")
        for number, piece in enumerate(pieces):
            if self._hides(piece):
                return ";".join([*pieces[:number], f"{piece.partition('=')[0]}={REDACTED}"])
        return part
