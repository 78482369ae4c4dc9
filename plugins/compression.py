"""Compresses the gateway's own answers (RFC 9110 §8.4): `respond`, problems, fallbacks, compositions, plugins' replies.

    - compression: {codings: [zstd, br, gzip], min_size: 1KiB, max_size: 256KiB, memory: 4MiB}

Stands first in the list: `on_response` runs in reverse, so that it sees what all others made of an answer. What streams
through from a service is left alone, since a service compresses better what it knows; an answer that a plugin holds
whole (`needs_body`) is compressed. `codings` are in the order of preference among what a client likes equally.
Compressing holds up everything else, so what is larger than `max_size` stays as it is. `types` are media types, also as
`text/*` and `*+json`. `memory` is for bodies that come again, but those with `Cache-Control: no-store`.

Left alone are answers with a Content-Encoding, a digest of their bytes or `Cache-Control: no-transform`, parts (206),
and what would not get smaller. An ETag becomes a weak one, which If-None-Match matches all the same (§8.8.3.2).

An answer that holds both a secret and what its reader sent lets a listener guess the secret by lengths (BREACH): leave
it out by `Cache-Control: no-transform`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.answers.accept_encoding import IDENTITY, ContentNegotiation
from gateway.answers.conditional import weak
from gateway.answers.content_codings import Coding, Compressor
from gateway.answers.vary import vary_by
from gateway.plugin import Env, Exchange, Headers, Plugin, ResponseHead, Size

MEDIA_RANGE = re.compile(r"[\w!#$&^.+-]+/(?:\*|[\w!#$&^.+-]+)|\*\+[\w.-]+", re.ASCII)
TYPES = (
    "text/*",
    "application/json",
    "application/javascript",
    "application/x-ndjson",
    "application/xml",
    "*+json",
    "*+xml",
)
KIBIBYTE, QUARTER_MEBIBYTE, FOUR_MEBIBYTES = Size("1KiB"), Size("256KiB"), Size("4MiB")
# They speak of the very bytes that are there.
BOUND = (b"content-encoding", b"content-digest", b"repr-digest", b"digest", b"content-md5")
PLAIN = ((),) * len(BOUND)
BODYLESS_OR_PART = frozenset([204, 205, 206])


class Compression(Plugin):
    """Mutable state: the compressor's memory, and what was chosen for the clients of late."""

    spans_routes = True

    @dataclass(frozen=True)
    class Options:
        codings: tuple[Coding, ...] = ("zstd", "br", "gzip")
        min_size: Size = KIBIBYTE
        max_size: Size = QUARTER_MEBIBYTE
        types: tuple[str, ...] = TYPES
        memory: Size = FOUR_MEBIBYTES

        def __post_init__(self) -> None:
            if not self.codings or len(set(self.codings)) < len(self.codings):
                raise ValueError("codings should name one at least, and each once, such as [br, gzip]")
            if self.min_size > self.max_size:
                raise ValueError(f"min_size is at most max_size ({self.max_size}), not {self.min_size}")
            for media_range in self.types:
                if not MEDIA_RANGE.fullmatch(media_range):
                    raise ValueError(f"{media_range!r} is no media type; write one such as text/css, text/* or *+json")

    def __init__(self, options: Options, env: Env) -> None:
        super().__init__(options, env)
        self._negotiation = ContentNegotiation(options.codings)
        self._compressor = Compressor(options.memory)
        types = [media_range.lower() for media_range in options.types]
        self._exact = frozenset(types)
        self._families = tuple(name.removesuffix("*") for name in types if name.endswith("/*"))
        self._suffixes = tuple(name.removeprefix("*") for name in types if name.startswith("*+"))

    def on_response(self, exchange: Exchange, head: ResponseHead) -> None:
        body = head.body
        if body is None:
            return
        headers = head.headers
        cache_control = ", ".join(headers.get_all("cache-control")).lower()
        if head.status == 304:
            # Its 200 may have been compressed: a cache finds it by the same tag (RFC 9111 §4.3.4).
            if headers.get("etag") is not None and "no-transform" not in cache_control:
                vary_by(headers, "Accept-Encoding")
                if self._coding(exchange) != IDENTITY:
                    _weaken(headers)
            return
        if "no-transform" in cache_control or not self._is_fit(head, len(body)):
            return
        vary_by(headers, "Accept-Encoding")
        coding = self._coding(exchange)
        if coding == IDENTITY:
            return
        compressed = self._compressor.compress(body, coding, "no-store" not in cache_control)
        if compressed is not None:
            head.body = compressed
            headers.set("Content-Encoding", coding)
            # Ranges of what is sent now are not to be had.
            headers.remove("Accept-Ranges")
            _weaken(headers)

    def _is_fit(self, head: ResponseHead, length: int) -> bool:
        options, headers = self.options, head.headers
        if not options.min_size <= length <= options.max_size or head.status in BODYLESS_OR_PART:
            return False
        media_type = (headers.get("content-type") or "").partition(";")[0].strip().lower()
        if not (
            media_type in self._exact or media_type.startswith(self._families) or media_type.endswith(self._suffixes)
        ):
            return False
        return headers.raw_values(BOUND) == PLAIN

    def _coding(self, exchange: Exchange) -> str:
        return self._negotiation.choose(exchange.headers.received(b"accept-encoding"))


def _weaken(headers: Headers) -> None:
    tag = headers.get("etag")
    if tag is not None:
        headers.set("ETag", weak(tag))
