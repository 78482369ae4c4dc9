"""The command itself: its help, its version, its colours."""

import importlib
import subprocess
import sys
from pathlib import Path

import click
import pytest

from gateway import __version__
from gateway.cli.main import COMMANDS
from tests.support.commands import command, config

ROOT = Path(__file__).parents[2]


def test_help_lists_every_command() -> None:
    result = command("--help")
    assert result.exit_code == 0
    for name, what in COMMANDS.items():
        assert name in result.output
        assert what.split()[0] in result.output
    assert command("-h").output == result.output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str) -> None:
    assert isinstance(importlib.import_module(f"gateway.cli.{name}").command, click.Command)
    result = command(name, "--help")
    assert result.exit_code == 0
    assert len(result.output.splitlines()) > 3


def test_version() -> None:
    assert command("--version").output == f"gateway {__version__}\n"


def test_what_is_no_command() -> None:
    result = command("rn")
    assert result.exit_code == 2
    assert "No such command 'rn'" in result.output


def test_help_imports_nothing_heavy() -> None:
    lines = [
        "import atexit, sys",
        "atexit.register(lambda: print('imported', *sys.modules))",
        "sys.argv[1:] = ['--help']",
    ]
    code = "\n".join([*lines, "from gateway.cli.main import main", "main()"])
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    imported = {name.partition(".")[0] for name in said.rpartition("imported ")[2].split()}
    assert "click" in imported
    assert imported.isdisjoint({"aiohttp", "asyncio", "jinja2", "orjson", "pydantic", "uvloop", "yaml"})


def test_as_a_module() -> None:
    found = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert found.stdout == f"gateway {__version__}\n"


def test_no_color(tmp_path: Path) -> None:
    path = config(tmp_path, "version: 1\n")
    assert "\x1b[" in command("check", "-c", path, color=True).output
    assert "\x1b[" not in command("check", "-c", path, color=True, env={"NO_COLOR": "1"}).output
    assert "\x1b[" in command("check", "-c", path, color=True, env={"NO_COLOR": ""}).output
    assert "\x1b[" not in command("check", "-c", path).output
