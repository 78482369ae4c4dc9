"""Requests that are too large for a route are refused by what they declare; chunks are counted as they come
(tests/integration/test_rate_limits.py)."""

from __future__ import annotations

import pytest
from gateway.plugins.request_size import RequestSize

from gateway.testing import make_exchange, make_plugin, run


@pytest.mark.parametrize(("length", "status"), [("0", 200), ("1024", 200), ("1025", 413), ("9" * 30, 413)])
def test_a_declared_length(length: str, status: int) -> None:
    plugin = make_plugin(RequestSize, body="1KiB")
    head = run(plugin, make_exchange("POST", headers={"Content-Length": length}))
    assert head.status == status
    assert status == 200 or b"limited to 1024 bytes" in (head.body or b"")


@pytest.mark.parametrize(
    ("path", "status"),
    [("/" + "a" * 9, 200), ("/" + "a" * 10, 414), ("/a?" + "b" * 7, 200), ("/a?" + "b" * 8, 414), ("/%61%61%61", 200)],
)
def test_a_target_is_path_and_query_as_sent(path: str, status: int) -> None:
    assert run(make_plugin(RequestSize, target="10B"), make_exchange(path=path)).status == status


@pytest.mark.parametrize(("value", "status"), [("v" * 4, 200), ("v" * 5, 431)])
def test_header_fields_are_counted_together(value: str, status: int) -> None:
    plugin = make_plugin(RequestSize, headers="20B")
    exchange = make_exchange(headers=[("Host", "a.test"), ("X-A", value), ("X-A", "")])
    assert run(plugin, exchange).status == status


def test_what_is_left_out_is_not_limited() -> None:
    huge = make_exchange("POST", "/" + "a" * 5000, headers={"X": "y" * 5000, "Content-Length": "9999"})
    assert run(make_plugin(RequestSize, body="1MiB"), huge).status == 200
    assert run(make_plugin(RequestSize, target="8KiB"), huge).status == 200
    assert run(make_plugin(RequestSize, headers="16KiB"), huge).status == 200


def test_something_has_to_be_limited() -> None:
    with pytest.raises(ValueError, match="nothing is limited .write body, target or headers, such as body: 1MiB"):
        make_plugin(RequestSize)


def test_the_prefix_of_a_frontend_counts() -> None:
    exchange = make_exchange(path="/mobile/items", frontend="mobile", raw_path="/items")
    assert run(make_plugin(RequestSize, target="10B"), exchange).status == 414
