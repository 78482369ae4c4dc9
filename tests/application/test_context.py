"""What a handler gets: its exchange, and fetch with its defaults."""

from typing import Any

from aiohttp.test_utils import make_mocked_request

import gateway.application
from gateway.application.context import GATEWAY, Gateway
from gateway.application.fetch import NO_JSON
from gateway.plugin import UpstreamReply
from gateway.testing import make_exchange


async def test_fetch_passes_everything_on() -> None:
    calls: list[Any] = []

    async def fetch(*arguments: Any, **options: Any) -> UpstreamReply:
        calls.append((arguments, options))
        return UpstreamReply(200, {}, b"[1]")

    exchange = make_exchange()
    gateway_ = Gateway(exchange, fetch)
    assert gateway_.exchange is exchange
    assert (await gateway_.fetch("catalog", "/items")).json() == [1]
    await gateway_.fetch("users", "/", method="POST", headers={"A": "b"}, body=b"c", json=None, timeout=1, max_body=2)
    defaults = {"method": "GET", "headers": None, "body": b"", "json": NO_JSON, "timeout": 5.0, "max_body": 1 << 20}
    given = {"method": "POST", "headers": {"A": "b"}, "body": b"c", "json": None, "timeout": 1, "max_body": 2}
    assert calls == [((exchange, "catalog", "/items"), defaults), ((exchange, "users", "/"), given)]


def test_it_stands_in_the_request_under_one_key() -> None:
    request = make_mocked_request("GET", "/")
    assert GATEWAY not in request
    assert gateway.application.GATEWAY is GATEWAY
