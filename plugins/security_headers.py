"""Response headers that make browsers careful.

    - security_headers: {content_security_policy: "default-src 'self'", frame_options: off}

Each option is the header's value, or `off`. What a service set itself stays, unless `override` is true.
Strict-Transport-Security is sent over TLS only, as RFC 6797 §7.2 demands; `force_hsts` sends it always, for a
gateway behind something that ends TLS.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.plugin import Env, Exchange, Plugin, ResponseHead

VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
HSTS = "Strict-Transport-Security"
OFF = "off"


class SecurityHeaders(Plugin):
    """Adds to every answer what it lacks of these."""

    @dataclass(frozen=True)
    class Options:
        hsts: str = "max-age=31536000"
        content_type_options: str = "nosniff"
        frame_options: str = "SAMEORIGIN"
        referrer_policy: str = "strict-origin-when-cross-origin"
        content_security_policy: str = OFF
        permissions_policy: str = OFF
        force_hsts: bool = False
        override: bool = False

        def __post_init__(self) -> None:
            for name, value in self.fields():
                if not VALUE.fullmatch(value):
                    raise ValueError(f"{value!r} is no value for {name}; write one line of ASCII, or off")

        def fields(self) -> tuple[tuple[str, str], ...]:
            """The headers that are on."""
            fields = (
                (HSTS, self.hsts),
                ("X-Content-Type-Options", self.content_type_options),
                ("X-Frame-Options", self.frame_options),
                ("Referrer-Policy", self.referrer_policy),
                ("Content-Security-Policy", self.content_security_policy),
                ("Permissions-Policy", self.permissions_policy),
            )
            return tuple(field for field in fields if field[1] != OFF)

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self._secure = options.fields()
        self._plain = tuple(field for field in self._secure if field[0] != HSTS or options.force_hsts)
        self._override = options.override

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        headers = head.headers
        for name, value in self._secure if exchange.scheme == "https" else self._plain:
            if self._override:
                headers.set(name, value)
            elif headers.get(name) is None:
                headers.add(name, value)
