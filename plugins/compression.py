"""Compresses the gateway's own answers (RFC 9110 §8.4): `respond`, problems, fallbacks, compositions, plugins' replies.

    - compression: {codings: [zstd, br, gzip], min_size: 1KiB, max_size: 256KiB, memory: 4MiB}

Stands first in the list: `on_response` runs in reverse, so that it sees what all others made of an answer. What streams
through from a service is left alone, since a service compresses better what it knows; an answer that a plugin holds
whole (`needs_body`) is compressed. `codings` are in the order of preference among what a client likes equally.
Compressing holds up everything else, so what is larger than `max_size` stays as it is. `types` are media types, also as
`text/*` and `*+json`. `memory` is for bodies that come again, but those with `Cache-Control: no-store`.

Left alone are answers with a Content-Encoding, a digest of their bytes or `Cache-Control: no-transform`, parts (206),
and what would not get smaller. An ETag becomes a weak one, which If-None-Match matches all the same (§8.8.3.2).

An answer that repeats what was sent beside a secret lets a listener guess the secret by its length (BREACH): exempt
such answers by `Cache-Control: no-transform`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.answers.accept_encoding import IDENTITY, ContentNegotiation
from gateway.answers.conditional import weak
from gateway.answers.content_codings import Coding, Compressor
from gateway.answers.representation import DIGESTS
from gateway.answers.vary import vary_by
from gateway.plugin import Env, Exchange, Plugin, ResponseHead, Size

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
BOUND = (b"content-encoding", *(name.lower().encode() for name in DIGESTS))
READ = (b"cache-control", b"etag", b"accept-ranges", *BOUND)
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
        stands_for_200 = head.status == 304
        if not stands_for_200 and not self._is_fit(head, len(body)):
            return
        headers = head.headers
        cache_control, tags, ranges, *bound = headers.raw_values(READ)
        said = b",".join(cache_control).lower()
        if any(bound) or b"no-transform" in said or (stands_for_200 and not tags):
            return
        vary_by(headers, "Accept-Encoding")
        coding = self._negotiation.choose(exchange.headers.received(b"accept-encoding"))
        if coding == IDENTITY:
            return
        if not stands_for_200:
            compressed = self._compressor.compress(body, coding, b"no-store" not in said)
            if compressed is None:
                return
            head.body = compressed
            headers.set("Content-Encoding", coding)
            if ranges:
                # Ranges of what is sent now are not to be had.
                headers.remove("Accept-Ranges")
        if tags:
            # Also of a 304, whose 200 may have been compressed: by its tag a cache finds that (RFC 9111 §4.3.4).
            headers.set("ETag", weak(tags[0].decode("latin-1")))

    def _is_fit(self, head: ResponseHead, length: int) -> bool:
        options = self.options
        if not options.min_size <= length <= options.max_size or head.status in BODYLESS_OR_PART:
            return False
        media_type = (head.headers.get("content-type") or "").partition(";")[0].strip().lower()
        return media_type in self._exact or media_type.startswith(self._families) or media_type.endswith(self._suffixes)
