"""Tables, JSON and problems on a terminal."""

import json

import click
from click.testing import CliRunner

from gateway.cli.output import counted, print_json, print_problem, print_table


@click.command()
def show() -> None:
    print_table(("NAME", "VALUE"), [("a", None), ("b" * 70, ["x", "y"]), ("c", 0.123456), ("d", "z" * 99), ("e", [])])
    print_problem("first\nsecond", "error")
    print_json({"ä": [1]})


def test_everything() -> None:
    output = CliRunner().invoke(show).output
    lines = output.splitlines()
    assert lines[:2] == ["NAME" + " " * 58 + "VALUE", "a" + " " * 61 + "-"]
    assert lines[2] == "b" * 59 + "…  x, y"
    assert [line.split()[-1] for line in lines[3:6]] == ["0.1235", "z" * 99, "-"]
    assert lines[6:8] == ["first", "second"]
    assert json.loads("\n".join(lines[8:])) == {"ä": [1]}


def test_colours_only_the_first_line() -> None:
    assert "\x1b[31mfirst\x1b[0m\nsecond" in CliRunner().invoke(show, color=True).output


def test_numbers() -> None:
    assert [counted(number, "error") for number in (0, 1, 2)] == ["0 errors", "1 error", "2 errors"]
