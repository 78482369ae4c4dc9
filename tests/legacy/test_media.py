"""Content types with whatever blanks, quotes and parameters."""

from __future__ import annotations

import pytest

from gateway.legacy.media import charset_of, is_json, media_type


@pytest.mark.parametrize(
    ("content_type", "kind", "charset"),
    [
        ("", "", ""),
        ("text/xml", "text/xml", ""),
        ("Text/XML ; Charset=UTF-8", "text/xml", "utf-8"),
        ('application/soap+xml; action="a"; charset="ISO-8859-1"', "application/soap+xml", "iso-8859-1"),
        ("text/xml; xcharset=a; charset", "text/xml", ""),
    ],
)
def test_type_and_charset(content_type: str, kind: str, charset: str) -> None:
    assert (media_type(content_type), charset_of(content_type)) == (kind, charset)


@pytest.mark.parametrize(
    ("content_type", "json"),
    [
        ("application/json", True),
        ("application/problem+json; charset=utf-8", True),
        ("text/json", False),
        ("application/jsonp", False),
        ("application/json-seq", False),
    ],
)
def test_json(content_type: str, json: bool) -> None:
    assert is_json(content_type) is json
