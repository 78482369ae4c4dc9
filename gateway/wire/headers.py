"""Which header fields may pass from one side to the other. Tables and pure functions.

Hop-by-hop names: RFC 9110 §7.6.1, with `Proxy-Connection` and the two `Proxy-Auth*` fields that concern one hop only.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import Literal

HOP_BY_HOP = frozenset(
    [
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ]
)
# `Proxy` would become HTTP_PROXY in a CGI-like service (CVE-2016-5385): it never passes, whoever sends it.
NEVER_UPSTREAM = HOP_BY_HOP | {b"proxy", b"http2-settings"}
# What only a trusted peer may tell the services behind us. `x-forwarded-*` is matched by its prefix.
FORGEABLE = frozenset(
    [
        b"forwarded",
        b"x-real-ip",
        b"x-request-id",
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"b3",
        b"x-b3-traceid",
        b"x-b3-spanid",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-flags",
        b"x-request-deadline-ms",
    ]
)
FORGEABLE_PREFIX = b"x-forwarded-"
# What tells services of the trace. Where a plugin sets it, a client's own is gone by then.
TRACING = frozenset(
    [
        b"b3",
        b"baggage",
        b"traceparent",
        b"tracestate",
        b"x-b3-flags",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-spanid",
        b"x-b3-traceid",
        b"x-request-id",
    ]
)
# A trusted peer's own copies of these are replaced by ours, which go on from them.
REPLACED = frozenset([b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"])

# What stands for the address of a client that came through a Unix socket.
UNIX = "unix"
Trusted = tuple[IPv4Network | IPv6Network | Literal["unix"], ...]


def lower_spelling(name: bytes) -> bytes:
    """One spelling for all: lower case, `-` for `_`, since CGI-like services cannot tell the two apart."""
    return name.lower().replace(b"_", b"-")


def is_trusted(address: str, trusted: Trusted) -> bool:
    """Is the peer at `address` one of the trusted proxies?"""
    if address == UNIX:
        return UNIX in trusted
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in trusted if network != UNIX)


def resolve_client(peer: str, forwarded_for: Iterable[str], trusted: Trusted) -> str:
    """The client's address: from the right of X-Forwarded-For, the first that is not a trusted proxy.

    Something that is no address ends the walk: what stands left of it was written by nobody we trust.
    """
    client = peer
    if not is_trusted(peer, trusted):
        return peer
    entries = [entry.strip() for line in forwarded_for for entry in line.split(",")]
    for entry in reversed(entries):
        address = _bare_address(entry)
        if address is None:
            return client
        client = address
        if not is_trusted(address, trusted):
            return client
    return client


def _bare_address(entry: str) -> str | None:
    if entry.startswith("["):
        entry = entry[1:].partition("]")[0]
    elif entry.count(":") == 1:
        entry = entry.partition(":")[0]
    try:
        return str(ip_address(entry))
    except ValueError:
        return None


def forwarded_element(client: str, host: str, scheme: str) -> str:
    """One element of `Forwarded` (RFC 7239 §4): an IPv6 address and a host with a port are quoted, and a client without
    an address is unknown (§6.2)."""
    node = "unknown" if client == UNIX else f'"[{client}]"' if ":" in client else client
    shown = f'"{host}"' if not host.replace(".", "").replace("-", "").isalnum() else host
    return f"for={node};host={shown};proto={scheme}"
