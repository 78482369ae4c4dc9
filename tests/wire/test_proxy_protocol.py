"""PROXY headers of both versions, read and written."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.wire.proxy_protocol import (
    LONGEST_REST,
    SIGNATURE,
    UNKNOWN,
    Addresses,
    ProxyHeaderError,
    missing,
    parse_header,
    write_header,
)

V4 = Addresses("192.0.2.7", 51000, "198.51.100.1", 443)
V6 = Addresses("2001:db8::7", 51000, "2001:db8::1", 443)
BYTES_V4 = bytes([192, 0, 2, 7, 198, 51, 100, 1]) + (51000).to_bytes(2) + (443).to_bytes(2)
ports = st.integers(0, 65535)
v4 = st.integers(0, 2**32 - 1).map(lambda number: str(IPv4Address(number)))
v6 = st.integers(2**96, 2**128 - 1).map(lambda number: str(IPv6Address(number)))


def binary(command: int, family: int, rest: bytes) -> bytes:
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2) + rest


def read_stream(stream: bytes) -> tuple[Addresses | None, int]:
    """What it says, and how many bytes were read, as someone reads who takes `missing` at its word."""
    header = b""
    while wanted := missing(header):
        header += stream[len(header) : len(header) + wanted]
        if len(header) == len(stream) and missing(header):
            raise ProxyHeaderError("it is not all here")
    return parse_header(header), len(header)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"PROXY TCP4 192.0.2.7 198.51.100.1 51000 443\r\n", V4),
        (b"PROXY TCP6 2001:db8::7 2001:db8::1 51000 443\r\n", V6),
        (b"PROXY TCP6 2001:DB8:0::7 2001:db8::1 51000 443\r\n", V6),
        (b"PROXY TCP6 ::ffff:192.0.2.7 ::ffff:198.51.100.1 51000 443\r\n", V4),
        (b"PROXY TCP6 :: :: 0 0\r\n", Addresses("::", 0, "::", 0)),
        (b"PROXY UNKNOWN\r\n", UNKNOWN),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", UNKNOWN),
        (b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n", UNKNOWN),
        (binary(0x21, 0x11, BYTES_V4), V4),
        (binary(0x21, 0x11, BYTES_V4 + b"\x03\x00\x04\x00\x00\x00\x00"), V4),
        (binary(0x21, 0x21, IPv6Address(V6[0]).packed + IPv6Address(V6[2]).packed + BYTES_V4[8:]), V6),
        (binary(0x21, 0x31, bytes(216)), UNKNOWN),
        (binary(0x21, 0x00, b""), UNKNOWN),
        (binary(0x20, 0x00, b""), None),
        (binary(0x20, 0x11, BYTES_V4), None),
        (binary(0x20, 0x00, bytes(LONGEST_REST)), None),
    ],
)
def test_what_a_header_says_and_that_nothing_behind_it_is_read(header: bytes, told: Addresses | None) -> None:
    assert read_stream(header + b"GET / HTTP/1.1\r\n\r\n") == (told, len(header))
    for end in range(len(header)):
        assert missing(header[:end]) > 0


@pytest.mark.parametrize(
    "header",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
        b"proxy TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
        b"PROXY\tTCP4 1.1.1.1 1.1.1.1 1 1\r\n",
        b"PROXY  TCP4 1.1.1.1 1.1.1.1 1 1\r\n",
        b"PROXY TCP5 1.1.1.1 1.1.1.1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 65536\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 01 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 +1 1\r\n",
        b"PROXY TCP4 1.1.1.01 1.1.1.1 1 1\r\n",
        b"PROXY TCP4 ::1 1.1.1.1 1 1\r\n",
        b"PROXY TCP6 1.1.1.1 ::1 1 1\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\n",
        b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\rX",
        b"PROXY TCP4 \xb9.1.1.1 1.1.1.1 1 1\r\n",
        b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n",
        binary(0x11, 0x11, BYTES_V4),
        binary(0x22, 0x11, BYTES_V4),
        binary(0x21, 0x12, BYTES_V4),
        binary(0x21, 0x41, BYTES_V4),
        binary(0x21, 0x11, BYTES_V4[:11]),
        binary(0x21, 0x21, bytes(35)),
        binary(0x20, 0x00, bytes(LONGEST_REST + 1)),
        SIGNATURE[:11] + b"X" + bytes(8),
    ],
)
def test_what_is_no_header(header: bytes) -> None:
    with pytest.raises(ProxyHeaderError):
        read_stream(header + b" " * 200)


@pytest.mark.parametrize("version", ["v1", "v2"])
@given(source=v4 | v6, destination=v4 | v6, source_port=ports, destination_port=ports)
def test_what_is_written_is_read_again(
    version: str, source: str, destination: str, source_port: int, destination_port: int
) -> None:
    told = Addresses(source, source_port, destination, destination_port)
    header = write_header(version, told)
    assert read_stream(header + b"PROXY ") == (told, len(header))


@given(st.binary(max_size=120))
def test_any_bytes(data: bytes) -> None:
    for stream in (data, b"PROXY " + data, SIGNATURE + data):
        try:
            _, read = read_stream(stream)
        except ProxyHeaderError:
            continue
        assert read <= len(stream)


def test_what_is_written_of_those_without_addresses() -> None:
    assert write_header("v1", None) == write_header("v1", UNKNOWN) == b"PROXY UNKNOWN\r\n"
    assert write_header("v2", None) == SIGNATURE + b"\x20\x00\x00\x00"
    assert write_header("v2", UNKNOWN) == SIGNATURE + b"\x21\x00\x00\x00"
    assert write_header("v2", V4) == binary(0x21, 0x11, BYTES_V4)
    mixed = Addresses("192.0.2.7", 1, "2001:db8::1", 2)
    assert write_header("v1", mixed) == b"PROXY TCP6 ::ffff:192.0.2.7 2001:db8::1 1 2\r\n".replace(
        b"::ffff:192.0.2.7", str(IPv6Address("::ffff:192.0.2.7")).encode()
    )
    assert write_header("v1", Addresses("fe80::1%2", 1, "fe80::2%2", 2)) == b"PROXY TCP6 fe80::1 fe80::2 1 2\r\n"
