"""`gateway plugins`: what can be named, where it is from, and what is wrong with it."""

from pathlib import Path

from gateway.library import BUILT_IN
from tests.support.commands import command, json_of
from tests.support.runtimes import write_plugin


def test_built_in_and_local(tmp_path: Path) -> None:
    place = write_plugin(tmp_path, "probe")
    write_plugin(tmp_path, "broken", "1 / 0")
    rows = {row["name"]: row for row in json_of("plugins", "-c", tmp_path / "routes.yaml")}
    assert set(rows) == {*BUILT_IN, "probe", "broken"}
    assert rows["cors"]["source"] == "built-in"
    assert rows["cors"]["phases"] == ["on_request", "on_response"]
    assert rows["cors"]["about"].startswith("Tells browsers")
    assert (rows["probe"]["source"], rows["probe"]["place"]) == ("local", str(place))
    assert (rows["probe"]["about"], rows["probe"]["phases"]) == ("A plugin that tells of its life.", ["start", "stop"])
    assert "ZeroDivisionError" in rows["broken"]["error"]


def test_table(tmp_path: Path) -> None:
    write_plugin(tmp_path, "cors")
    result = command("plugins", "-c", tmp_path / "routes.yaml")
    assert result.exit_code == 0
    assert result.output.splitlines()[0].split() == ["PLUGIN", "SOURCE", "PHASES", "ABOUT"]
    assert "is taken twice" in result.output
    assert "rate_metrics" in result.output
