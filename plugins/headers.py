"""Adds, sets and removes header fields, of requests on their way up and of answers on their way down.

    - headers: {request: {set: {X-Api-Version: "2"}}, response: {add: {X-Served-By: edge}, remove: [Server]}}

Removed first, then set, then added. Answers of the gateway itself are edited too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from gateway.plugin import Env, Exchange, Headers, Plugin, ResponseHead

NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
VALUE = re.compile(r"(?:[\x21-\x7e\x80-\U0010ffff](?:[\t\x20-\x7e\x80-\U0010ffff]*[\x21-\x7e\x80-\U0010ffff])?)?")
# They say where a message ends, or belong to one connection alone.
FRAMING = frozenset(
    [
        "connection",
        "content-length",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ]
)
# In a request, what the gateway says about itself and its peer.
OURS = {
    "host": "set `host:` at the upstream",
    "x-forwarded-for": "the gateway writes it; see `trusted_proxies`",
    "x-forwarded-proto": "the gateway writes it; see `trusted_proxies`",
    "x-forwarded-host": "the gateway writes it; see `trusted_proxies`",
    "forwarded": "the gateway writes it; see `forwarded: rfc7239` at the upstream",
}


@dataclass(frozen=True)
class Edits:
    """What happens to the fields of one message."""

    add: dict[str, str] = field(default_factory=dict)
    set: dict[str, str] = field(default_factory=dict)
    remove: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in (*self.add, *self.set, *self.remove):
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no header name; write one such as X-Api-Version")
            if name.lower() in FRAMING:
                raise ValueError(f"{name} frames the message; it is the gateway's alone")
        for name, value in (*self.add.items(), *self.set.items()):
            if not VALUE.fullmatch(value):
                raise ValueError(f"the value of {name} has a control character, or a blank at an end; write one line")

    def apply(self, headers: Headers) -> None:
        """Remove, set and add."""
        for name in self.remove:
            headers.remove(name)
        for name, value in self.set.items():
            headers.set(name, value)
        for name, value in self.add.items():
            headers.add(name, value)


class HeaderEdits(Plugin):
    """Applies what the options say; everything about them was checked when they were loaded."""

    @dataclass(frozen=True)
    class Options:
        request: Edits = Edits()
        response: Edits = Edits()

        def __post_init__(self) -> None:
            for name in (*self.request.add, *self.request.set, *self.request.remove):
                if name.lower() in OURS:
                    raise ValueError(f"{name} of a request is not for plugins; {OURS[name.lower()]}")

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self._request = options.request
        self._response = options.response

    def on_request(self, exchange: Exchange) -> None:
        self._request.apply(exchange.headers)

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        self._response.apply(head.headers)
