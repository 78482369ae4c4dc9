"""Calls go to the client of the upstream, JSON as the body."""

from typing import Any

import pytest

from gateway.application.fetch import NO_JSON, fetch_through
from gateway.exchange import Exchange
from gateway.testing import FakeUpstream, make_exchange


@pytest.mark.parametrize(
    ("given", "headers", "body"),
    [
        ({}, {}, b""),
        ({"body": b"x", "headers": {"A": "b"}}, {"A": "b"}, b"x"),
        ({"json": {"a": None}}, {"Content-Type": "application/json"}, b'{"a":null}'),
        ({"json": None}, {"Content-Type": "application/json"}, b"null"),
        ({"json": 1, "headers": {"content-type": "application/x"}}, {"content-type": "application/x"}, b"1"),
    ],
)
async def test_what_is_sent(given: dict[str, Any], headers: dict[str, str], body: bytes) -> None:
    exchange, asked, fake = make_exchange(), [], FakeUpstream()

    def client(found: Exchange, name: str) -> FakeUpstream:
        asked.append((found, name))
        return fake

    options = {"method": "PUT", "headers": None, "body": b"", "json": NO_JSON, "timeout": 1.0, "max_body": 9} | given
    reply = await fetch_through(client)(exchange, "catalog", "/a", **options)
    assert reply.status == 200
    assert asked == [(exchange, "catalog")]
    assert fake.calls == [("PUT", "/a", headers, body)]
