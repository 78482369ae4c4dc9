"""`gateway explain`: the route, why, and everything that would follow, in words and as JSON."""

import json
from pathlib import Path

import pytest

from tests.support.commands import command, config, json_of
from tests.support.frontends import INCLUDE, write_frontend

CONFIG = """version: 1
plugins:
  - tracing_ids
upstreams:
  up: {endpoints: ['http://127.0.0.1:1']}
  two: {endpoints: ['http://127.0.0.1:2']}
routes:
  - name: item
    match: {path: "/api/items/{id}", methods: [GET], headers: {X-Beta: "1"}}
    to: up
    rewrite: {path: "/items/{id}"}
    plugins: [cors]
  - {name: api, match: {path: "/api/**"}, to: [{upstream: up, weight: 3}, {upstream: two}]}
  - {name: old, match: {path: "/v1/**"}, redirect: {to: "/api/{**}", status: 308}}
  - {name: post, match: {path: /post, methods: [POST]}, respond: {}}
"""


def test_in_words(tmp_path: Path) -> None:
    path = config(tmp_path, CONFIG)
    result = command("explain", "GET", "http://x/api/items/42?v=1", "-H", "X-Beta: 1", "-c", path)
    assert result.exit_code == 0
    assert result.output == (
        "GET x/api/items/42?v=1\n"
        "\n"
        "Routes whose host and path fit, in the order in which they are asked:\n"
        "  item chosen\n"
        "    yes  host    any host  (it fits)\n"
        "    yes  path    /api/items/{id}  (id = 42)\n"
        "    yes  methods method is GET or HEAD  (GET)\n"
        "    yes  header  header X-Beta is '1'  ('1')\n"
        "  api later: item is before it: segment 2 of its path is more specific: 'items' before **\n"
        "    yes  host    any host  (it fits)\n"
        "    yes  path    /api/**  (** = items/42)\n"
        "\n"
        f"route     item  ({path}:8:5)\n"
        "why       before api: segment 2 of its path is more specific: 'items' before **\n"
        "action    to up\n"
        "upstream  up\n"
        "          http://127.0.0.1:1/items/42?v=1\n"
        f"plugins   tracing_ids  {path}:3:5\n"
        f"          cors         {path}:12:15\n"
    )


def test_a_weighted_route(tmp_path: Path) -> None:
    output = command("explain", "GET", "http://x/api/items/42", "-c", config(tmp_path, CONFIG)).output
    assert "    no   header  header X-Beta is '1'  (absent)\n" in output
    assert "why       item, asked before it, refused\n" in output
    assert "upstream  up (0.75 of the requests)\n          http://127.0.0.1:1/api/items/42\n" in output
    assert "upstream  two (0.25 of the requests)\n" in output


def test_a_redirect(tmp_path: Path) -> None:
    output = command("explain", "GET", "http://x/v1/a?b", "-c", config(tmp_path, CONFIG)).output
    assert "action    redirect 308 to /api/{**}\nanswer    308 /api/a?b\n" in output


@pytest.mark.parametrize(
    ("method", "url", "lines"),
    [
        ("GET", "/nowhere", ["answer    404", "why       no route has a host and a path that fit"]),
        ("GET", "/post", ["answer    405", "allow     POST"]),
        ("GET", "/api/..%2fpost", ["answer    400", "why       the path can be read in two ways"]),
    ],
)
def test_no_route(tmp_path: Path, method: str, url: str, lines: list[str]) -> None:
    result = command("explain", method, url, "-c", config(tmp_path, CONFIG))
    assert result.exit_code == 1
    for line in lines:
        assert line in result.output


def test_all(tmp_path: Path) -> None:
    path = config(tmp_path, CONFIG)
    assert "Other routes" not in command("explain", "GET", "/api/a", "-c", path).output
    output = command("explain", "GET", "/api/a", "--all", "-c", path).output
    assert "  item  segment 2 is 'a', not 'items'\n" in output
    assert "  old   segment 1 is 'api', not 'v1'\n" in output


