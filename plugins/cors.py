"""Tells browsers which other origins may read answers (the CORS protocol of the Fetch standard).

    - cors: {origins: [https://app.example.com, "https://*.example.org"], methods: [GET, POST], credentials: true}

A preflight is answered here and goes nowhere else. What a service itself says about origins is replaced.
`headers: ["*"]`, the default, allows what the browser asks for. `max_age` is how long it may remember that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.answers.vary import vary_by
from gateway.plugin import Duration, Env, Exchange, Plugin, Reply, ResponseHead

ORIGIN = re.compile(
    r"null|[a-z][a-z0-9+.-]*://(?:\*\.)?(?:[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?"
)
SUBDOMAIN = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
TEN_MINUTES = Duration("10m")
VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


class Cors(Plugin):
    """Answers preflights and marks answers. Stands before plugins that refuse, so that a page can read the refusal."""

    # A preflight comes as OPTIONS, whatever methods the route has: the router brings it here all the same.
    answers_preflight = True

    @dataclass(frozen=True)
    class Options:
        origins: tuple[str, ...] = ("*",)
        methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
        headers: tuple[str, ...] = ("*",)
        expose: tuple[str, ...] = ()
        credentials: bool = False
        max_age: Duration = TEN_MINUTES

        def __post_init__(self) -> None:
            for origin in self.origins:
                if origin != "*" and not ORIGIN.fullmatch(origin.lower()):
                    raise ValueError(
                        f"{origin!r} is no origin; write one such as https://app.example.com, without a path"
                    )
            if "*" in self.origins and self.credentials:
                raise ValueError("every origin (*) with credentials would let any page act as its visitor; list them")
            for name in (*self.methods, *self.headers, *self.expose):
                if not TOKEN.fullmatch(name):
                    raise ValueError(f"{name!r} is no method and no header name")

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        origins = [origin.lower() for origin in options.origins]
        self._any = "*" in origins
        self._exact = frozenset(origin for origin in origins if "*" not in origin)
        self._below = tuple((*origin.split("*"),) for origin in origins if "*." in origin)
        self._any_header = "*" in options.headers
        self._expose = ", ".join(options.expose)
        self._preflight = {"Vary": VARY, "Access-Control-Allow-Methods": ", ".join(options.methods)}
        self._preflight["Access-Control-Max-Age"] = str(int(options.max_age))
        if options.headers and not self._any_header:
            self._preflight["Access-Control-Allow-Headers"] = ", ".join(options.headers)

    def on_request(self, exchange: Exchange) -> Reply | None:
        if exchange.method != "OPTIONS":
            return None
        origin = exchange.headers.get("origin")
        if origin is None or exchange.headers.get("access-control-request-method") is None:
            return None
        if not self._allows(origin):
            return Reply.empty(204, {"Vary": VARY})
        asked = exchange.headers.get("access-control-request-headers")
        if asked and self._any_header:
            return Reply.empty(204, {**self._preflight, "Access-Control-Allow-Headers": asked})
        return Reply.empty(204, self._preflight)

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        headers = head.headers
        if self._any:
            headers.set("Access-Control-Allow-Origin", "*")
        else:
            # Caches keep one answer for each origin, also for requests that come without one.
            vary_by(headers, "Origin")
            origin = exchange.headers.get("origin")
            if origin is None or not self._allows(origin):
                if headers.get("access-control-allow-origin") is not None:
                    headers.remove("Access-Control-Allow-Origin")
                    headers.remove("Access-Control-Allow-Credentials")
                return
            headers.set("Access-Control-Allow-Origin", origin)
        if self.options.credentials:
            headers.set("Access-Control-Allow-Credentials", "true")
        else:
            headers.remove("Access-Control-Allow-Credentials")
        if self._expose:
            headers.set("Access-Control-Expose-Headers", self._expose)

    def _allows(self, origin: str) -> bool:
        origin = origin.lower()
        if self._any or origin in self._exact:
            return True
        return any(
            origin.startswith(start)
            and origin.endswith(end)
            and SUBDOMAIN.fullmatch(origin, len(start), len(origin) - len(end)) is not None
            for start, end in self._below
        )
