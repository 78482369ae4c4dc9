"""Refuses requests that are too large for a route.

    - request_size: {body: 1MiB, target: 8KiB, headers: 16KiB}

`body` answers 413: at once to a length that is declared, and to a body that comes in chunks as soon as it is longer.
`target` is the path with its query as the client sent them, and answers 414; `headers` is all names and values
together, and answers 431. What is left out is not limited here. The limits of the listener hold all the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from gateway.plugin import Exchange, GatewayError, Kind, Plugin, Size


class RequestSize(Plugin):
    """Measures each request's head, and tells the gateway how long its body may be."""

    @dataclass(frozen=True)
    class Options:
        body: Size | None = None
        target: Size | None = None
        headers: Size | None = None

        def __post_init__(self) -> None:
            if self.body is None and self.target is None and self.headers is None:
                raise ValueError("nothing is limited; write body, target or headers, such as body: 1MiB")

    spans_routes = True

    def on_request(self, exchange: Exchange) -> None:
        options = self.options
        if options.target is not None:
            length = len(exchange.sent_path) + (len(exchange.query) + 1 if exchange.query else 0)
            if length > options.target:
                raise GatewayError(Kind.TARGET_TOO_LONG, f"the target is limited to {options.target}")
        if options.headers is not None:
            length = sum(len(name) + len(value) for name, value in exchange.headers.items())
            if length > options.headers:
                raise GatewayError(Kind.HEAD_TOO_LARGE, f"the header fields are limited to {options.headers}")
        if options.body is not None:
            exchange.limit_body(int(options.body))
