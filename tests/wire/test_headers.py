"""Which fields pass, who the client is, and how it is named."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from gateway.wire.headers import (
    FORGEABLE,
    HOP_BY_HOP,
    NEVER_UPSTREAM,
    forwarded_element,
    is_trusted,
    lower_spelling,
    resolve_client,
)

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("::1/128"))


def test_tables_are_lower_case() -> None:
    for name in HOP_BY_HOP | NEVER_UPSTREAM | FORGEABLE:
        assert name == lower_spelling(name)


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.1.2.3", True),
        ("11.1.2.3", False),
        ("::1", True),
        ("::2", False),
        ("::ffff:10.1.2.3", True),
        ("::ffff:11.1.2.3", False),
        ("unix", False),
        ("", False),
    ],
)
def test_is_trusted(address: str, trusted: bool) -> None:
    assert is_trusted(address, TRUSTED) is trusted


@pytest.mark.parametrize(
    ("peer", "lines", "client"),
    [
        ("1.1.1.1", ["2.2.2.2"], "1.1.1.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["2.2.2.2"], "2.2.2.2"),
        ("10.0.0.1", ["6.6.6.6, 2.2.2.2, 10.0.0.2"], "2.2.2.2"),
        ("10.0.0.1", ["6.6.6.6", "2.2.2.2", "10.0.0.2"], "2.2.2.2"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["6.6.6.6, junk, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["6.6.6.6, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["2.2.2.2:8080"], "2.2.2.2"),
        ("10.0.0.1", ["[2001:db8::1]:443"], "2001:db8::1"),
        ("10.0.0.1", ["2001:db8::1"], "2001:db8::1"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6,"], "10.0.0.1"),
    ],
)
def test_resolve_client(peer: str, lines: list[str], client: str) -> None:
    assert resolve_client(peer, lines, TRUSTED) == client


@pytest.mark.parametrize(
    ("client", "host", "element"),
    [
        ("1.2.3.4", "a.example", "for=1.2.3.4;host=a.example;proto=http"),
        ("::1", "a", 'for="[::1]";host=a;proto=http'),
        ("1.2.3.4", "a:80", 'for=1.2.3.4;host="a:80";proto=http'),
        ("1.2.3.4", "a,b", 'for=1.2.3.4;host="a,b";proto=http'),
        ("1.2.3.4", "a;proto=https", 'for=1.2.3.4;host="a;proto=https";proto=http'),
        ("unix", "a", "for=unknown;host=a;proto=http"),
        ("1.2.3.4", "[::1]:8", 'for=1.2.3.4;host="[::1]:8";proto=http'),
    ],
)
def test_forwarded_element(client: str, host: str, element: str) -> None:
    assert forwarded_element(client, host, "http") == element


def test_forwarded_element_without_a_host() -> None:
    """HTTP/1.0 may come without one; `host=` alone would be malformed (RFC 7239 §4)."""
    assert "host=;" not in forwarded_element("1.2.3.4", "", "http")


def test_clients_of_a_unix_socket() -> None:
    trusted = (*TRUSTED, "unix")
    assert is_trusted("unix", trusted)
    assert is_trusted("10.1.2.3", trusted)
    assert not is_trusted("11.1.2.3", trusted)
    assert resolve_client("unix", ["2.2.2.2, 10.0.0.1"], trusted) == "2.2.2.2"
    assert resolve_client("unix", ["2.2.2.2, unix"], trusted) == "unix", "nobody writes that into a header"
    assert resolve_client("unix", ["2.2.2.2"], TRUSTED) == "unix"
