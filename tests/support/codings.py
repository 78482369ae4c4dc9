"""Content codings undone, by what is not the gateway's."""

from __future__ import annotations

import gzip

import brotli
import zstandard


def decoded(body: bytes, coding: str | None) -> bytes:
    """What a client makes of a body in this coding."""
    if coding == "gzip":
        return gzip.decompress(body)
    if coding == "br":
        plain: bytes = brotli.decompress(body)
        return plain
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompress(body)
    assert coding is None, coding
    return body
