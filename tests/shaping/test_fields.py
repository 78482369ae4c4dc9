"""The client's choice of fields is read out of the query, and leaves what it names."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shaping.exact import parse, write
from gateway.shaping.fields import FieldChoice

QUERY = FieldChoice("fields")
JSON_API = FieldChoice("fields", jsonapi=True)


def chosen(choice: FieldChoice, query: str, document: bytes) -> bytes:
    choose = choice.read(query)
    assert choose is not None
    return write(choose(parse(document)))


@pytest.mark.parametrize(
    ("query", "document", "expected"),
    [
        ("fields=id,name", b'{"name":"a","price":1,"id":2}', b'{"name":"a","id":2}'),
        ("fields=price", b'{"price":9.990,"a":1}', b'{"price":9.990}'),
        ("fields=id", b'[{"id":1,"a":2},{"a":3},4,[{"id":5,"a":6}]]', b'[{"id":1},{},4,[{"id":5}]]'),
        ("fields=seller.name", b'{"seller":{"id":1,"name":"s"},"name":"n"}', b'{"seller":{"name":"s"}}'),
        ("fields=items.id,total", b'{"items":[{"id":1,"x":2}],"total":1,"y":0}', b'{"items":[{"id":1}],"total":1}'),
        ("fields=seller.name,seller", b'{"seller":{"id":1}}', b'{"seller":{"id":1}}'),
        ("fields=seller,seller.name", b'{"seller":{"id":1}}', b'{"seller":{"id":1}}'),
        ("fields=seller.name", b'{"seller":null,"a":1}', b'{"seller":null}'),
        ("fields=nothing", b'{"a":1}', b"{}"),
        ("fields=id", b'"text"', b'"text"'),
        ("a=b&fields=id&fields=name", b'{"id":1,"name":2,"x":3}', b'{"id":1,"name":2}'),
        ("fields=id,,+name%2Cx", b'{"id":1,"name":2,"x":3,"y":4}', b'{"id":1,"name":2,"x":3}'),
        ("%66ields=id", b'{"id":1,"x":3}', b'{"id":1}'),
        ("fields=%C3%A9+1", '{"é 1":1,"x":3}'.encode(), '{"é 1":1}'.encode()),
    ],
)
def test_fields_of_a_query(query: str, document: bytes, expected: bytes) -> None:
    assert chosen(QUERY, query, document) == expected


ARTICLES = b"""{"meta": {"title": 0}, "data": [
    {"type": "articles", "id": "1", "attributes": {"title": "t", "body": 1.50}, "links": {"body": 1},
    "relationships": {"author": {"data": {"type": "people", "id": "9"}}, "tags": {}}}
], "included": [{"type": "people", "id": "9", "attributes": {"name": "n", "title": "dr"}}, {"type": "x"}, {}, 1]}"""


@pytest.mark.parametrize(
    ("query", "gone"),
    [
        ("fields[articles]=title,author", [b'"body":1.50', b'"tags":{}']),
        ("fields%5Barticles%5D=body", [b'"title":"t"', b'"author":{"data":{"type":"people","id":"9"}},"tags":{}']),
        ("fields[articles]=", [b'"title":"t","body":1.50', b'"author":{"data":{"type":"people","id":"9"}},"tags":{}']),
        ("fields[people]=name&fields[articles]=title,body,author,tags", [b'"title":"dr"']),
        ("fields[people]=name&fields[people]=title", []),
        ("fields[others]=name", []),
    ],
)
def test_sparse_fieldsets(query: str, gone: list[bytes]) -> None:
    expected = write(parse(ARTICLES))
    for part in gone:
        expected = expected.replace(part, b"", 1)

    assert chosen(JSON_API, query, ARTICLES) == expected.replace(b"{,", b"{").replace(b",}", b"}")


@pytest.mark.parametrize("document", [b"[]", b"1", b'{"data":null}', b'{"data":{"type":1}}', b'{"errors":[]}'])
def test_other_documents_stay(document: bytes) -> None:
    assert chosen(JSON_API, "fields[articles]=title", document) == document


def test_one_resource() -> None:
    document = b'{"data":{"type":"a","attributes":{"x":1,"y":2},"relationships":[1]}}'

    assert chosen(JSON_API, "fields[a]=y", document) == document.replace(b'"x":1,', b"")


@pytest.mark.parametrize(
    ("choice", "query"),
    [
        (QUERY, ""),
        (QUERY, "a=b"),
        (QUERY, "fields"),
        (QUERY, "fields="),
        (QUERY, "fields=,%20,"),
        (QUERY, "fieldset=a&xfields=b&Fields=c&%ff=d"),
        (QUERY, "fields[articles]=title"),
        (JSON_API, "fields=title"),
        (JSON_API, "xfields[a]=title"),
        (JSON_API, "fields[a=title"),
        (FieldChoice("select"), "fields=a"),
    ],
)
def test_nothing_is_chosen(choice: FieldChoice, query: str) -> None:
    assert choice.read(query) is None


@pytest.mark.parametrize(
    ("choice", "query", "message"),
    [
        (QUERY, "fields=a..b", "'a..b' is not a field: write names with dots between them"),
        (QUERY, "fields=a,.b", "'.b' is not a field"),
        (QUERY, "fields=a.", "'a.' is not a field"),
        (JSON_API, "fields[]=a", r"'fields\[\]' names no type"),
        (JSON_API, "fields[a][b]=c", "names no type"),
    ],
)
def test_what_is_no_choice(choice: FieldChoice, query: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        choice.read(query)


@pytest.mark.parametrize(
    ("choice", "target", "expected"),
    [
        (QUERY, "/x?fields=a", "/x"),
        (QUERY, "/x?a=%20b&fields=a,b&&c", "/x?a=%20b&&c"),
        (QUERY, "/x?%66ields=a&d=1", "/x?d=1"),
        (QUERY, "/fields=a", "/fields=a"),
        (QUERY, "/x?", "/x?"),
        (QUERY, "/x?&", "/x?&"),
        (QUERY, "/x?fields[a]=b", "/x?fields[a]=b"),
        (QUERY, "/x?a=b?fields=c", "/x?a=b?fields=c"),
        (JSON_API, "/x?fields=b&fields%5Ba%5D=b&fields[c]=d", "/x?fields=b"),
    ],
)
def test_the_upstream_is_not_told(choice: FieldChoice, target: str, expected: str) -> None:
    assert choice.strip(target) == expected


@given(
    st.recursive(
        st.integers(0, 3),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    ),
    st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(".".join), min_size=1, max_size=3),
)
def test_a_choice_is_made_once(value: Any, paths: list[str]) -> None:
    choose = QUERY.read(f"fields={','.join(paths)}")
    assert choose is not None
    once = choose(value)

    assert choose(once) == once
    if isinstance(value, dict):
        assert set(once) == {path.partition(".")[0] for path in paths} & set(value)
