"""What a log keeps of a request, and what it hides."""

from __future__ import annotations

import pytest

from gateway.exchange import Reply
from gateway.plugin import Plugin
from gateway.telemetry.access_record import Redactor, access_record
from gateway.testing import make_env, make_exchange, run

REDACT = Redactor(["token", "code", "api_key"])


@pytest.mark.parametrize(
    ("query", "shown"),
    (
        ("", ""),
        ("a=1&b=2", "a=1&b=2"),
        ("token=abc", "token=REDACTED"),
        ("a=1&token=abc&b=%20x+y", "a=1&token=REDACTED&b=%20x+y"),
        ("TOKEN=abc&Api_Key=x", "TOKEN=REDACTED&Api_Key=REDACTED"),
        ("t%6Fken=abc", "t%6Fken=REDACTED"),
        ("%74%6f%6b%65%6e=abc", "%74%6f%6b%65%6e=REDACTED"),
        ("token=a=b=c&x", "token=REDACTED&x"),
        ("token=a;b=c&x=1", "token=REDACTED&x=1"),
        ("a=1;token=abc;c=d&x=1", "a=1;token=REDACTED&x=1"),
        ("token=1&token=2", "token=REDACTED&token=REDACTED"),
        ("token", "token"),
        ("mytoken=1&tokens=2", "mytoken=1&tokens=2"),
        ("&&=&a", "&&=&a"),
    ),
)
def test_values_are_hidden_and_the_rest_is_untouched(query: str, shown: str) -> None:
    assert REDACT.query(query) == shown


def test_a_url_keeps_its_path() -> None:
    assert (
        REDACT.url("https://a.example/token=1?code=x&a=1#code=2")
        == "https://a.example/token=1?code=REDACTED&a=1#code=2"
    )
    assert REDACT.url("https://a.example/") == "https://a.example/"


def test_nothing_is_redacted_on_demand() -> None:
    assert Redactor([]).query("token=abc") == "token=abc"


def test_a_record_has_the_facts_in_their_order() -> None:
    exchange = make_exchange("GET", "/a?b=c", {"User-Agent": "curl"}, route="item", request_id="r", trace_id="t")
    run(Plugin(None, make_env()), exchange, Reply(200, body=b"12345"), seconds=0.25)

    record = access_record(exchange)

    assert record[:12] == (
        1000.0, 1000.25, "GET", "/a", "b=c", "1.1", "gateway.test", "http", "192.0.2.1", 200, 0, 5,
    )  # fmt: skip
    assert record[12:23] == (
        "item", "service", "127.0.0.1:9001", 1, "answered", "-", 0.25, "r", "t", "", None,
    )  # fmt: skip
    assert record[23].get("user-agent") == "curl"