def test_json(tmp_path: Path) -> None:
    data = json_of("explain", "GET", "http://x/api/items/42", "-H", "X-Beta:1", "-c", config(tmp_path, CONFIG))
    assert (data["route"], data["path"], data["status"]) == ("item", "/items/42", None)
    assert [entry["name"] for entry in data["plugins"]] == ["tracing_ids", "cors"]
    assert data["candidates"][0]["verdict"] == "chosen"
    result = command("explain", "GET", "/post", "-c", tmp_path / "routes.yaml", "--format", "json")
    assert (result.exit_code, json.loads(result.stdout)["allow"]) == (1, ["POST"])


@pytest.mark.parametrize(
    "words",
    [("GET",), ("GET", "ftp://x/"), ("GET", "/a b"), ("GET", "/", "-H", "nonsense"), ("GET", "/", "-H", "a b: c")],
)
def test_misuse(tmp_path: Path, words: tuple[str, ...]) -> None:
    assert command("explain", *words, "-c", config(tmp_path, CONFIG)).exit_code == 2


def test_a_wrong_configuration(tmp_path: Path) -> None:
    result = command("explain", "GET", "/", "-c", config(tmp_path, "version: 1\nroutes: [{name: a}]\n"))
    assert result.exit_code == 1
    assert "missing key 'to'" in result.stderr
    assert result.stdout == ""


def test_a_path_that_a_plugin_answers(tmp_path: Path) -> None:
    session = "session: {login: {upstream: up}, claims_to_headers: {sub: X-User}}"
    text = "version: 1\nupstreams: {up: {endpoints: ['http://127.0.0.1:1']}}\nplugins:\n  - tracing_ids\n"
    path = config(tmp_path, f"{text}  - {session}\nroutes: [{{name: app, to: up}}]\n")
    shown = command("explain", "POST", "http://x/logout", "-c", path).output

    assert f"route     session:/logout  ({path}:5:5)" in shown
    assert "action    answered by session\n" in shown
    assert "answer    " not in shown
    assert command("check", "-c", path).exit_code == 0
    assert "answered by session" in command("routes", "-c", path).output


def test_a_frontend(tmp_path: Path) -> None:
    text = "prefix: /m\nroutes: [{name: page, to: up, plugins: [cors]}]\n"
    file = write_frontend(tmp_path, "mobile", text, page="")
    path = config(tmp_path, CONFIG + INCLUDE)
    result = command("explain", "GET", "http://x/m/a", "-c", path)
    assert result.exit_code == 0
    assert result.output.startswith(
        "GET x/m/a\n"
        "\n"
        "Frontends, in the order in which they are asked:\n"
        "  mobile chosen\n"
        "    yes  prefix  path begins with /m  (/m/a)\n"
    )
    assert f"frontend  mobile  (the only frontend that fits)\nroute     page  ({file}:3:10)\n" in result.output
    assert "          http://127.0.0.1:1/a\n" in result.output
    lines = command("explain", "GET", "/a", "--frontend", "mobile", "-c", path).output.splitlines()
    assert "frontend  mobile  (its own listener)" in lines
    assert "why       the path does not begin with /m" in lines
    assert command("explain", "GET", "/a", "--frontend", "moble", "-c", path).exit_code == 2


def test_a_composition(tmp_path: Path) -> None:
    text = """version: 1
upstreams: {up: {endpoints: ['http://127.0.0.1:1']}, users: {endpoints: ['http://127.0.0.1:2']}}
routes:
  - name: page
    match: {path: "/p/{id}"}
    compose:
      parts:
        product: {from: up, path: "/items/{id}", required: true}
        seller: {from: users, path: "/users/{product.seller}", when: "query.all"}
        each: {from: up, path: "/{item}?x={id}", foreach: product.related}
        plain: {from: up, path: /plain}
"""
    path = config(tmp_path, text)
    assert (
        "action    compose product from up, seller from users, each from up, plain from up\n"
        "parts     product  GET up /items/7                    required\n"
        "          seller   GET users /users/{product.seller}  after product, when query.all\n"
        "          each     GET up /{item}?x=7                 after product, for each of product.related\n"
        "          plain    GET up /plain\n"
    ) in command("explain", "GET", "http://x/p/7", "-c", path).output
    assert "compose product from up" in command("routes", "-c", path).output
