"""Every form of `${...}`, after parsing, with mistakes at the scalar's place."""

from pathlib import Path

import pytest

from gateway.config.document import parse
from gateway.config.nodes import Node
from gateway.config.substitute import Substitution

ENVIRON = {"HOST": "db", "EMPTY": "", "TRICKY": "a: [1, 2]\nb: ${HOST}"}


def substituted(text: str, folder: Path = Path()) -> tuple[Node, Substitution]:
    parsed = parse("f.yaml", f"a: '{text}'\n".encode())
    assert parsed.root is not None
    substitution = Substitution(ENVIRON, folder)
    for node in parsed.substitutable:
        substitution.apply(node)
    return parsed.root.nearest(("a",)), substitution


@pytest.mark.parametrize(
    ("text", "value"),
    (
        ("${HOST}", "db"),
        ("${env:HOST}", "db"),
        ("http://${HOST}:${PORT:-80}/", "http://db:80/"),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-}", ""),
        ("${env:NONE:-a:-b}", "a:-b"),
        ("${HOST:?no host}", "db"),
        ("$${HOST}", "${HOST}"),
        ("$${HOST} ${HOST}", "${HOST} db"),
        ("$HOST costs $5", "$HOST costs $5"),
        ("${TRICKY}", "a: [1, 2]\nb: ${HOST}"),
    ),
)
def test_a_scalar_is_filled_in(text: str, value: str) -> None:
    node, substitution = substituted(text)
    assert substitution.problems == []
    assert node.value == value


@pytest.mark.parametrize(
    ("text", "message"),
    (
        ("${HOTS}", "f.yaml:1:4: the variable HOTS is not set; did you mean 'HOST'?"),
        ("${NONE}", "f.yaml:1:4: the variable NONE is not set; set it, or write ${NONE:-default}"),
        ("${NONE:?set NONE to the database}", "f.yaml:1:4: NONE: set NONE to the database"),
        ("${EMPTY:?}", "f.yaml:1:4: the variable EMPTY is not set"),
        ("${1X}", "'${1X}' is not a substitution"),
        ("${}", "'${}' is not a substitution"),
        ("${HOST", "'${' without its '}'"),
        ("${A:-${B}}", "substitutions do not nest"),
        ("${file:/does/not/exist}", "cannot read '/does/not/exist': no such file or directory"),
    ),
)
def test_what_cannot_be_filled_in_is_an_error(text: str, message: str) -> None:
    _, substitution = substituted(text)
    (problem,) = substitution.problems
    assert message in str(problem)
    assert problem.position == ("f.yaml", 1, 4)


def test_only_a_real_substitution_marks_the_node() -> None:
    assert substituted("${HOST}")[0].substituted
    assert not substituted("$${HOST}")[0].substituted


def test_a_file_loses_its_last_line_end_and_is_a_secret(tmp_path: Path) -> None:
    (tmp_path / "token").write_bytes(b"hunter2\r\n")
    node, substitution = substituted("Bearer ${file:token}", tmp_path)
    assert node.value == "Bearer hunter2"
    assert substitution.secrets == {"hunter2"}
    assert substituted(f"${{file:{tmp_path}/token}}")[0].value == "hunter2"


@pytest.mark.parametrize(
    ("data", "message"), ((b"\xff", "is not UTF-8"), (b"x" * (1 << 20) + b"x", "is larger than 1MiB"))
)
def test_a_file_that_is_no_secret_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "blob").write_bytes(data)
    (problem,) = substituted("${file:blob}", tmp_path)[1].problems
    assert message in problem.message


def test_a_folder_is_refused(tmp_path: Path) -> None:
    (problem,) = substituted("${file:.}", tmp_path)[1].problems
    assert "is a directory" in problem.message
