"""Fields are removed, set and added, on both ways; what cannot be is refused when it is loaded."""

from __future__ import annotations

from typing import Any

import pytest
from gateway.plugins.headers import HeaderEdits

from gateway.exchange import Reply
from gateway.testing import make_exchange, make_plugin, run


def test_requests_are_edited_on_their_way_up() -> None:
    plugin = make_plugin(
        HeaderEdits, request={"add": {"X-Add": "2"}, "set": {"X-Set": "new"}, "remove": ["X-Gone", "X-Never"]}
    )
    exchange = make_exchange("GET", "/", [("X-Add", "1"), ("x-set", "a"), ("X-Set", "b"), ("x-gone", "1")])

    run(plugin, exchange)

    assert [exchange.headers.get_all(name) for name in ("x-add", "x-set", "x-gone")] == [["1", "2"], ["new"], []]


def test_answers_are_edited_on_their_way_down() -> None:
    plugin = make_plugin(
        HeaderEdits, response={"add": {"Vary": "X-A"}, "set": {"Cache-Control": "no-store"}, "remove": ["Server"]}
    )

    head = run(plugin, make_exchange(), Reply(200, {"Server": "nginx", "Vary": "Accept", "cache-control": "public"}))

    assert head.headers.get("server") is None
    assert head.headers.get_all("vary") == ["Accept", "X-A"]
    assert head.headers.get_all("cache-control") == ["no-store"]


def test_removing_comes_first() -> None:
    plugin = make_plugin(HeaderEdits, response={"remove": ["X-A"], "add": {"X-A": "ours"}})

    assert run(plugin, make_exchange(), Reply(200, {"X-A": "theirs"})).headers.get_all("x-a") == ["ours"]


def test_without_options_nothing_happens() -> None:
    assert list(run(make_plugin(HeaderEdits), make_exchange(), Reply(200, {"A": "b"})).headers.items()) == [("A", "b")]


@pytest.mark.parametrize(
    ("options", "message"),
    (
        ({"request": {"set": {"X A": "1"}}}, "'X A' is no header name"),
        ({"request": {"remove": [""]}}, "no header name"),
        ({"response": {"set": {"X-A": "a\r\nX-B: 1"}}}, "value of X-A has a control character"),
        ({"response": {"add": {"X-A": " a"}}}, "blank at an end"),
        ({"response": {"add": {"X-A": "\x7f"}}}, "control character"),
        ({"response": {"set": {"Content-Length": "5"}}}, "frames the message"),
        ({"request": {"remove": ["transfer-encoding"]}}, "frames the message"),
        ({"request": {"set": {"Host": "a"}}}, "set `host:` at the upstream"),
        ({"request": {"set": {"X-Forwarded-For": "a"}}}, "trusted_proxies"),
        ({"request": {"sett": {}}}, "sett"),
    ),
)
def test_edits_that_cannot_be(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_plugin(HeaderEdits, **options)


@pytest.mark.parametrize("value", ("", "a", "a b\tc", "é", "€"))
def test_values_of_every_kind(value: str) -> None:
    run(make_plugin(HeaderEdits, request={"set": {"X-A": value}}, response={"set": {"X-A": value}}), make_exchange())
