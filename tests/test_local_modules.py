"""Files of a folder as modules with private names."""

import gc
import sys
import weakref
from pathlib import Path

import pytest

from gateway.local_modules import FINDER, PREFIX, LocalModules, find_local
from tests.support.apps import write_module

IMPORTS = """
import json
from ..shared import NAME
from . import KIND, other
JSON = json
"""


def test_files_and_packages_are_found(tmp_path: Path) -> None:
    file = write_module(tmp_path, "a.b", "")
    package = write_module(tmp_path, "c.__init__", "")
    write_module(tmp_path, "c", "")
    assert find_local(tmp_path, "a.b") == file
    assert find_local(tmp_path, "c") == package
    assert find_local(tmp_path, "a") is None
    assert find_local(tmp_path, "a.x") is None


def test_relative_imports_work_and_nothing_of_it_shows(tmp_path: Path) -> None:
    write_module(tmp_path, "bff.shared", "NAME = 'shared'")
    write_module(tmp_path, "bff.web.__init__", "KIND = 'package'")
    write_module(
        tmp_path, "bff.web.json", "from ..shared import NAME\nfrom . import KIND, other\nimport json\nJSON = json"
    )
    write_module(tmp_path, "bff.web.other", "X = 1")
    before, known = list(sys.path), set(sys.modules)
    local = LocalModules(tmp_path)
    loaded = local.load("bff.web.json")
    import json

    assert (loaded.NAME, loaded.KIND, loaded.other.X) == ("shared", "package", 1)
    assert loaded.JSON is json
    assert loaded.__name__ == f"{local.name}.bff.web.json"
    assert sys.path == before
    # Other tests may have found the repository's own folder of that name.
    assert "bff" not in set(sys.modules) - known
    assert not list(tmp_path.rglob("__pycache__"))
    local.forget()
    assert not [name for name in sys.modules if name.partition(".")[0] == local.name]
    assert local.name not in FINDER.known


def test_each_import_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(sys, "pycache_prefix", None)
    path = write_module(tmp_path, "a", "VALUE = []")
    first, second = LocalModules(tmp_path), LocalModules(tmp_path)
    one, two = first.load("a"), second.load("a")
    assert one.VALUE is not two.VALUE
    # As long as before, and within the same second.
    path.write_text("VALUE = {}")
    assert LocalModules(tmp_path).load("a").VALUE == {}
    assert not list(tmp_path.rglob("__pycache__"))


def test_it_is_current_while_its_files_are(tmp_path: Path) -> None:
    write_module(tmp_path, "a", "def later():\n    from . import b\n    return b")
    helper = write_module(tmp_path, "b", "X = 1")
    local = LocalModules(tmp_path)
    loaded = local.load("a")
    helper.write_text("X = 2")
    assert local.is_current, "b is not read yet"
    assert loaded.later().X == 2
    helper.write_text("X = 3")
    assert not local.is_current
    helper.write_text("X = 2")
    assert local.is_current
    helper.unlink()
    assert not local.is_current


def test_what_is_not_there(tmp_path: Path) -> None:
    write_module(tmp_path, "a", "from . import nothing")
    with pytest.raises(ImportError):
        LocalModules(tmp_path).load("a")
    assert FINDER.find_spec("json") is None
    assert FINDER.find_spec(f"{PREFIX}x.y") is None


def test_forgotten_modules_are_gone(tmp_path: Path) -> None:
    write_module(tmp_path, "a", "class A: pass")
    local = LocalModules(tmp_path)
    gone = weakref.ref(local.load("a").A)
    local.forget()
    gc.collect()
    assert gone() is None
