"""YAML is read as YAML 1.2, every node knows its place, and what is refused is refused at the right one."""

from typing import Any

import pytest

from gateway.config import document
from gateway.config.document import MAX_DEPTH, parse


def plain(text: str) -> Any:
    parsed = parse("f.yaml", text.encode())
    assert parsed.problems == []
    assert parsed.root is not None
    return parsed.root.plain()


def problems(text: str | bytes) -> list[str]:
    data = text if isinstance(text, bytes) else text.encode()
    return [str(problem) for problem in parse("f.yaml", data).problems]


def test_a_document_becomes_plain_data() -> None:
    text = 'a: {b: [1, "2", on], c: null}\n"quoted key": |\n  two\n  lines\n'
    assert plain(text) == {"a": {"b": [1, "2", "on"], "c": None}, "quoted key": "two\nlines\n"}


def test_every_key_and_value_has_a_line_and_a_column() -> None:
    root = parse("f.yaml", b"routes:\n  - name: x\n    match: {path: /a}\n  - name: y\n").root
    assert root is not None
    match = root.nearest(("routes", 0, "match"))
    assert match.position == ("f.yaml", 3, 12)
    assert root.nearest(("routes", 0)).key_position("match") == ("f.yaml", 3, 5)
    assert match.nearest(("path",)).position == ("f.yaml", 3, 19)
    assert match.key_position("path") == ("f.yaml", 3, 13)
    assert root.nearest(("routes", 1, "name")).position == ("f.yaml", 4, 11)


def test_columns_count_characters_and_lines_count_as_yaml_does() -> None:
    root = parse("f.yaml", "\ufeffä: {é: x}\r\nb: 1\u2028c: 2\n".encode()).root
    assert root is not None
    assert root.nearest(("ä", "é")).position == ("f.yaml", 1, 8)
    assert root.key_position("c") == ("f.yaml", 3, 1)


@pytest.mark.parametrize(
    ("text", "problem"),
    (
        ("", "f.yaml:1:1: the file is empty"),
        ("# only a comment\n", "f.yaml:1:1: the file is empty"),
        ("---\n", "f.yaml:1:1: the file is empty"),
        ("- a\n", "f.yaml:1:1: the top level should be a mapping (key: value)"),
        ("just text", "f.yaml:1:1: the top level should be a mapping (key: value)"),
        ("a: 1\nb: 2\na: 3\n", "f.yaml:3:1: duplicate key 'a'; it is already on line 1"),
        ("1: x\n", "f.yaml:1:1: a key must be text, and '1' is not; write \"1\""),
        ("a:\n  true: x\n", "f.yaml:2:3: a key must be text, and 'true' is not; write \"true\""),
        ("? [a]\n: x\n", "f.yaml:1:3: a key must be text"),
        ("a: !env X\n", "f.yaml:1:4: unknown tag '!env'; tags are not used here"),
        ("a: !!set {}\n", "f.yaml:1:4: unknown tag '!!set'; tags are not used here"),
        ("a: !!int x\n", "f.yaml:1:4: 'x' does not fit its tag '!!int'"),
        ("a: {<<: {b: 1}}\n", "f.yaml:1:5: merge keys (<<) are not part of YAML 1.2; write the keys out"),
        ("a: &x [1, *x]\n", "f.yaml:1:11: the alias '*x' contains itself"),
        ("alpha: &alpha 1\nb: *alpa\n", "f.yaml:2:4: unknown alias '*alpa'; did you mean 'alpha'?"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2:1: only one YAML document is allowed in a file"),
        ("a:\n\t- x\n", "f.yaml:2:1: a tab cannot indent YAML; use spaces"),
        ("a: @x\n", "f.yaml:1:4: a value cannot begin with '@'; put it in quotes"),
        ('a: "x\n', "f.yaml:1:4: the quote is never closed"),
        ("a: [1,\n\n", "f.yaml:1:7: the file ends too early; close what is open: [ ] or { }"),
        ("a: {b: 1", "f.yaml:1:9: the file ends too early; close what is open: [ ] or { }"),
        ("a: \0\n", "f.yaml:1:4: the character U+0000 is not allowed in YAML"),
        (b"a: 1\nb: \xff\n", "f.yaml:2:4: the file is not UTF-8"),
        (b"\xff\xfea\0", "f.yaml:1:1: the file is not UTF-8"),
    ),
)
def test_what_is_refused_says_where_and_why(text: str | bytes, problem: str) -> None:
    assert problems(text) == [problem]


def test_a_brace_in_a_flow_value_is_told_to_be_quoted() -> None:
    (problem,) = problems("admin: {token: ${TOKEN}}\n")
    assert problem.startswith("f.yaml:1:17: not YAML")
    assert "needs quotes" in problem


def test_a_second_colon_is_told_to_be_quoted() -> None:
    assert problems("a: b: c\n") == [
        "f.yaml:1:5: a second ': ' in one value; put the value in quotes, or check the indentation"
    ]


def test_mistakes_are_collected_up_to_the_one_that_ends_the_reading() -> None:
    found = problems("a: 1\na: 2\n1: x\nb: !foo y\nc: [\n")
    assert [problem.split(": ")[0] for problem in found[:3]] == ["f.yaml:2:1", "f.yaml:3:1", "f.yaml:4:4"]
    assert found[3].startswith("f.yaml:5:5: the file ends too early")
    assert len(found) == 4


def test_a_refused_key_takes_its_value_with_it() -> None:
    root = parse("f.yaml", b"? {x: 1}\n: {y: 2}\na: 1\na: {z: 3}\nb: 2\n").root
    assert root is not None
    assert root.plain() == {"a": 1, "b": 2}


def test_aliases_are_allowed_and_have_a_place_of_their_own() -> None:
    root = parse("f.yaml", b"a: &a {x: 1}\nb: *a\nc: {d: *a}\n").root
    assert root is not None
    assert root.plain() == {"a": {"x": 1}, "b": {"x": 1}, "c": {"d": {"x": 1}}}
    assert root.key_position("b") == ("f.yaml", 2, 1)
    assert root.nearest(("b",)).position == ("f.yaml", 2, 4)


def test_an_alias_bomb_is_refused_before_it_goes_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 20)]
    (problem,) = problems("\n".join(lines))
    assert "aliases stand for more than 10000 values" in problem


