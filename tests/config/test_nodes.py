"""Nodes are walked by paths, and a source forgets the text of a hidden node."""

import re

from hypothesis import given
from hypothesis import strategies as st

from gateway.config.document import parse
from gateway.config.nodes import Node, split_lines


def tree(text: str) -> Node:
    root = parse("f.yaml", text.encode()).root
    assert root is not None
    return root


def test_the_nearest_node_is_the_last_one_that_exists() -> None:
    root = tree("a: {b: [1]}\n")
    assert root.nearest(("a", "b", 0)).value == 1
    assert root.nearest(("a", "b", 7, "x")) is root.nearest(("a", "b"))
    assert root.nearest(("z",)) is root


def test_a_child_is_found_by_key_or_index_only() -> None:
    root = tree("a: [x]\n")
    a = root.child("a")
    assert a is not None
    assert (a.child("0"), a.child(1), a.child(-1), root.child(0)) == (None, None, None, None)


def test_the_place_of_a_key_that_is_not_there_is_the_mapping() -> None:
    assert tree("a:\n  b: 1\n").nearest(("a",)).key_position("c") == ("f.yaml", 2, 3)


def test_hiding_cuts_the_line_from_the_value_on() -> None:
    root = tree("a: {token: hunter2, x: 1}\nb: 2\n")
    secret = root.nearest(("a", "token"))
    secret.source.hide(secret)
    assert secret.source.lines == ["a: {token: ***", "b: 2", ""]


def test_hiding_a_block_hides_all_of_its_lines_and_no_more() -> None:
    root = tree("key: |\n  one\n  two\nb: 2\n")
    secret = root.nearest(("key",))
    secret.source.hide(secret)
    assert secret.source.lines == ["key: ***", "***", "***", "b: 2", ""]


def test_hiding_the_last_block_of_a_file() -> None:
    root = tree("key: |\n  one\n  two")
    secret = root.nearest(("key",))
    secret.source.hide(secret)
    assert secret.source.lines == ["key: ***", "***", "***"]


@given(st.text(st.sampled_from("ab\n\r\x85\u2028\u2029 ")))
def test_lines_are_those_of_yaml_whichever_way_they_are_found(text: str) -> None:
    assert split_lines(text) == re.split("\r\n|[\r\n\x85\u2028\u2029]", text)
