"""`gateway routes`: a table, or JSON."""

from pathlib import Path

from tests.support.commands import command, config, json_of
from tests.support.frontends import INCLUDE, write_frontend

CONFIG = """version: 1
upstreams: {up: {endpoints: ['http://127.0.0.1:1']}}
routes:
  - {name: a, match: {host: a.example, path: "/a/{id}", methods: [GET], query: {v: "1"}}, to: up, plugins: [cors]}
  - {name: b, redirect: {to: /a}}
"""


def test_table(tmp_path: Path) -> None:
    result = command("routes", "-c", config(tmp_path, CONFIG))
    assert result.exit_code == 0
    assert [line.split("  ")[0].strip() for line in result.output.splitlines()] == ["ROUTE", "a", "b"]
    assert "a.example  /a/{id}  GET, HEAD  query v is '1'  to up" in result.output
    assert "*          /**      *          -               redirect 307 to /a" in result.output


def test_json(tmp_path: Path) -> None:
    path = config(tmp_path, CONFIG)
    first, second = json_of("routes", "-c", path)
    assert (first["name"], first["plugins"], first["position"]) == ("a", ["cors"], f"{path}:4:5")
    assert (second["host"], second["methods"], second["conditions"]) == (None, None, [])


def test_a_wrong_configuration(tmp_path: Path) -> None:
    result = command("routes", "-c", config(tmp_path, "version: 1\nroutes: [{}]\n"))
    assert result.exit_code == 1
    assert "1 error" in result.stderr or "errors" in result.stderr


def test_routes_of_frontends(tmp_path: Path) -> None:
    file = write_frontend(tmp_path, "mobile", "prefix: /m\n")
    path = config(tmp_path, "version: 1\nroutes: [{name: page, respond: {}}]\n" + INCLUDE)
    names = [line.split()[0] for line in command("routes", "-c", path).output.splitlines()]
    assert names == ["ROUTE", "page", "mobile/page"]
    rows = json_of("routes", "-c", path)
    assert [(row["frontend"], row["name"]) for row in rows] == [(None, "page"), ("mobile", "page")]
    assert rows[1]["position"] == f"{file}:3:10"
