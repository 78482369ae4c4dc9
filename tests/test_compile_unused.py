"""What a frontend uses is used, whether it is served now or not."""

from __future__ import annotations

from pathlib import Path

from gateway.compile_unused import unused
from gateway.config.load import load
from gateway.library import Library
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config, write_plugin
from tests.test_compile_frontends import compiled

MAIN = """version: 1
upstreams:
  a: {endpoints: ['http://127.0.0.1:1']}
  b: {endpoints: ['http://127.0.0.1:1']}
  up: {endpoints: ['http://127.0.0.1:1']}
  d: {endpoints: ['http://127.0.0.1:1']}
  nobody: {endpoints: ['http://127.0.0.1:1']}
routes: [{name: x, to: a}]
"""
MOBILE = "prefix: /m\nplugins: [auth_delegation: {upstream: up}]\nroutes: [{name: x, to: b, mirror: {to: d}}]\n"
WARNING = "routes.yaml:7:3: warning: no route goes to the upstream 'nobody'"


def test_upstreams(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", MOBILE, page="")
    write_frontend(tmp_path, "web", "prefix: /w\n")
    assert compiled(tmp_path, MAIN)[1] == [WARNING]
    assert compiled(tmp_path, MAIN, alone=["web"])[1] == [WARNING], "what is not served now is not unused"


def test_what_listeners_pass_through_is_used(tmp_path: Path) -> None:
    listeners = "listeners: [{bind: ':0', passthrough: [{names: [a.b], to: nobody}]}]\n"
    write_frontend(tmp_path, "mobile", MOBILE, page="")
    assert compiled(tmp_path, MAIN + listeners)[1] == []


def test_a_local_plugin_whose_name_is_taken(tmp_path: Path) -> None:
    write_plugin(tmp_path, "cors")
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [tracing_ids]\n")
    loaded = load(write_config(tmp_path, "version: 1\n" + INCLUDE), {})
    assert loaded.spec is not None
    (problem,) = unused(loaded, loaded.spec, Library(tmp_path))
    assert "the plugin name 'cors' is taken twice" in problem.message
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [cors]\n")
    loaded = load(write_config(tmp_path, "version: 1\n" + INCLUDE), {})
    assert loaded.spec is not None
    assert list(unused(loaded, loaded.spec, Library(tmp_path))) == [], "it is told where it is used"
