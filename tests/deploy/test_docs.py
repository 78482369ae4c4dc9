"""The site of docs/: what is read from the code is all there, and what pages point at exists."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from gateway.cli.main import COMMANDS
from gateway.config.specs import ConfigSpec
from gateway.config.upstream_specs import UpstreamSpec
from gateway.errors import ANSWERS
from gateway.library import BUILT_IN, Library

DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_reference", DOCS / "reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generated(reference: ModuleType) -> dict[str, str]:
    """The tables of the configuration and of the plugins."""
    tables = reference.Reference(Library())
    return {"routes-yaml.md": "\n".join(tables.configuration()), "plugins.md": "\n".join(tables.plugins())}


def test_every_key_has_a_row(generated: dict[str, str]) -> None:
    rows = set(re.findall(r"^\| `(\w+)` \|", generated["routes-yaml.md"], re.MULTILINE))

    assert {*ConfigSpec.model_fields, *UpstreamSpec.model_fields, "frontend"} <= rows
    assert "| `drain` | text such as `250ms` | `30s` |" in generated["routes-yaml.md"]


def test_every_plugin_has_a_section(generated: dict[str, str]) -> None:
    assert re.findall(r"^## (\w+)$", generated["plugins.md"], re.MULTILINE) == list(BUILT_IN)
    assert '| `origins` | list of text | `["*"]` |' in generated["plugins.md"]


def test_every_failure_has_a_row(reference: ModuleType) -> None:
    rows = "\n".join(reference.errors())

    assert [f"`{kind.word}`" for kind in ANSWERS] == re.findall(r"^\| (`\w+`)", rows, re.MULTILINE)


def test_every_command_has_a_section(reference: ModuleType) -> None:
    lines = list(reference.commands())
    sections = {line.removeprefix("## gateway ").split()[0] for line in lines if line.startswith("## ")}

    assert sections == set(COMMANDS)
    assert any(line.startswith("| `-c, --config") for line in lines)


def test_metrics_are_found_where_they_are_registered(reference: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "a.py").write_text(
        'class Shared:\n    def __init__(self, m, name, text):\n        m.counter(name, text, ("route",), ("part",))\n'
        'def f(metrics):\n    text = "Those."\n    metrics.gauge("gateway_those", text).labels()\n'
    )
    (tmp_path / "plugins" / "b.py").write_text('NAME = "gateway_these_total"\nShared(metrics, NAME, "These.")\n')

    assert [row for row in reference.metrics(tmp_path) if "gateway_" in row] == [
        "| `gateway_these_total` | counter | `route`, `part` | These. |",
        "| `gateway_those` | gauge |  | Those. |",
    ]


def test_metrics_that_cannot_be_read(reference: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "gateway").mkdir()
    (tmp_path / "gateway" / "a.py").write_text('metrics.counter("gateway_x_total", "Some.", labels())\n')

    with pytest.raises(ValueError, match="gateway_x_total"):
        list(reference.metrics(tmp_path))


def test_every_page_is_in_the_contents() -> None:
    (contents,) = re.findall(r"```\{toctree\}\n.*?\n\n(.*?)\n```", (DOCS / "index.md").read_text(), re.DOTALL)

    assert {f"{name}.md" for name in contents.split()} == {page.name for page in PAGES} - {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path, generated: dict[str, str]) -> None:
    targets = {target for text in generated.values() for target in re.findall(r"^\((.+)\)=$", text, re.MULTILINE)}
    text = page.read_text() + generated.get(page.name, "")
    links = [link for link in LINK.findall(text) if "://" not in link]

    assert not [link for link in links if link.startswith("#") and link[1:] not in targets]
    assert not [link for link in links if not link.startswith("#") and not (DOCS / link).is_file()]
