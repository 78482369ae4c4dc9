"""A problem is one line, its place shown with a caret, and it never shows a secret."""

import pytest

from gateway.config.problems import Position, Problem, closest, render, to_json

AT = Position("routes.yaml", 2, 5)


def test_a_problem_is_file_line_column_message_hint() -> None:
    problem = Problem(AT, "unknown key 'too'", "did you mean 'to'?")
    assert str(problem) == "routes.yaml:2:5: unknown key 'too'; did you mean 'to'?"
    assert str(Problem(AT, "x", severity="warning")) == "routes.yaml:2:5: warning: x"


def test_rendering_puts_a_caret_under_the_column() -> None:
    assert render(Problem(AT, "wrong"), ["a:", "  - too: x"]).splitlines() == [
        "routes.yaml:2:5: wrong",
        "     2 |   - too: x",
        "       |     ^",
    ]


def test_a_tab_takes_one_column() -> None:
    line, caret = render(Problem(AT, "wrong"), ["", "\ta: x"]).splitlines()[1:]
    assert line[caret.index("^")] == "x"


def test_a_long_line_is_cut_around_the_column() -> None:
    source = "x" * 5000 + "!" + "y" * 5000
    line, caret = render(Problem(Position("f", 1, 5001), "wrong"), [source]).splitlines()[1:]
    assert len(line) < 200
    assert line[caret.index("^")] == "!"


def test_without_the_line_there_is_the_message_alone() -> None:
    assert render(Problem(AT, "wrong"), []) == "routes.yaml:2:5: wrong"


@pytest.mark.parametrize(
    "line",
    (
        "admin: {token: hunter2}",
        "  client_secret: hunter2",
        'PASSWORD: "hunter2"',
        '{"api_key": "hunter2"}',
        "a: [{token:  hunter2",
    ),
)
def test_the_line_of_a_broken_file_shows_no_secret(line: str) -> None:
    shown = render(Problem(Position("f", 1, 1), "wrong"), [line])
    assert "hunter2" not in shown
    assert "***" in shown


def test_what_only_names_a_secret_is_shown() -> None:
    for line in ("token: ${ADMIN_TOKEN}", "token_ttl: 5x", "tokens: [a]"):
        assert line in render(Problem(Position("f", 1, 1), "wrong"), [line])


def test_json_has_the_same() -> None:
    assert to_json(Problem(AT, "wrong", "write x", "warning")) == {
        "file": "routes.yaml",
        "line": 2,
        "column": 5,
        "severity": "warning",
        "message": "wrong",
        "hint": "write x",
    }
    assert "hint" not in to_json(Problem(AT, "wrong"))


def test_did_you_mean() -> None:
    assert closest("upstrem", ("upstream", "weight")) == "did you mean 'upstream'?"
    assert closest("GET", ("get",)) == "did you mean 'get'?"
    assert closest("banana", ("upstream", "weight")) == ""
