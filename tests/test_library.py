"""Where plugins come from, and what happens when two have one name."""

from __future__ import annotations

import shutil
import sys
from importlib import metadata
from pathlib import Path

import pytest

from gateway.errors import ConfigError
from gateway.library import BUILT_IN, Library, holds_built_ins
from gateway.plugin import Plugin
from tests.support.runtimes import write_plugin

ROOT = Path(__file__).parents[1]
PLUGIN = "from gateway.plugin import Plugin\nclass {cls}(Plugin):\n    pass\n"


def install(folder: Path, entries: dict[str, str], modules: dict[str, str], name: str = "acme") -> None:
    """As much of an installed package as its entry points need."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = "".join(f"{key} = {value}\n" for key, value in entries.items())
    (info / "entry_points.txt").write_text(f"[gateway.plugins]\n{lines}")
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(text)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setattr("gateway.library.entry_points", metadata.entry_points)
    monkeypatch.syspath_prepend(folder)
    return folder


def test_built_ins() -> None:
    library = Library()
    assert [found.name for found in library.list()] == sorted(BUILT_IN)
    assert tuple(sorted(path.stem for path in (ROOT / "plugins").glob("*.py") if path.stem != "__init__")) == BUILT_IN
    for name in BUILT_IN:
        assert issubclass(library.find(name), Plugin)
        assert library.find(name).__module__ == f"gateway.plugins.{name}"


def test_entry_points_name_a_class_or_a_module(site: Path) -> None:
    entries = {"acme_one": "acme_plugins:One", "acme_two": "acme_module"}
    modules = {
        "acme_plugins": PLUGIN.format(cls="One") + PLUGIN.format(cls="Other"),
        "acme_module": PLUGIN.format(cls="Two"),
    }
    install(site, entries, modules)
    library = Library()
    assert {found.name for found in library.list() if found.source == "package"} == {"acme_one", "acme_two"}
    assert "acme_plugins" not in sys.modules, "nothing is imported before it is named"
    assert library.find("acme_one").__name__ == "One"
    assert library.find("acme_two").__name__ == "Two"


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("acme_missing:One", "does not load: ModuleNotFoundError"),
        ("acme_wrong:thing", "is not a Plugin class"),
        ("acme_wrong:Missing", "does not load: AttributeError"),
        ("acme_wrong", "must define one Plugin class, it defines none"),
        ("acme_broken:One", "does not load: ZeroDivisionError"),
    ],
)
def test_entry_points_that_are_wrong(site: Path, target: str, said: str) -> None:
    install(site, {"acme": target}, {"acme_wrong": "thing = 1", "acme_broken": "1 / 0"})
    with pytest.raises(ConfigError, match=said):
        Library().find("acme")


def test_two_packages_with_one_name(site: Path) -> None:
    install(site, {"twin": "a:A"}, {}, "first")
    install(site, {"twin": "b:B"}, {}, "second")
    with pytest.raises(ConfigError, match=r"'twin' is taken twice, by [ab]:[AB] \(package\) and [ab]:[AB] \(package\)"):
        Library().find("twin")


def test_a_local_file(tmp_path: Path) -> None:
    before = list(sys.path)
    path = write_plugin(tmp_path, "json", "import json\nTEXT = json.dumps([1])\n" + PLUGIN.format(cls="Json"))
    write_plugin(tmp_path, "_helper", "1 / 0")
    write_plugin(tmp_path, "test_json", "1 / 0")
    library = Library(tmp_path)
    assert [(found.name, found.place) for found in library.list() if found.source == "local"] == [("json", str(path))]
    found = library.find("json")
    module = sys.modules[found.__module__]
    assert found.__module__.startswith("_gateway_plugin_")
    assert module.TEXT == "[1]", "the file's own name hides nobody's json"
    assert sys.modules["json"].__file__ != str(path)
    assert sys.path == before


def test_code_is_taken_over_while_its_files_are_what_they_were(tmp_path: Path) -> None:
    text = "from ._names import NAME\n" + PLUGIN.format(cls="Mine")
    write_plugin(tmp_path, "mine", text)
    write_plugin(tmp_path, "other", PLUGIN.format(cls="Other"))
    helper = write_plugin(tmp_path, "_names", "NAME = 'a'\n")
    first = Library(tmp_path)
    mine, other = first.find("mine"), first.find("other")
    assert sys.modules[mine.__module__].NAME == "a"
    second = Library(tmp_path, first)
    assert (second.find("mine"), second.find("other"), second.renewed) == (mine, other, [])
    # As long as before, and within the same second.
    helper.write_text("NAME = 'b'\n")
    assert second.find("mine") is mine, "one library, one class"
    third = Library(tmp_path, second)
    renewed = third.find("mine")
    assert renewed is not mine
    assert sys.modules[renewed.__module__].NAME == "b"
    assert (third.find("other"), third.renewed) == (other, ["mine"])
    assert Library(tmp_path, third).find("mine") is renewed
    assert Library(tmp_path).find("mine") is not renewed


def test_code_that_nobody_has_any_more_is_forgotten(tmp_path: Path) -> None:
    def imported() -> list[str]:
        return [name for name, module in sys.modules.items() if str(tmp_path) in repr(module)]

    write_plugin(tmp_path, "mine", PLUGIN.format(cls="Mine"))
    library = Library(tmp_path)
    library.find("mine")
    assert len(imported()) == 1
    library = Library(tmp_path, library)
    write_plugin(tmp_path, "mine", "# changed\n" + PLUGIN.format(cls="Mine"))
    library.find("mine")
    assert len(imported()) == 1
    del library
    assert imported() == []


def test_a_file_that_failed_is_tried_again_and_the_code_before_stays(tmp_path: Path) -> None:
    path = write_plugin(tmp_path, "mine", PLUGIN.format(cls="Mine"))
    library = Library(tmp_path)
    before = library.find("mine")
    write_plugin(tmp_path, "mine", "x = 1\ndef (")
    with pytest.raises(ConfigError, match=rf"'mine' does not load: SyntaxError: .* \({path}:2\)$"):
        Library(tmp_path, library).find("mine")
    assert library.find("mine") is before
    write_plugin(tmp_path, "mine", "# mended\n" + PLUGIN.format(cls="Mine"))
    assert Library(tmp_path, library).find("mine").__name__ == "Mine"


def test_a_file_that_raises_says_where(tmp_path: Path) -> None:
    write_plugin(tmp_path, "mine", "from ._helper import x\n")
    helper = write_plugin(tmp_path, "_helper", "import json\n\njson.loads('{')\n")
    with pytest.raises(ConfigError, match=rf"'mine' does not load: JSONDecodeError: .* \({helper}:3\)$"):
        Library(tmp_path).find("mine")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it defines none"),
        (PLUGIN.format(cls="B") + PLUGIN.format(cls="A"), "it defines A, B"),
        ("from gateway.plugins.cors import Cors\n", "it defines none"),
        (
            "from gateway.plugin import Plugin\nclass A(Plugin):\n    def on_reqest(self, exchange): ...\n",
            "did you mean 'on_request'",
        ),
    ],
)
def test_files_that_are_wrong(tmp_path: Path, text: str, said: str) -> None:
    write_plugin(tmp_path, "mine", text)
    with pytest.raises(ConfigError, match=said):
        Library(tmp_path).find("mine")


def test_a_local_file_named_like_a_built_in(tmp_path: Path) -> None:
    path = write_plugin(tmp_path, "cors", PLUGIN.format(cls="Cors"))
    library = Library(tmp_path)
    said = f"the plugin name 'cors' is taken twice, by gateway.plugins.cors (built-in) and {path} (local): rename yours"
    assert library.clashes() == {"cors": said}
    with pytest.raises(ConfigError) as caught:
        library.find("cors")
    assert str(caught.value) == said


def test_the_folder_of_the_built_ins_is_nobodys_own(tmp_path: Path) -> None:
    assert holds_built_ins(ROOT / "plugins")
    assert Library(ROOT).clashes() == {}
    assert {found.source for found in Library(ROOT).list()} == {"built-in"}
    (tmp_path / "plugins").symlink_to(ROOT / "plugins")
    assert Library(tmp_path).clashes() == {}


def test_one_that_lacks_a_built_in_is_somebodys_own(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "plugins", tmp_path / "plugins")
    assert holds_built_ins(tmp_path / "plugins"), "another checkout's"
    (tmp_path / "plugins" / "cors.py").unlink()
    assert not holds_built_ins(tmp_path / "plugins")


def test_a_name_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no plugin is named 'cros'; did you mean 'cors'\?"):
        Library(tmp_path).find("cros")
    with pytest.raises(ConfigError, match=r"put zzz.py into plugins/ beside the configuration"):
        Library(tmp_path).find("zzz")


def test_the_fake_package_is_gone() -> None:
    assert "acme" not in {found.name for found in metadata.distributions()}
