"""A tag changes with the body, a list of tags is read as RFC 9110 writes it, and a 304 says what it must."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers.conditional import entity_tag, not_modified, not_modified_headers, weak

TAG = entity_tag(b"body")
OTHER = entity_tag(b"other")


def test_a_tag_is_quoted_and_of_the_body_alone() -> None:
    assert TAG == '"1015b49d8b5ffd7a42652e3a"'
    assert entity_tag(bytes(bytearray(b"body"))) == TAG
    assert len({TAG, OTHER, entity_tag(b"")}) == 3


def test_a_weak_tag() -> None:
    assert weak('"a"') == 'W/"a"'
    assert weak('W/"a"') == 'W/"a"'


@pytest.mark.parametrize(
    "field",
    (
        TAG,
        weak(TAG),
        f"{OTHER}, {TAG}",
        f"{TAG},{OTHER}",
        f'"a,b" , {weak(OTHER)},\t{weak(TAG)}',
        f", ,{TAG}, ,",
        f'"", "\xe9", {TAG}',
        "*",
        " * ",
    ),
)
def test_the_client_has_it(field: str) -> None:
    assert not_modified(field, TAG)
    assert not_modified(field, weak(TAG))


@pytest.mark.parametrize(
    "field",
    (
        None,
        "",
        " , ",
        OTHER,
        weak(OTHER),
        '""',
        TAG.strip('"'),
        TAG[:-1],
        TAG[1:],
        f"w/{TAG}",
        f"W/ {TAG}",
        f"W{TAG}",
        f"{TAG} {OTHER}",
        f"{TAG}; q=1",
        f"{TAG}, x",
        f"x, {TAG}",
        f"*, {TAG}",
        f"{TAG}, *",
        "**",
        f'"a b", {TAG}',
        f'"a\x7f", {TAG}',
        f"{TAG}\n",
        f'"x{TAG}',
    ),
)
def test_the_client_has_it_not(field: str | None) -> None:
    assert not not_modified(field, TAG)


# What may stand between the quotes (RFC 9110 §8.8.3), the comma included.
OPAQUE = st.text(st.sampled_from("abc,!#~/W\x80\xff"), max_size=4).map(lambda text: f'"{text}"')
TAGS = st.builds(lambda tag, is_weak: weak(tag) if is_weak else tag, OPAQUE, st.booleans())


@given(st.lists(TAGS, max_size=5), TAGS, st.sampled_from([",", ", ", " ,\t", ",,"]))
def test_a_list_holds_what_is_in_it(listed: list[str], tag: str, separator: str) -> None:
    assert not_modified(separator.join(listed), tag) is (weak(tag) in map(weak, listed))


@given(st.text('W/"*, \tab\x00\xff', max_size=40))
def test_any_text_can_be_read(field: str) -> None:
    if not_modified(field, '"a"'):
        assert '"a"' in field or field.strip(" \t") == "*"


def test_what_a_304_says() -> None:
    told = {
        "Cache-Control": "max-age=5",
        "content-location": "/a",
        "Date": "Tue, 15 Nov 1994 08:12:31 GMT",
        "ETag": TAG,
        "Expires": "0",
        "VARY": "Accept-Encoding",
    }

    assert not_modified_headers(told) == told
    assert not_modified_headers({"Content-Type": "a/b", "Content-Length": "3", "Last-Modified": "x"} | told) == told
