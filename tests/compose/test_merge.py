"""Several values become one document: in the order of the file, exactly as they were."""

from __future__ import annotations

import itertools
import json
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.compose.merge import Contribution, merged
from gateway.compose.plan import Merge
from gateway.shaping.exact import parse

EXACT = b'{"z":9.990,"a":123456789012345678901234567890,"m":1E5,"b":-0,"n":[1.0,{"y":0.10,"x":null}]}'


def told(contributions: list[Contribution], merge: Merge) -> tuple[str, list[str]]:
    """The document, and the collisions in any order."""
    collided: list[str] = []
    return merged(contributions, merge, collided.append).decode(), sorted(collided)


@pytest.mark.parametrize(
    ("merge", "contributions", "document", "collided"),
    [
        ("namespaced", [], "{}", []),
        ("namespaced", [("b", 1), ("a", None)], '{"b":1,"a":null}', []),
        ("namespaced", [("b", {"x": 1}), ("errors", [])], '{"b":{"x":1},"errors":[]}', []),
        ("shallow", [(None, {"b": 1, "a": 2}), (None, {"c": 3})], '{"b":1,"a":2,"c":3}', []),
        ("shallow", [(None, {"b": 1, "a": 2}), (None, {"b": 3})], '{"b":3,"a":2}', ["b"]),
        ("shallow", [(None, {"b": {"x": 1}}), ("b", {"y": 2})], '{"b":{"y":2}}', ["b"]),
        ("deep", [(None, {"b": {"x": 1}}), ("b", {"y": 2})], '{"b":{"x":1,"y":2}}', []),
        ("deep", [("b", {"x": {"k": 1, "l": 2}}), ("b", {"x": {"k": 3}})], '{"b":{"x":{"k":3,"l":2}}}', ["b.x.k"]),
        ("deep", [("b", {"x": 1}), ("b", [1])], '{"b":[1]}', ["b"]),
        ("deep", [("b", [1]), ("b", {"x": 1})], '{"b":{"x":1}}', ["b"]),
        ("deep", [(None, {"a": [1]}), (None, {"a": [2]})], '{"a":[2]}', ["a"]),
        ("deep", [(None, {"a": {"b": None}}), (None, {"a": {"b": {"c": 1}}})], '{"a":{"b":{"c":1}}}', ["a.b"]),
    ],
)
def test_documents(merge: Merge, contributions: list[Contribution], document: str, collided: list[str]) -> None:
    assert told(contributions, merge) == (document, collided)


@pytest.mark.parametrize("merge", ["namespaced", "shallow", "deep"])
def test_numbers_and_the_order_of_keys_survive(merge: Merge) -> None:
    value = parse(EXACT)
    inner = EXACT.decode()
    assert told([("k", value), ("raw", orjson.Fragment(EXACT))], merge)[0] == f'{{"k":{inner},"raw":{inner}}}'
    if merge != "namespaced":
        assert told([(None, value)], merge)[0] == inner


def test_what_a_part_gave_is_left_as_it_was() -> None:
    first, second = {"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}}
    assert told([(None, first), (None, second), (None, {"a": {"b": {"e": 3}}})], "deep")[0] == (
        '{"a":{"b":{"c":1,"d":2,"e":3}}}'
    )
    assert (first, second) == ({"a": {"b": {"c": 1}}}, {"a": {"b": {"d": 2}}})


KEYS = st.text("abc", min_size=1, max_size=2)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(1 << 70), 1 << 70) | st.text("abc", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(KEYS, JSON, max_size=4)


def by_hand(documents: list[dict[str, Any]], deep: bool) -> dict[str, Any]:
    """The same, said as simply as can be."""
    joined: dict[str, Any] = {}
    for document in documents:
        for key, value in document.items():
            known = joined.get(key)
            both = deep and isinstance(known, dict) and isinstance(value, dict)
            joined[key] = by_hand([known, value], deep) if both else value  # type: ignore[list-item]
    return joined


@settings(max_examples=30)
@given(st.lists(OBJECTS, max_size=4), st.sampled_from(["shallow", "deep"]))
def test_the_last_one_wins(documents: list[dict[str, Any]], merge: Merge) -> None:
    document, collided = told([(None, one) for one in documents], merge)
    assert list(json.loads(document).items()) == list(by_hand(documents, merge == "deep").items())
    if len(documents) < 2:
        assert not collided


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), JSON), max_size=6, unique_by=lambda pair: pair[0]))
def test_each_under_its_key(parts: list[tuple[str, Any]]) -> None:
    document, collided = told(list(parts), "namespaced")
    assert list(json.loads(document).items()) == parts
    assert collided == []


@settings(max_examples=30)
@given(st.lists(OBJECTS, min_size=2, max_size=3))
def test_a_collision_is_told_where_something_is_lost(documents: list[dict[str, Any]]) -> None:
    _, collided = told([(None, one) for one in documents], "shallow")
    seen = [key for one in documents for key in one]
    assert set(collided) == {key for key in seen if seen.count(key) > 1}
    for one, other in itertools.pairwise(documents):
        if not one.keys() & other.keys():
            assert told([(None, one), (None, other)], "deep")[1] == []
