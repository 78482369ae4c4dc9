"""What a log hides."""

from __future__ import annotations

import pytest

from gateway.telemetry.redactor import Redactor

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
