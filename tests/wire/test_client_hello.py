"""The first message of a TLS client, as ssl writes it and as nobody should."""

from __future__ import annotations

import contextlib
import ssl

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.wire.client_hello import HELLO_LIMIT, ClientHello, HelloError, parse_client_hello
from tests.support.hellos import hello_of, in_records, make_hello, make_message, server_name

NAMED = ClientHello("grpc.example.com", ("h2", "http/1.1"))
REAL = hello_of("GRPC.example.com", "h2", "http/1.1")


def read(data: bytes) -> ClientHello | int | str:
    try:
        return parse_client_hello(data)
    except HelloError as error:
        return str(error)


def test_a_real_hello() -> None:
    assert parse_client_hello(REAL) == NAMED
    assert parse_client_hello(REAL + b"more") == NAMED
    assert parse_client_hello(hello_of(None)) == ClientHello("", ())
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    assert parse_client_hello(hello_of("a.example", context=old)) == ClientHello("a.example", ())


def test_byte_by_byte_it_says_how_many_are_wanted() -> None:
    for end in range(len(REAL)):
        wanted = parse_client_hello(REAL[:end])
        assert wanted == (5 if end < 5 else len(REAL))


@given(st.lists(st.integers(1, 400), min_size=1, max_size=40))
@settings(max_examples=50)
def test_records_cut_anywhere(sizes: list[int]) -> None:
    data = in_records(REAL[5:], sizes)
    assert read(data) == NAMED
    seen = 0
    while not isinstance(found := parse_client_hello(data[:seen]), ClientHello):
        assert seen < found <= len(data), "it wants more than it has, and never more than there will be"
        seen = found
    assert found == NAMED


@given(st.binary(max_size=200), st.integers(0, len(REAL) - 1))
def test_garbage_is_refused_or_read_and_never_breaks(garbage: bytes, at: int) -> None:
    for data in (garbage, REAL[:at] + garbage, REAL[:at] + garbage + REAL[at:]):
        with contextlib.suppress(HelloError):
            found = parse_client_hello(data)
            assert isinstance(found, ClientHello) or found > len(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n", "no TLS handshake"),
        (b"\x16\x02\x00\x00\x01\x01", "no TLS handshake"),
        (b"\x80\x2e\x01\x03\x01", "no TLS handshake"),
        (b"\x16\x03\x01\x00\x00", "a TLS record of an impossible length"),
        (b"\x16\x03\x01\x40\x01", "a TLS record of an impossible length"),
        (b"\x16\x03\x01\x00\x01\x02", "no ClientHello"),
        (b"\x16\x03\x01\x40\x00\x01", "a ClientHello that is too long"),
        (in_records(b"\x01\x00\x40\x00" + bytes(70), [1] * 64), "a ClientHello in too many records"),
        (make_hello(make_message(b"", tail=b"x")), "bytes behind a ClientHello's extensions"),
        (make_hello(make_message(server_name(b"a.b") * 2)), "an extension that is there twice"),
        (make_hello(make_message(server_name(b"a.b", b"c.d"))), "a server name that can be read in two ways"),
        (make_hello(make_message(server_name(b""))), "a server name that can be read in two ways"),
        (make_hello(make_message(server_name(b"a..b"))), "a server name that can be read in two ways"),
        (make_hello(make_message(server_name(b"a b"))), "a server name that can be read in two ways"),
        (make_hello(make_message(server_name(b"a\x00.b"))), "a server name that can be read in two ways"),
        (make_hello(make_message(server_name(b"\xe4.b"))), "a server name that can be read in two ways"),
        (make_hello(make_message(server_name(b"a" * 256))), "a server name that can be read in two ways"),
        (make_hello(make_message(server_name(b"a.b", kind=1))), "a server name that is no host"),
        (make_hello(make_message(b"\x00\x00\x00\x05\x00\x02\x00\x00\x00")), "bytes behind an extension's list"),
        (make_hello(make_message(b"\x00\x00\x00\x01\x00")), "a ClientHello that ends too early"),
        (make_hello(b"\x03\x03" + bytes(20)), "a ClientHello that ends too early"),
    ],
)
def test_what_is_no_hello(data: bytes, reason: str) -> None:
    assert read(data) == reason


def test_names() -> None:
    assert read(make_hello(make_message(server_name(b"A.example.")))) == ClientHello("a.example", ())
    assert read(make_hello(make_message(None))) == ClientHello("", ()), "extensions are optional"


def test_as_long_as_allowed() -> None:
    filling = HELLO_LIMIT - len(make_hello(make_message(server_name(b"a.b") + b"\x00\x15\x00\x00")))
    padding = b"\x00\x15" + filling.to_bytes(2) + bytes(filling)
    assert read(make_hello(make_message(server_name(b"a.b") + padding))) == ClientHello("a.b", ())
    longer = b"\x00\x15" + (filling + 1).to_bytes(2) + bytes(filling + 1)
    assert read(make_hello(make_message(server_name(b"a.b") + longer))[:-1]) == "a ClientHello that is too long"
