"""Fields are renamed and removed where their paths say, in objects and in lists of them, and nowhere else."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ConfigError
from gateway.shaping.edit import compile_edit
from gateway.shaping.exact import parse, write

NAMES = st.sampled_from("abc")
VALUES = st.recursive(
    st.none() | st.integers(0, 9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=12,
)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map(".".join)


@pytest.mark.parametrize(
    ("rename", "remove", "before", "after"),
    [
        ({}, ["secret"], b'{"id":1,"secret":2,"price":9.990}', b'{"id":1,"price":9.990}'),
        ({}, ["a.b"], b'{"b":1,"a":{"b":2,"c":3}}', b'{"b":1,"a":{"c":3}}'),
        ({}, ["items.internal_id"], b'{"items":[{"internal_id":1,"n":2},5,{"n":3}]}', b'{"items":[{"n":2},5,{"n":3}]}'),
        ({}, ["id"], b'[{"id":1},[{"id":2,"n":1}]]', b'[{},[{"n":1}]]'),
        ({}, ["a", "a.b"], b'{"a":{"b":1}}', b"{}"),
        ({}, ["a.b.c"], b'{"a":{"b":1}}', b'{"a":{"b":1}}'),
        ({}, ["a"], b'"text"', b'"text"'),
        ({"seller_id": "seller"}, [], b'{"id":1,"seller_id":2,"x":3}', b'{"id":1,"seller":2,"x":3}'),
        ({"items.sku": "id"}, [], b'{"sku":0,"items":[{"sku":1E5}]}', b'{"sku":0,"items":[{"id":1E5}]}'),
        ({"a": "b", "b": "a"}, [], b'{"a":1,"b":2}', b'{"b":1,"a":2}'),
        ({"a": "b"}, [], b'{"b":0,"a":1}', b'{"b":1}'),
        ({"a": "b"}, [], b'{"a":1,"b":0}', b'{"b":1}'),
        ({"a": "b"}, [], b'{"b":0}', b'{"b":0}'),
        ({"a": "b"}, ["b"], b'{"b":0,"a":1}', b'{"b":1}'),
        ({"a": "x", "a.b": "y"}, ["a.c"], b'{"a":{"b":1,"c":2,"d":3}}', b'{"x":{"y":1,"d":3}}'),
    ],
)
def test_edits(rename: dict[str, str], remove: list[str], before: bytes, after: bytes) -> None:
    assert write(compile_edit(rename, remove)(parse(before))) == after


@given(VALUES, st.lists(PATHS, max_size=3), st.dictionaries(PATHS, st.sampled_from("xyz"), max_size=2))
def test_the_value_itself_is_not_changed(value: Any, remove: list[str], rename: dict[str, str]) -> None:
    before = copy.deepcopy(value)
    try:
        edit = compile_edit(rename, remove)
    except ConfigError:
        return

    edit(value)

    assert orjson.dumps(value) == orjson.dumps(before)


@given(VALUES, PATHS)
def test_what_is_removed_is_nowhere(value: Any, path: str) -> None:
    def found(value: Any, names: list[str]) -> bool:
        if not names:
            return True
        if isinstance(value, list):
            return any(found(item, names) for item in value)
        return isinstance(value, dict) and names[0] in value and found(value[names[0]], names[1:])

    names = path.split(".")
    edited = compile_edit({}, [path])(value)

    assert not found(edited, names)
    if not found(value, names):
        assert edited == value


@pytest.mark.parametrize(
    ("rename", "remove", "message"),
    [
        ({}, [""], "'' is not a path"),
        ({}, ["a..b"], "'a..b' is not a path: write names with dots between them"),
        ({"a.": "b"}, [], "'a.' is not a path"),
        ({"a": "b.c"}, [], "'a' gets a new name and not a path: 'b.c' will not do"),
        ({"a": ""}, [], "'a' gets a new name"),
        ({"a": "b"}, ["a"], "'a' is both renamed and removed"),
        ({"a": "c", "b": "c"}, [], "'a' and 'b' would both be 'c'"),
        ({"x.a": "c", "x.b": "c"}, [], "would both be 'c'"),
        ({"a": "b", "b.c": "d"}, [], "would both be 'b'"),
    ],
)
def test_contradictions(rename: dict[str, str], remove: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compile_edit(rename, remove)
