"""What the file of a frontend may say, and what is wrong with it, each at its place."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config.dump import dump
from gateway.config.fields import Bind
from gateway.config.frontend_specs import FrontendSpec
from gateway.config.load import Loaded, load
from gateway.units import Secret
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config

WHOLE = """bind: 127.0.0.1:9090
hosts: [m.example.com, "*.m.example.com"]
prefix: /mobile
headers: {X-Client: mobile, User-Agent: "~.*(Android|iPhone).*"}
plugins:
  - cors
limits: {request_head: 8KiB, header_count: 20, request_body: 0, connections: 5}
upstreams: {up: {endpoints: ['http://127.0.0.1:1']}}
routes:
  - {name: a, to: up, plugins: [headers: {request: {remove: [X]}}]}
tests:
  - {request: GET /mobile, expect: {route: a}}
"""


def loaded(folder: Path, text: str, main: str = "version: 1\n") -> Loaded:
    write_frontend(folder, "mobile", text, page="")
    return load(write_config(folder, main + INCLUDE), {"SECRET": "geheim"})


def problems(folder: Path, text: str, main: str = "version: 1\n") -> list[str]:
    return [str(problem).replace(f"{folder}/", "") for problem in loaded(folder, text, main).problems]


def test_all_keys(tmp_path: Path) -> None:
    found = loaded(tmp_path, WHOLE)
    assert found.problems == ()
    assert found.spec is not None
    (spec,) = found.frontends
    assert (spec.name, spec.bind, spec.prefix) == ("mobile", Bind("127.0.0.1", 9090), "/mobile")
    assert spec.hosts == ("m.example.com", "*.m.example.com")
    assert spec.headers == {"X-Client": "mobile", "User-Agent": "~.*(Android|iPhone).*"}
    assert [use.name for use in spec.plugins] == ["cors"]
    assert dict(spec.limits) == {"request_head": 8192, "header_count": 20, "request_body": 0, "connections": 5}
    assert [use.name for route in spec.routes for use in route.plugins] == ["headers"]
    assert [test.request for test in spec.tests] == ["GET /mobile"]
    assert spec.has_conditions
    assert list(found.spec.upstreams) == ["up"], "upstreams are for all"
    assert found.spec.routes == ()
    assert (found.path_of("mobile"), found.path_of("")) == (("frontends", 0), ())
    position = found.position((*found.path_of("mobile"), "routes", 0, "name"))
    assert position[1:] == (11, 12)


def test_defaults(tmp_path: Path) -> None:
    (spec,) = loaded(tmp_path, "routes:\nplugins:\nhosts:\n").frontends
    assert spec == FrontendSpec(frontend="mobile")
    assert not spec.has_conditions


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("listeners: []\n", "2:1: 'listeners' belongs in the main file; a frontend's file may hold frontend, bind,"),
        ("prefx: /a\n", "2:1: unknown key 'prefx'; did you mean 'prefix'?"),
        ("version: 2\n", "2:10: version: should be 1"),
        ("prefix: mobile\n", "2:9: prefix: a path begins with '/'; write /mobile"),
        ("prefix: /mobile/\n", "2:9: prefix: a prefix ends without '/'; write /mobile"),
        ("prefix: /\n", "2:9: prefix: '/' is no prefix; leave `prefix` out"),
        ("bind: here\n", "2:7: bind: 'here' has no port"),
        ("hosts: ['a:80']\n", "2:9: hosts[0]: a host is matched without its port; write a"),
        ("headers: {X: '~('}\n", "2:14: headers.X: '(' is not a regular expression"),
        ("limits: {requestbody: 1}\n", "2:10: unknown key 'requestbody' in limits; did you mean 'request_body'?"),
        ("routes: [{name: a, match: {path: x}, respond: {}}]\n", "2:34: routes[0].match.path: a path begins with"),
        ("prefix: /a\nroutes: [{name: a, to: up}]\n", "3:24: unknown upstream 'up'; there is none"),
        ("prefix: /a\nroutes: [{name: a}]\n", "3:10: missing key 'to' in route 'a'"),
        ("prefix: /a\ntests: [{request: GET /, expect: {route: b}}]\n", "3:42: unknown route 'b'; there is none"),
        ("prefix: /a\nplugins: [nothing: 1]\n", "3:11: plugins[0]: the options of 'nothing' should be a mapping"),
    ],
)
def test_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    found = problems(tmp_path, text)
    assert [problem for problem in found if problem.startswith(f"bff/mobile.yaml:{said}")], found
    assert loaded(tmp_path, text).frontends == ()


@pytest.mark.parametrize(
    "prefix", ["/a//b", "/a/../b", "/.a", "/a%20b", "/a;b", "/{id}", "/a/*", "/a?b", "/ä", "/a\\b", "/a#b"]
)
def test_prefixes_that_could_be_read_in_two_ways(tmp_path: Path, prefix: str) -> None:
    (found,) = problems(tmp_path, f"prefix: '{prefix}'\n")
    assert "is not a prefix; write plain segments such as /mobile or /app/v2" in found


def test_the_main_file_holds_no_frontends(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, "prefix: /m\n", "version: 1\nfrontends: [{frontend: x}]\n")
    assert problem.startswith("routes.yaml:2:1: unknown key 'frontends'; a frontend has a file of its own")


def test_a_name_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "bff").mkdir()
    (tmp_path / "bff" / "x.yaml").write_text("frontend:\nprefix: /a\n")
    found = load(write_config(tmp_path, "version: 1\n" + INCLUDE), {})
    assert "frontend: is empty; it should be text" in str(found.problems[0])


@dataclass(frozen=True)
class Keyed:
    key: Secret
    size: int = 3


def test_secrets_of_its_plugins_are_not_shown(tmp_path: Path) -> None:
    route = "routes: [{name: a, respond: {}, plugins: [keyed: {key: geheim}]}]\n"
    found = loaded(tmp_path, "prefix: /m\nplugins: [keyed: {key: geheim}]\n" + route)
    assert found.spec is not None
    (shown,) = dump(found.spec, {"keyed": Keyed}, frontends=found.frontends)["frontends"]
    assert (shown["frontend"], shown["prefix"]) == ("mobile", "/m")
    assert shown["plugins"] == shown["routes"][0]["plugins"] == [{"keyed": {"key": "***", "size": 3}}]
    assert dump(found.spec)["frontends"] == []
