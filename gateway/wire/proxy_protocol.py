"""The PROXY protocol, versions 1 and 2: how one proxy tells the next who the client is, ahead of all else on a
connection (https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt). Pure: bytes in, addresses out, and back."""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TEXT = b"PROXY "
# `PROXY UNKNOWN` with its CRLF; no header of either version is shorter.
SHORTEST = 15
LONGEST_TEXT = 107
FIXED = 16
# Of addresses and TLVs. The field could say 65,535; senders keep the whole header below 536 bytes (§2.2).
LONGEST_REST = 4096
PORT = re.compile(r"0|[1-9][0-9]{0,4}")
LOCAL, PROXIED = 0x20, 0x21
UNSPECIFIED, TCP4, TCP6, UNIX_STREAM = 0x00, 0x11, 0x21, 0x31


class Addresses(NamedTuple):
    """Both ends of a client's connection, as IP addresses in their usual form and ports."""

    source: str
    source_port: int
    destination: str
    destination_port: int


# A client without an IP address, or one of whom the sender knows nothing.
UNKNOWN = Addresses("unknown", 0, "", 0)


class ProxyHeaderError(ValueError):
    """What came is no PROXY header."""


def missing(header: bytes) -> int:
    """How many more bytes belong to the header for certain, 0 when it is whole: who reads no more than that never reads
    what follows it. ProxyHeaderError as soon as it cannot be one."""
    size = len(header)
    if not header:
        return SHORTEST
    if SIGNATURE.startswith(header[: len(SIGNATURE)]):
        if size < FIXED:
            return FIXED - size
        rest = int.from_bytes(header[14:16])
        if rest > LONGEST_REST:
            raise ProxyHeaderError(f"a PROXY header of {FIXED + rest} bytes")
        return FIXED + rest - size
    if not TEXT.startswith(header[: len(TEXT)]):
        raise ProxyHeaderError("no PROXY header")
    if header.endswith(b"\r\n") and size >= SHORTEST:
        return 0
    if size >= LONGEST_TEXT or b"\r" in header[:-1] or b"\n" in header:
        raise ProxyHeaderError("a PROXY line without its end")
    if size < SHORTEST:
        return SHORTEST - size
    return 1 if header.endswith(b"\r") else min(2, LONGEST_TEXT - size)


def parse_header(header: bytes) -> Addresses | None:
    """What a whole header says; None where the sender speaks for itself (LOCAL). UNKNOWN is what it says of clients
    without an IP address. TLVs are skipped, a checksum among them (§2.2.5). ProxyHeaderError for anything else."""
    try:
        return _parse_text(header) if header.startswith(TEXT) else _parse_binary(header)
    except (AddressValueError, UnicodeDecodeError):
        raise ProxyHeaderError("a PROXY header without addresses") from None


def _parse_text(header: bytes) -> Addresses:
    words = header[:-2].decode("ascii").split(" ")
    family = words[1]
    if family == "UNKNOWN":
        return UNKNOWN
    if len(words) != 6 or family not in ("TCP4", "TCP6"):
        raise ProxyHeaderError("a PROXY line of an unknown form")
    source, destination = (_address(word, family == "TCP6") for word in words[2:4])
    ports = [int(word) for word in words[4:] if PORT.fullmatch(word)]
    if len(ports) != 2 or max(ports) > 65535:
        raise ProxyHeaderError("a PROXY line without ports")
    return Addresses(source, ports[0], destination, ports[1])


def _parse_binary(header: bytes) -> Addresses | None:
    command, family, rest = header[12], header[13], header[FIXED:]
    if command == LOCAL:
        return None
    if command != PROXIED:
        raise ProxyHeaderError("a PROXY header of an unknown version or command")
    if family in (UNSPECIFIED, UNIX_STREAM):
        return UNKNOWN
    if family not in (TCP4, TCP6):
        raise ProxyHeaderError("a PROXY header of an unknown family")
    size = 4 if family == TCP4 else 16
    if len(rest) < 2 * size + 4:
        raise ProxyHeaderError("a PROXY header that is too short for its addresses")
    source, destination = (_shown(rest[at : at + size]) for at in (0, size))
    ports = rest[2 * size : 2 * size + 4]
    return Addresses(source, int.from_bytes(ports[:2]), destination, int.from_bytes(ports[2:]))


def _address(text: str, v6: bool) -> str:
    if not v6:
        return str(IPv4Address(text))
    if "%" in text:
        raise ProxyHeaderError("an address with a zone in a PROXY line")
    return _shown(IPv6Address(text).packed)


def _shown(packed: bytes) -> str:
    """An IPv4 address in IPv6 form (RFC 4291 §2.5.5.2) is the IPv4 address."""
    if len(packed) == 4:
        return str(IPv4Address(packed))
    address = IPv6Address(packed)
    return str(address.ipv4_mapped or address)


def write_header(version: str, addresses: Addresses | None) -> bytes:
    """The header of `v1` or `v2`. None is for a connection of the gateway's own: LOCAL, which v1 has no word for."""
    known = addresses is not None and addresses is not UNKNOWN
    if version == "v1":
        if not known or addresses is None:
            return b"PROXY UNKNOWN\r\n"
        source, destination = _packed(addresses)
        family = "TCP4" if len(source) == 4 else "TCP6"
        line = f"PROXY {family} {_written(source)} {_written(destination)} {addresses[1]} {addresses[3]}\r\n"
        return line.encode()
    if not known or addresses is None:
        return SIGNATURE + bytes([LOCAL if addresses is None else PROXIED, UNSPECIFIED, 0, 0])
    source, destination = _packed(addresses)
    ports = addresses.source_port.to_bytes(2) + addresses.destination_port.to_bytes(2)
    rest = source + destination + ports
    return SIGNATURE + bytes([PROXIED, TCP4 if len(source) == 4 else TCP6]) + len(rest).to_bytes(2) + rest


def _packed(addresses: Addresses) -> tuple[bytes, bytes]:
    """Both addresses in one family: an IPv4 address beside an IPv6 one is written in IPv6 form."""
    ends = [_bytes_of(addresses.source), _bytes_of(addresses.destination)]
    if len(ends[0]) != len(ends[1]):
        ends = [end if len(end) == 16 else b"\x00" * 10 + b"\xff\xff" + end for end in ends]
    return ends[0], ends[1]


def _bytes_of(address: str) -> bytes:
    return IPv6Address(address.partition("%")[0]).packed if ":" in address else IPv4Address(address).packed


def _written(packed: bytes) -> str:
    return str(IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed))
