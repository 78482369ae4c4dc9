"""The source distribution and the wheel that is built from it: what they hold, and that the command works from it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gateway import __version__
from gateway.library import BUILT_IN

ROOT = Path(__file__).resolve().parents[2]
# What `pip wheel --no-build-isolation` does, without pip. The wheel comes by way of the source distribution, as from an
# index.
BUILD = """
import os, sys, tarfile
from setuptools import build_meta
name = build_meta.build_sdist("dist")
with tarfile.open(os.path.join("dist", name)) as archive:
    archive.extractall("sdist")
dist = os.path.abspath("dist")
os.chdir(os.path.join("sdist", name.removesuffix(".tar.gz")))
build_meta.build_wheel(dist)
"""
# Several commands, one start of Python. They are the wheel's: its modules come before those of this environment.
COMMANDS = """
import json, sys
from click.testing import CliRunner
from gateway.cli.main import main
assert main.__module__ and sys.modules["gateway"].__file__.startswith(sys.argv[1]), sys.modules["gateway"].__file__
for words in json.loads(sys.argv[2]):
    result = CliRunner().invoke(main, words, catch_exceptions=False)
    print(json.dumps([result.exit_code, result.output]))
"""


def python(program: str, *arguments: str, folder: Path, **environ: str) -> str:
    """What a program prints that succeeds."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, unpacked as it is installed."""
    folder = tmp_path_factory.mktemp("distribution")
    for name in ("gateway", "plugins"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("LICENSE", "MANIFEST.in", "README.md", "pyproject.toml", "setup.py"):
        shutil.copy(ROOT / name, folder)
    python(BUILD, folder=folder)
    (wheel,) = (folder / "dist").glob("*.whl")
    assert wheel.name == f"aiogate-{__version__}-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def test_no_common_name_is_installed(site: Path) -> None:
    assert {path.name for path in site.iterdir()} == {"gateway", f"aiogate-{__version__}.dist-info"}


def test_every_module_and_every_file_is_there(site: Path) -> None:
    sources = [
        path
        for path in (ROOT / "gateway").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pxd"
    ]
    expected = {Path("gateway", path.relative_to(ROOT / "gateway")) for path in sources}
    expected |= {Path("gateway", "plugins", path.name) for path in (ROOT / "plugins").glob("*.py")}

    assert {path.relative_to(site) for path in (site / "gateway").rglob("*") if path.is_file()} == expected


def test_the_command_has_an_entry_point(site: Path) -> None:
    text = (site / f"aiogate-{__version__}.dist-info" / "entry_points.txt").read_text()

    assert "gateway = gateway.cli.main:main" in text.splitlines()


def test_the_commands_work(site: Path, tmp_path: Path) -> None:
    sample = site / "gateway" / "demo" / "routes.yaml"
    asked = [["--version"], ["plugins"], ["check", "-c", str(sample)], ["demo", "--help"]]
    lines = python(COMMANDS, str(site), json.dumps(asked), folder=tmp_path, PYTHONPATH=str(site), PYTHONSAFEPATH="1")
    (version, plugins, check, usage) = (json.loads(line) for line in lines.splitlines())

    assert version == [0, f"gateway {__version__}\n"]
    assert {line.split()[0] for line in plugins[1].splitlines()[1:]} == set(BUILT_IN)
    assert check[0] == 0
    assert "no errors" in check[1]
    assert usage[1].startswith("Usage: ")
