"""Names are checked, prefixes stand for one namespace each."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from gateway.legacy.namespaces import LOCAL, XML, Namespaces, shown

NAMES = Namespaces("urn:a", {"m": "urn:m"}, ("urn:envelope", "urn:envelope2"), "soap")


@pytest.mark.parametrize("name", ["a", "_1", "größe", "価格", "a.b-c", "A1", "xmlData", "цена"])
def test_good_names(name: str) -> None:
    NAMES.check_name(name)
    NAMES.check_name(f"m:{name}")
    NAMES.check_attribute(name)
    NAMES.check_attribute(f"xml:{name}")


BAD = ["", "1a", "-a", "a b", "a>", 'a"', "a/", "a\n", "a\x00", ":a", "a:", "m:n:o", "m:1", "×", "a&b", "#text", "@a"]
NO_LETTERS_IN_ALL_EDITIONS = ["\uf900", "\u1200", "\U00010000"]


@pytest.mark.parametrize("name", [*BAD, *NO_LETTERS_IN_ALL_EDITIONS])
def test_bad_names(name: str) -> None:
    with pytest.raises(ValueError, match="is no name of an XML element"):
        NAMES.check_name(name)
    with pytest.raises(ValueError, match="is no name of an XML element"):
        NAMES.check_attribute(name)


@pytest.mark.parametrize("name", ["x:a", "soap:Body", "xmlns:a"])
def test_prefixes_that_are_not_listed(name: str) -> None:
    with pytest.raises(ValueError, match="is not one of `namespaces`"):
        NAMES.check_name(name)
    with pytest.raises(ValueError, match="is not one of `namespaces`"):
        NAMES.check_attribute(name)


def test_no_value_declares_a_namespace() -> None:
    with pytest.raises(ValueError, match="declared by the option"):
        NAMES.check_attribute("xmlns")
    with pytest.raises(ValueError, match="is not one of"):
        NAMES.check_name("xml:lang")


def test_prefixes_of_json() -> None:
    uris = ["urn:a", "urn:m", "urn:envelope", "urn:envelope2", XML, "urn:else"]
    assert [NAMES.prefix(uri) for uri in uris] == ["", "m:", "soap:", "soap:", "xml:", None]
    assert NAMES.declarations == ' xmlns="urn:a" xmlns:m="urn:m"'
    assert Namespaces(None, {}).declarations == ""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((None, {"m": "urn:a", "n": "urn:a"}), "the namespace urn:a has a prefix already"),
        (("urn:a", {"n": "urn:a"}), "has a prefix already"),
        ((None, {"n": XML}), "has a prefix already"),
        ((None, {"n": "http://www.w3.org/2000/xmlns/"}), "has a prefix already"),
        ((None, {"n": "urn:e"}, ("urn:e",), "soap"), "has a prefix already"),
        ((None, {"": "urn:a"}), "cannot be a prefix"),
        ((None, {"xml": "urn:a"}), "cannot be a prefix"),
        ((None, {"XMLx": "urn:a"}), "cannot be a prefix"),
        ((None, {"a b": "urn:a"}), "cannot be a prefix"),
        ((None, {"soap": "urn:a"}, ("urn:e",), "soap"), "cannot be a prefix"),
        (("", {}), "is no namespace"),
        (('a" x="', {}), "is no namespace"),
        ((None, {"n": "a<b"}), "is no namespace"),
        ((None, {"n": "a&b"}), "is no namespace"),
        ((None, {"n": "a" * 501}), "is no namespace"),
    ],
)
def test_what_cannot_be_told_apart_or_written(options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Namespaces(*options)


def test_long_names_are_cut() -> None:
    assert LOCAL.fullmatch("a" * 10_000)
    assert len(shown("a" * 10_000)) == 65


def test_every_name_is_one_for_an_old_parser_too() -> None:
    letters = [chr(code) for code in range(1 << 16) if LOCAL.fullmatch(chr(code))]
    inner = [chr(code) for code in range(1 << 16) if LOCAL.fullmatch(f"a{chr(code)}")]
    text = "".join(f"<{letter}/>" for letter in letters) + f"<a{''.join(inner)}/>"
    assert len(letters) > 30_000
    assert len(ET.fromstring(f"<r>{text}</r>")) == len(letters) + 1
