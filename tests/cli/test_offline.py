"""A configuration compiles where no event loop runs, and nothing of it reaches out."""

from pathlib import Path

import pytest

from gateway.cli.offline import compile_offline, compiled_or_exit
from tests.support.commands import config
from tests.support.runtimes import write_plugin

EAGER = """
from gateway.plugin import Plugin
class Eager(Plugin):
    def __init__(self, options, env):
        super().__init__(options, env)
        assert env.clock.now() and env.clock.wall()
        env.upstream("up")
        env.http
"""


def test_a_right_one(tmp_path: Path) -> None:
    path = config(tmp_path, "version: 1\nplugins: [access_log, rate_metrics]\nroutes: [{name: a, respond: {}}]\n")
    compiled = compile_offline(path)
    assert compiled.problems == ()
    assert [found.name for found in compiled.library.list()]
    generation, loaded = compiled_or_exit(path)
    assert [route.name for route in generation.table.router.routes] == ["a"]
    assert loaded.spec is generation.spec


def test_a_wrong_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = config(tmp_path, "version: 1\nroutes: [{name: a}]\ninclude: [none/*]\n")
    with pytest.raises(SystemExit) as caught:
        compiled_or_exit(path)
    assert caught.value.code == 1
    said = capsys.readouterr().err
    assert said.endswith(f"{path}: 1 error\n")
    assert "warning" not in said


def test_a_plugin_that_calls_somebody_when_it_is_made(tmp_path: Path) -> None:
    write_plugin(tmp_path, "eager", EAGER)
    up = "upstreams: {up: {endpoints: ['http://127.0.0.1:1']}}\nroutes: [{name: a, to: up}]\n"
    compiled = compile_offline(config(tmp_path, "version: 1\nplugins: [eager]\n" + up))
    assert "use env.http in start or later" in str(compiled.problems[0])
