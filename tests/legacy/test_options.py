"""Options that could not work are refused when they are loaded."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.legacy.options import ENVELOPES, FormatOptions, FormOptions, SoapOptions, XmlOptions


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"root": "1"}, "'1' is no name"),
        ({"root": "m:a"}, "the prefix of 'm:a' is not one of `namespaces`"),
        ({"lists": ("a b",)}, "'a b' is no name"),
        ({"item": ""}, "'' is no name"),
        ({"types": {"a:b": "number"}}, "the prefix of 'a:b'"),
        ({"types": {"@1": "number"}}, "'1' is no name"),
        ({"content_type": "text/xml\r\nX: 1"}, "is no content type; write one such as text/xml"),
        ({"namespace": "a b"}, "'a b' is no namespace"),
    ],
)
def test_xml(options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        XmlOptions(**options)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"operation": "a b"}, "'a b' is no name"),
        ({"version": 1.3}, "the version of SOAP is 1.1 or 1.2, not 1.3"),
        ({"action": 'a"b'}, "is no action"),
        ({"action": "a\r\nb"}, "is no action"),
        ({"action": "a\\"}, "is no action"),
        ({"faults": {"NotFound": 200}}, "the status of the fault 'NotFound' is 400 to 599"),
        ({"namespaces": {"soap": "urn:a"}}, "'soap' cannot be a prefix of yours"),
        ({"namespace": ENVELOPES["1.1"]}, "has a prefix already"),
        ({"namespaces": {"e": ENVELOPES["1.2"]}}, "has a prefix already"),
        ({"lists": ("soap:Body",)}, "the prefix of 'soap:Body'"),
        ({"types": {"soap:Body": "number"}}, "the prefix of 'soap:Body'"),
    ],
)
def test_soap(options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        SoapOptions(**{"operation": "Op", **options})


def test_names_may_have_prefixes_that_are_listed() -> None:
    namespaces = {"m": "urn:m"}
    types: Any = {"m:c": "number", "@m:d": "integer", "@xml:id": "integer"}
    XmlOptions(root="m:a", lists=("m:b",), types=types, namespaces=namespaces)
    SoapOptions("m:Op", version="1.2", action="urn:a#b?c=d&e", namespaces=namespaces)


def test_one_format() -> None:
    for wrong in ({}, {"xml": XmlOptions(), "form": FormOptions()}):
        with pytest.raises(ValueError, match="there is one format, xml, soap or form, with its options, such as xml:"):
            FormatOptions(**wrong)