def test_a_chain_of_aliases_is_bounded_too() -> None:
    lines = ["a0: &a0 [x]"] + [f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 5000)]
    (problem,) = problems("\n".join(lines))
    assert "aliases stand for more" in problem


def test_depth_is_bounded() -> None:
    (problem,) = problems("a: " + "[" * 500 + "]" * 500)
    assert f"nested more than {MAX_DEPTH} levels deep" in problem


@pytest.mark.parametrize(
    "text",
    (
        "a: {b: [1, 'x', on]}\nc: |\n  text\nd: &x {y: ~}\ne: *x\n",
        "a: 1\na: 2\n1: x\nb: !foo y\n",
        "a:\n\t- x\n",
        "a: &x [1, *x]\n",
    ),
)
def test_without_libyaml_everything_is_the_same(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fast = parse("f.yaml", text.encode())
    monkeypatch.setattr(document, "_Parser", document._PureParser)
    pure = parse("f.yaml", text.encode())
    assert pure.problems == fast.problems
    assert (pure.root and pure.root.plain()) == (fast.root and fast.root.plain())
    if fast.root and pure.root:
        places = [sorted(node.position for node in root.scalars()) for root in (fast.root, pure.root)]
        assert places[0] == places[1]


def test_scalars_that_hold_a_substitution_are_listed() -> None:
    parsed = parse("f.yaml", b"a: x${A}\nb: &b '${B}'\nc: *b\nd: $D\n")
    assert [node.position.line for node in parsed.substitutable] == [1, 2, 3]


@pytest.mark.parametrize("at", [0, 3, 4, 5, 11])
def test_what_is_not_printable_is_found_in_every_piece(monkeypatch: pytest.MonkeyPatch, at: int) -> None:
    monkeypatch.setattr(document, "_SEARCHED", 4)
    text = "x" * at + "\x01" + "x" * 7
    (problem,) = parse("f.yaml", text.encode()).problems
    assert (problem.position.column, problem.message) == (at + 1, "the character U+0001 is not allowed in YAML")
    assert parse("f.yaml", b"a: bcdefghij").problems == []
