"""What is compiled gives what the library's interpreter gives."""

from __future__ import annotations

from typing import Any

import jmespath
import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shaping.exact import parse, write
from gateway.shaping.pick import compile_pick

NAMES = ["a", "b", "c", '"a b"']
LIST = '`[1, true, {"a": 0}]`'
ATOMS = st.sampled_from(
    [*NAMES, "@", "*", "[]", "`0`", "`1`", "`2.5`", "`null`", "`true`", "`false`", '`""`', "`[]`", "`{}`", "'b'", LIST]
)
COMPARATORS = ["==", "!=", "<", "<=", ">", ">="]
ONE = ["abs", "avg", "ceil", "floor", "keys", "values", "length", "max", "min", "reverse", "sort", "sum", "type"]
ONE += ["to_array", "to_number", "to_string", "not_null", "merge"]
SUFFIXES = [".a", ".b", "[0]", "[-1]", "[1]", "[:2]", "[::-1]", "[1:]", "[*]", "[]", ".*", ".{x: a, y: @}", ".[a, @]"]
SUFFIXES += ["[*].a", "[].b", "[*].{x: a, y: b.c}", ".*.a", "[?a]", "[:2].a[0]", ".a.b.c"]


def composed(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    fixed = st.sampled_from
    return st.one_of(
        st.builds("({}){}".format, inner, fixed(SUFFIXES)),
        st.builds("a{}".format, fixed(SUFFIXES)),
        st.builds("({}) {} ({})".format, inner, fixed([*COMPARATORS, "||", "&&", "|"]), inner),
        st.builds("!({})".format, inner),
        st.builds("{{x: {}, {}: {}, y: {}}}".format, inner, fixed(NAMES), inner, inner),
        st.builds("[{}, {}]".format, inner, inner),
        st.builds("({})[?{}].{}".format, inner, inner, fixed(["a", "*", "[a]", "b.c"])),
        st.builds("({})[?{}]".format, inner, inner),
        st.builds("{}({})".format, fixed(ONE), inner),
        st.builds("{}({}, &{})".format, fixed(["sort_by", "max_by", "min_by"]), inner, inner),
        st.builds("map(&{}, {})".format, inner, inner),
        st.builds("{}({}, {})".format, fixed(["contains", "merge", "not_null", "join", "starts_with"]), inner, inner),
    )


EXPRESSIONS = st.recursive(ATOMS, composed, max_leaves=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from([0.0, 0.5, 1.0, 2.5, "", "a", "b", "12"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c", "a b"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(max_examples=200)
@given(EXPRESSIONS, VALUES)
def test_compiled_and_interpreted_agree(expression: str, value: Any) -> None:
    pick = compile_pick(expression)
    before = orjson.dumps(value)
    try:
        expected = jmespath.search(expression, value)
    except (ValueError, TypeError, ArithmeticError):
        with pytest.raises(ValueError, match="takes|fit"):
            pick(value)
        return

    assert write(pick(value)) == write(expected)
    assert pick(parse(before.replace(b".5", b".500").replace(b".0", b".00"))) == expected
    assert orjson.dumps(value) == before, "a pick changes nothing"


@pytest.mark.parametrize(
    ("expression", "value", "expected"),
    [
        ("a.b", {"a": {"b": 1}}, 1),
        ("a.b", {"a": [1]}, None),
        ("a", "text", None),
        ("[0]", {"0": 1}, None),
        ("[-3]", [1, 2], None),
        ("[5:]", "text", None),
        ("*.a", [{"a": 1}], None),
        ("{x: a}", None, None),
        ("{x: a}", [1], {"x": None}),
        ("[a]", None, None),
        ("[?@ > `1`]", [1, 2, None, True, {}], [2]),
        ("[?@ == `1`]", [1, True, 1.0], [1, 1.0]),
        ("[?@ == `true`]", [1, True], [True]),
        ("[?@]", [0, "", [], {}, None, False, 1], [0, 1]),
        ("!@", 0, False),
        ("@ || 'x'", 0, 0),
        ("@ && 'x'", "", ""),
        ("@ && 'x'", 0, "x"),
        ("[]", [[1, [2]], 3, None], [1, [2], 3]),
        ("[*]", [1, None, 2], [1, 2]),
    ],
)
def test_nodes(expression: str, value: Any, expected: Any) -> None:
    assert write(compile_pick(expression)(value)) == write(expected) == write(jmespath.search(expression, value))


def test_results_are_made_anew() -> None:
    pick = compile_pick("{x: a, all: [a, b]}")

    assert pick({"a": 1}) is not pick({"a": 1})
