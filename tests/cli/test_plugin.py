"""`gateway plugin new`: a plugin that loads and a test that passes, and nothing that overwrites or shadows."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import command, config

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("mode", ["prepend", "importlib"])
def test_what_it_writes_passes_at_once(tmp_path: Path, mode: str) -> None:
    path = config(tmp_path, "version: 1\nplugins: [{stamp_version: {value: two}}]\nroutes: [{name: a, respond: {}}]\n")
    result = command("plugin", "new", "stamp_version", "-c", path)
    assert result.exit_code == 0, result.output
    assert "class StampVersion(Plugin)" in (tmp_path / "plugins/stamp_version.py").read_text()
    test = tmp_path / "plugins/test_stamp_version.py"
    words = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--import-mode={mode}", str(test)]
    found = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=50)
    assert found.returncode == 0, found.stdout
    assert "1 passed" in found.stdout
    result = command("check", "-c", path, "--strict")
    assert result.exit_code == 0, result.output


def test_what_it_writes_is_clean(tmp_path: Path) -> None:
    command("plugin", "new", "stamp", "-c", tmp_path / "routes.yaml")
    folder = tmp_path / "plugins"
    settings = ["--config", str(ROOT / "pyproject.toml")]
    for words in (["check", *settings], ["format", "--check", *settings]):
        found = subprocess.run([sys.executable, "-m", "ruff", *words, folder], capture_output=True, text=True)
        assert found.returncode == 0, found.stdout


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("Stamp", "is no name for a plugin"),
        ("stamp-version", "is no name for a plugin"),
        ("../stamp", "is no name for a plugin"),
        ("_stamp", "is no name for a plugin"),
        ("1st", "is no name for a plugin"),
        ("class", "is no name for a plugin"),
        ("test_it", "is no name for a plugin"),
        ("cors", "the name 'cors' is taken by gateway.plugins.cors (built-in)"),
        ("mine", "the name 'mine' is taken by"),
        ("tested", "test_tested.py is there already"),
    ],
)
def test_names_that_it_refuses(tmp_path: Path, name: str, said: str) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "mine.py").write_text("")
    (folder / "test_tested.py").write_text("")
    before = sorted(folder.iterdir())
    result = command("plugin", "new", name, "-c", tmp_path / "routes.yaml")
    assert result.exit_code == 1
    assert said in result.output
    assert sorted(folder.iterdir()) == before


def test_not_among_the_built_ins() -> None:
    result = command("plugin", "new", "stamp", "-c", ROOT / "routes.yaml")
    assert result.exit_code == 1
    assert "holds the built-in plugins" in result.output
    assert not (ROOT / "plugins/stamp.py").exists()
