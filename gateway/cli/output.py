"""How commands print: tables, JSON, problems."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

WIDEST = 60


def print_json(data: Any) -> None:
    """Indented, for people and for jq."""
    click.echo(json.dumps(data, indent=2, ensure_ascii=False))


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Columns under titles. The last column is as wide as it likes, the others are cut at 60 characters."""
    cells = [[_text(value) for value in row] for row in rows]
    cut = [[_cut(text) for text in row[:-1]] + row[-1:] for row in cells]
    widths = [max(map(len, column)) for column in zip(titles, *cut, strict=True)]
    click.echo(click.style(_line(titles, widths), bold=True))
    for row in cut:
        click.echo(_line(row, widths))


def _line(texts: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text.ljust(width) for text, width in zip(texts, widths, strict=True)).rstrip()


def _cut(text: str) -> str:
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _text(value: object) -> str:
    if value is None or value == "":
        return "-"
    if isinstance(value, list | tuple | set | frozenset):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def print_problem(text: str, severity: str, err: bool = False) -> None:
    """A rendered problem, its first line coloured."""
    first, line_end, rest = text.partition("\n")
    colour = "red" if severity == "error" else "yellow"
    click.echo(click.style(first, fg=colour) + line_end + rest, err=err)


def counted(number: int, what: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
