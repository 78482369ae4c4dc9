"""What joins the files of frontends: names, binds and conditions are each one frontend's."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.load import load
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config

MAIN = "version: 1\nlisteners: [{bind: '127.0.0.1:8080'}]\nadmin: {bind: '127.0.0.1:9901'}\n" + INCLUDE


def problems(folder: Path, main: str = MAIN) -> list[str]:
    return [str(problem).replace(f"{folder}/", "") for problem in load(write_config(folder, main), {}).problems]


def test_routes_may_have_the_same_name_in_two_frontends(tmp_path: Path) -> None:
    write_frontend(tmp_path, "web", "prefix: /web\n")
    write_frontend(tmp_path, "mobile", "prefix: /mobile\n")
    assert problems(tmp_path, MAIN + "routes: [{name: page, respond: {}}]\n") == []


def test_routes_of_one_frontend_may_not(tmp_path: Path) -> None:
    routes = "routes:\n- {name: a, respond: {}}\n- {name: a, respond: {}}\n"
    write_frontend(tmp_path, "web", "prefix: /web\n" + routes, page="")
    assert problems(tmp_path) == ["bff/web.yaml:5:10: two routes are named 'a'; the other is at bff/web.yaml:4:10"]


def test_one_name_twice(tmp_path: Path) -> None:
    write_frontend(tmp_path, "web", "prefix: /web\n")
    (tmp_path / "bff" / "z.yaml").write_text("frontend: web\nprefix: /z\n")
    assert problems(tmp_path) == ["bff/z.yaml:1:11: two frontends are named 'web'; the other is at bff/web.yaml:1:11"]


@pytest.mark.parametrize(
    "conditions",
    [
        "prefix: /x\n",
        "hosts: [a.example, b.example]\n",
        "headers: {X-Client: a}\n",
        "hosts: [a.example]\nprefix: /x\nheaders: {X-Client: ~a}\n",
    ],
)
def test_two_that_ask_for_the_same(tmp_path: Path, conditions: str) -> None:
    write_frontend(tmp_path, "a", conditions)
    other = conditions.replace("a.example, b.example", "B.example, A.example").replace("X-Client", "x-client")
    write_frontend(tmp_path, "b", "bind: ':1'\n" + other)
    assert problems(tmp_path) == [
        "bff/b.yaml:1:11: the frontends 'a' and 'b' ask for the same hosts, prefix and headers; "
        "the other is at bff/a.yaml:1:11"
    ]
    write_frontend(tmp_path, "b", "hosts: [b.example]\nprefix: /y\n")
    assert problems(tmp_path) == []


@pytest.mark.parametrize("bind", ["127.0.0.1:8080", "127.0.0.1:9901", "127.0.0.1:7000"])
def test_one_bind_twice(tmp_path: Path, bind: str) -> None:
    write_frontend(tmp_path, "a", "bind: 127.0.0.1:7000\n")
    write_frontend(tmp_path, "b", f"bind: {bind}\n")
    (problem,) = problems(tmp_path)
    assert f"two listeners on {bind}; the other is at " in problem


def test_one_that_is_never_chosen(tmp_path: Path) -> None:
    write_frontend(tmp_path, "web")
    assert problems(tmp_path) == [
        "bff/web.yaml:1:11: warning: the frontend 'web' is never chosen: it has no bind, hosts, prefix or headers; "
        "give it one, or run it alone: gateway run --frontend web"
    ]
    write_frontend(tmp_path, "web", "bind: ':0'\n")
    assert problems(tmp_path) == []


@pytest.mark.parametrize("limit", ["request_head: 1KiB", "header_count: 3", "connections: 4"])
def test_limits_that_need_a_listener(tmp_path: Path, limit: str) -> None:
    write_frontend(tmp_path, "web", f"prefix: /w\nlimits: {{request_body: 1B, {limit}}}\n")
    (problem,) = problems(tmp_path)
    name = limit.partition(":")[0]
    assert problem == (
        f"bff/web.yaml:3:28: limits.{name} is a listener's, and the frontend has none; "
        "give the frontend a bind, or set it in the main file; without a bind only request_body is its own"
    )
    write_frontend(tmp_path, "web", f"bind: ':0'\nlimits: {{request_body: 1B, {limit}}}\n")
    assert problems(tmp_path) == []
