"""What a file says of a format becomes a codec, or an error that says what to write."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.errors import ConfigError
from gateway.legacy.load import make_codec


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        ("xml", "XmlCodec"),
        ("form", "FormCodec"),
        ({"xml": {}}, "XmlCodec"),
        ({"form": {"lists": ["a"]}}, "FormCodec"),
        ({"soap": {"operation": "Op", "version": 1.2}}, "SoapCodec"),
    ],
)
def test_good_ones(spec: Any, kind: str) -> None:
    assert type(make_codec(spec)).__name__ == kind


def test_the_most_bytes() -> None:
    with pytest.raises(ValueError, match="longer than 7 bytes"):
        make_codec("xml", 7).decode(b"<a></a> ", "")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("xlm", "'xlm' is no format; did you mean 'xml'?"),
        ("soap", "'soap' is no format; write soap: {operation: NAME}"),
        ("json", "'json' is no format; known: xml, form"),
        ({}, "there is one format, xml, soap or form"),
        ({"xml": {}, "form": {}}, "there is one format"),
        ({"soap": {}}, "missing key 'operation' in soap"),
        ({"xml": {"rot": "a"}}, "unknown key 'rot' in xml; did you mean 'root'?"),
        ({"xml": {"types": {"a": "float"}}}, "xml.types.a: should be 'number', 'integer' or 'boolean', not 'float'"),
        ({"xml": {"root": "a b"}}, "xml: 'a b' is no name of an XML element"),
        ({"soap": {"operation": "a", "header": {"a b": 1}}}, "format: 'a b' is no name of an XML element"),
    ],
)
def test_bad_ones(spec: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_codec(spec)
    assert said in str(caught.value)
