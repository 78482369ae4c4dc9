"""The ids of a request as fields: new ones, and what a plugin has put in their place."""

from __future__ import annotations

import re

import pytest

from gateway.telemetry.trace_fields import begin_trace, request_id_line
from gateway.testing import make_exchange


@pytest.mark.parametrize("sampled", ["0", "1"])
def test_a_trace_that_begins_here(sampled: str) -> None:
    exchange = make_exchange()
    begin_trace(exchange, sampled)

    assert re.fullmatch("[0-9a-f]{32}", exchange.trace_id)
    assert re.fullmatch("[0-9a-f]{16}", exchange.span_id)
    assert exchange.headers.get_all("traceparent") == [f"00-{exchange.trace_id}-{exchange.span_id}-0{sampled}"]
    assert exchange.headers.get_all("x-request-id") == [exchange.request_id]


def test_no_two_are_the_same() -> None:
    exchanges = [make_exchange() for _ in range(50)]
    for exchange in exchanges:
        begin_trace(exchange, "1")

    assert len({exchange.trace_id for exchange in exchanges}) == 50
    assert len({exchange.span_id for exchange in exchanges}) == 50
    assert len({exchange.request_id for exchange in exchanges}) == 50


def test_the_line_of_a_request_id() -> None:
    exchange = make_exchange()
    exchange.request_id = "mine-1"

    assert request_id_line(exchange) == b"X-Request-Id: mine-1\r\n"
