"""What the compiler is told of the hot path is what its sources say; see `make native`."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.doctor.gather import is_compiled

ROOT = Path(__file__).resolve().parents[1]
DECLARED = [path for folder in ("gateway", "plugins") for path in sorted((ROOT / folder).rglob("*.pxd"))]
ATTRIBUTES = re.compile(r"    cdef public \w+ (.+)")
METHOD = re.compile(r"    cpdef (?:\w+ )?(\w+)\((.*)\)")
CLASS = re.compile(r"cdef class (\w+)")


def source_classes(path: Path) -> dict[str, ast.ClassDef]:
    tree = ast.parse(path.with_suffix(".py").read_text())
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def attributes(node: ast.ClassDef) -> set[str]:
    """What an instance has: its slots, or without them all that a method sets."""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__slots__":
            names = ast.literal_eval(statement.value)
            return {names} if isinstance(names, str) else set(names)
    stored = (one for one in ast.walk(node) if isinstance(one, ast.Attribute) and isinstance(one.ctx, ast.Store))
    return {one.attr for one in stored if ast.unparse(one.value) == "self"}


def parameters(node: ast.ClassDef, name: str) -> list[str]:
    (method,) = (one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == name)
    return [one.arg for one in method.args.args]


def test_there_is_something_to_compile() -> None:
    assert ROOT / "gateway" / "proxy.pxd" in DECLARED


@pytest.mark.parametrize("path", DECLARED, ids=lambda path: str(path.relative_to(ROOT)))
def test_declared_is_what_the_source_has(path: Path) -> None:
    classes, declared, name = source_classes(path), dict[str, set[str]](), ""
    for line in path.read_text().splitlines():
        if (found := CLASS.match(line)) is not None:
            name = found[1]
            declared[name] = set()
        elif (found := ATTRIBUTES.match(line)) is not None:
            declared[name].update(found[1].split(", "))
        elif (found := METHOD.match(line)) is not None:
            named = [one.removesuffix("=*").rpartition(" ")[2] for one in found[2].split(", ")]
            assert named == parameters(classes[name], found[1])
    assert declared == {name: attributes(classes[name]) for name in declared}


def test_what_runs_is_what_was_asked_for() -> None:
    asked = "build/native" in os.environ.get("PYTHONPATH", "")
    assert is_compiled("gateway.proxy:Proxy.begin") is asked


def test_programs_that_tests_start_run_it_too(tmp_path: Path) -> None:
    program = [sys.executable, "-c", "import gateway.proxy; print(gateway.proxy.__file__)"]
    started = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=True).stdout.strip()
    assert started.endswith(".py") is not is_compiled("gateway.proxy:Proxy.begin")
