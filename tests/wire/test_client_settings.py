"""What the configuration tells a client's connection."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

from gateway.errors import GatewayError, Kind
from tests.support.gateways import make_settings, request


@pytest.mark.parametrize(("trusted", "passes"), [(True, ["9.9.9.9"]), (False, [])])
def test_parser_has_the_policy_of_the_peer(trusted: bool, passes: list[str]) -> None:
    parser = make_settings().parser(trusted)
    parser.feed(request("/", b"X-Forwarded-For: 9.9.9.9"))
    assert parser.head is not None
    assert parser.head.get_all("x-forwarded-for") == passes


def test_parsers_share_what_their_policy_remembers_and_nothing_else() -> None:
    settings = make_settings()
    first, second = settings.parser(False), settings.parser(False)
    first.feed(request("/", b"X: 1") + b"rest")
    assert (second.head, second.rest, second.begun) == (None, b"", False)
    assert settings.parser(True).read_known(request("/", b"X: 1")) is None
    known = second.read_known(request("/", b"X: 1"))
    assert first.head is not None
    assert known is not None
    assert known.block is first.head.block


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({}, None),
        ({"request_head": 60}, Kind.HEAD_TOO_LARGE),
        ({"header_count": 2}, Kind.HEAD_TOO_LARGE),
        ({"request_body": 2}, Kind.BODY_TOO_LARGE),
    ],
)
@pytest.mark.parametrize("trusted", [True, False])
def test_parser_has_the_limits(options: dict[str, Any], kind: Kind | None, trusted: bool) -> None:
    parser = make_settings(**options).parser(trusted)
    wire = request("/", b"X: 1", b"Y: " + b"a" * 50, method="POST", body=b"abc")
    if kind is None:
        parser.feed(wire)
        assert (parser.complete, parser.take_body()) == (True, b"abc")
        return
    with pytest.raises(GatewayError) as caught:
        parser.feed(wire)
    assert caught.value.kind is kind


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("peer", ["1.2.3.4", "2001:db8::1"])
def test_forwarded_lines_wait_for_the_host(peer: str, scheme: str) -> None:
    lines = make_settings(scheme=scheme).forwarded_lines(peer)
    expected = f"X-Forwarded-For: {peer}\r\nX-Forwarded-Proto: {scheme}\r\nX-Forwarded-Host: "
    assert lines == expected.encode()


def test_settings_do_not_change() -> None:
    settings: Any = make_settings()
    with pytest.raises(FrozenInstanceError):
        settings.body_timeout = 1.0


def test_a_peer_without_an_address_is_not_named() -> None:
    assert make_settings().forwarded_lines("unix") == b"X-Forwarded-Proto: http\r\nX-Forwarded-Host: "
