"""The two readings of a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.routing.paths import check_escapes, decoded, is_plain, other_reading, segments_of

RAW = st.text("ab/.;%25fFcC0A\\é?", max_size=16).map(lambda text: "/" + text.encode("ascii", "ignore").decode())


@pytest.mark.parametrize("path", ["/", "/a", "/a/b/", "/a.b", "/a..b", "/a:b@c", "/~x", "/a,b", "/a*b"])
def test_plain(path: str) -> None:
    assert is_plain(path)
    assert other_reading(path) == path


@pytest.mark.parametrize("path", ["//", "/a//b", "/.", "/../x", "/a/..", "/a;b", "/a\\b", "/%41", "/.well-known"])
def test_not_plain(path: str) -> None:
    assert not is_plain(path)


@pytest.mark.parametrize(
    ("raw", "read"),
    [
        ("/a//b", "/a/b"),
        ("//a", "/a"),
        ("/a/./b", "/a/b"),
        ("/a/../b", "/b"),
        ("/../../a", "/a"),
        ("/a/..", "/"),
        ("/a/b/..", "/a/"),
        ("/a/.", "/a/"),
        ("/a/", "/a/"),
        ("/a/b;x=1/c", "/a/b/c"),
        ("/a;/../b", "/b"),
        ("/a/..;/b", "/b"),
        ("/a\\..\\b", "/b"),
        ("/a%2fb", "/a/b"),
        ("/a/%2e%2e/b", "/b"),
        ("/a/%252e%252e/b", "/b"),
        ("/a/%25252e%25252e%25252fb", "/b"),
        ("/%5c..%5cb", "/b"),
        ("/a%3Bx/b", "/a/b"),
        ("/%C3%A9", "/é"),
    ],
)
def test_other_reading(raw: str, read: str) -> None:
    assert other_reading(raw) == read


@pytest.mark.parametrize("raw", ["/%00", "/%0a", "/%7f", "/%1F", "/%zz", "/%", "/%4"])
def test_bad_escapes(raw: str) -> None:
    with pytest.raises(GatewayError):
        check_escapes(raw)


@pytest.mark.parametrize("raw", ["/%2500", "/%25250a", "/%257f", "/" + "%25" * 1 + "25" * 20 + "41"])
def test_what_comes_to_light_later(raw: str) -> None:
    with pytest.raises(GatewayError):
        other_reading(raw)


def test_segments_are_decoded_once_and_a_coded_slash_is_none() -> None:
    assert segments_of("/a%2Fb/%2541/") == ["a/b", "%41", ""]
    assert segments_of("/") == [""]
    assert decoded("%C3%A9") == "é"
    assert decoded("%FF").encode("utf-8", "surrogateescape") == b"\xff"


@given(RAW)
def test_reading_again_changes_nothing(raw: str) -> None:
    try:
        check_escapes(raw)
        read = other_reading(raw)
    except GatewayError:
        return
    assert "//" not in read
    assert not {".", ".."} & set(read.split("/"))
    assert read.startswith("/")


@given(st.binary(max_size=12))
def test_only_refusals(octets: bytes) -> None:
    raw = "/" + "".join(f"%{octet:02X}" if octet % 3 else chr(33 + octet % 90) for octet in octets)
    try:
        check_escapes(raw)
        other_reading(raw)
    except GatewayError:
        pass


@given(st.text("abc123-_~.", min_size=1, max_size=10).filter(lambda text: not text.startswith(".")))
def test_plain_paths_never_raise(text: str) -> None:
    assert is_plain("/" + text)
    check_escapes("/" + text)
    assert other_reading("/" + text) == "/" + text
