"""What is wrong, where, and what to write instead: Problem, its text with a caret, its JSON, and "did you mean"."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from gateway.units import MASK

Severity = Literal["error", "warning"]

_LONGEST_LINE = 160
_LEFT_OF_CARET = 80

# A file that is too broken for its secrets to be known by type still must not show them. The text after such a key
# is cut, unless it is a substitution.
_SECRET_KEY = re.compile(
    r"""(?i)(token|secret|password|passwd|passphrase|api[_-]?key|private[_-]?key|credentials?)["']?\s*:\s*(?=[^\s$,}\]])"""
)


class Position(NamedTuple):
    """A place in a file. Line and column count from 1, the column in characters."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake. `message` says what is wrong, `hint` what to write; a warning alone refuses nothing."""

    position: Position
    message: str
    hint: str = ""
    severity: Severity = "error"

    def __str__(self) -> str:
        warning = "warning: " if self.severity == "warning" else ""
        hint = f"; {self.hint}" if self.hint else ""
        # One line, whatever text of the file it repeats.
        return f"{self.position}: {warning}{self.message}{hint}".replace("\r", "\\r").replace("\n", "\\n")


def render(problem: Problem, source_lines: Sequence[str]) -> str:
    """`file:line:col: message; hint`, then the line of the file and a caret under the column.

    The line is left out where the file has none, the caret where its place was cut away with a secret.
    """
    _, line, column = problem.position
    if not 1 <= line <= len(source_lines):
        return str(problem)
    shown = _without_secret(source_lines[line - 1].expandtabs(1))
    at = column - 1
    if len(shown) > _LONGEST_LINE:
        start = max(0, at - _LEFT_OF_CARET)
        shown, at = shown[start : start + _LONGEST_LINE], at - start
    gutter = f"{line:>6} | "
    text = f"{problem}\n{gutter}{shown}".rstrip()
    return f"{text}\n{' ' * (len(gutter) - 2)}| {' ' * at}^" if at <= len(shown) else text


def to_json(problem: Problem) -> dict[str, Any]:
    """The problem as plain data: file, line, column, severity, message, and hint where there is one."""
    file, line, column = problem.position
    data = {
        "file": file,
        "line": line,
        "column": column,
        "severity": problem.severity,
        "message": problem.message,
    }
    return data | {"hint": problem.hint} if problem.hint else data


def closest(name: object, allowed: Iterable[str]) -> str:
    """The hint "did you mean 'x'?" with the likeliest of `allowed`, or "" when none is near."""
    # Case is the most usual slip and difflib counts it as a difference, so both sides are compared in lower case.
    known = {candidate.lower(): candidate for candidate in allowed}
    near = difflib.get_close_matches(str(name).lower(), known, n=1, cutoff=0.6)
    return f"did you mean {known[near[0]]!r}?" if near else ""


def _without_secret(line: str) -> str:
    found = _SECRET_KEY.search(line)
    return line[: found.end()] + MASK if found else line
