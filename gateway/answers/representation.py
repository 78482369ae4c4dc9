"""What is true of the very bytes of a representation, and of no others that mean the same (RFC 9110 §8). Pure."""

from __future__ import annotations

from gateway.answers.conditional import weak
from gateway.exchange import Headers

DIGESTS = ("Content-Digest", "Content-MD5", "Digest", "Repr-Digest")


def is_coded(headers: Headers) -> bool:
    """Is the body compressed?"""
    return (headers.get("content-encoding") or "identity").strip().lower() != "identity"


def weaken(headers: Headers) -> None:
    """§8.8.1: whoever set the ETag vouches for its own bytes, and the body is others that mean the same."""
    tag = headers.get("etag")
    if tag is not None and weak(tag) != tag:
        headers.set("ETag", weak(tag))
