"""`gateway check`: all errors at once, warnings, route tests, and an exit code for CI."""

import json
from pathlib import Path

import pytest

from gateway.demo.plan import PACKAGED_ROUTES
from tests.support.commands import command, config, json_of
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_plugin

ROOT = Path(__file__).parents[2]
WARNS = "version: 1\nroutes:\n  - {name: a, respond: {}}\n  - {name: b, respond: {}}\n"


@pytest.mark.parametrize("path", [ROOT / "docs/example.yaml", ROOT / "routes.yaml", PACKAGED_ROUTES])
def test_our_own_files_are_right(path: Path) -> None:
    result = command("check", "-c", path, "--strict")
    assert result.exit_code == 0, result.output
    assert "no errors" in result.output
    assert " 0 route tests" not in result.output


def test_every_error_with_its_line_and_a_caret(tmp_path: Path) -> None:
    path = config(tmp_path, "version: 1\nplugins: [cros]\nroutes:\n  - {nam: a}\n  - {name: b, too: x}\n")
    result = command("check", "-c", path)
    assert result.exit_code == 1
    assert f"{path}:4:6: unknown key 'nam' in routes[0]; did you mean 'name'?" in result.output
    assert "     4 |   - {nam: a}\n       |      ^\n" in result.output
    assert f"{path}:5:15: unknown key 'too' in routes[1]; did you mean 'to'?" in result.output
    assert result.output.endswith(" errors\n")


def test_warnings_are_errors_when_strict(tmp_path: Path) -> None:
    path = config(tmp_path, WARNS)
    result = command("check", "-c", path)
    assert (result.exit_code, result.output.splitlines()[-1]) == (0, f"{path}: no errors, 1 warning, 0 route tests run")
    assert "warning: the route 'b' can never be chosen: 'a' takes all its requests" in result.output
    result = command("check", "-c", path, "--strict")
    assert (result.exit_code, result.output.splitlines()[-1]) == (1, f"{path}: 1 error, 0 route tests run")
    assert ": warning:" not in result.output


def test_route_tests_that_fail(tmp_path: Path) -> None:
    path = config(tmp_path, WARNS + 'tests:\n  - {request: "GET /x", expect: {route: b}}\n')
    result = command("check", "-c", path)
    assert result.exit_code == 1
    assert f"{path}:6:41: route test 'GET /x': expected the route 'b', got the route 'a'" in result.output
    assert result.output.splitlines()[-1] == f"{path}: 1 error, 1 warning, 1 route test run"


def test_json(tmp_path: Path) -> None:
    path = config(tmp_path, WARNS)
    data = json_of("check", "-c", path)
    assert (data["file"], data["ok"], data["errors"], data["warnings"], data["tests"]) == (str(path), True, 0, 1, 0)
    (problem,) = data["problems"]
    assert (problem["line"], problem["column"], problem["severity"]) == (4, 5, "warning")
    assert problem["text"].endswith("^")
    result = command("check", "-c", path, "--strict", "--format", "json")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["ok"], data["errors"], data["problems"][0]["severity"]) == (1, False, 1, "error")


def test_a_missing_file(tmp_path: Path) -> None:
    result = command("check", "-c", tmp_path / "none.yaml")
    assert result.exit_code == 1
    assert "none.yaml:1:1: cannot read the file: no such file or directory" in result.output


def test_plugins_are_made_and_not_started(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    path = config(tmp_path, "version: 1\nplugins: [probe: {fails: true}]\n")
    assert command("check", "-c", path).exit_code == 0
    path.write_text("version: 1\nplugins: [probe: {fails: maybe, key: geheim}]\n")
    result = command("check", "-c", path)
    assert result.exit_code == 1
    assert "geheim" not in result.output


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim")
    text = 'version: 1\nroutes:\n  - {name: a, match: {headers: {X: "${file:secret}"}}, respond: {}}\n'
    text += 'tests:\n  - {request: "GET /", expect: {route: a}}\n'
    result = command("check", "-c", config(tmp_path, text))
    assert result.exit_code == 1
    assert "geheim" not in result.output


def test_a_limit_in_redis_is_checked_without_redis(tmp_path: Path) -> None:
    text = "version: 1\nplugins: [rate_limit: {rate: 1/s, store: redis}]\nroutes: [{name: a, respond: {status: 204}}]\n"
    without = command("check", "-c", config(tmp_path, text))
    assert without.exit_code == 1
    assert "store: redis needs" in without.output
    assert command("check", "-c", config(tmp_path, text + "state: {redis: 'redis://127.0.0.1:1/0'}\n")).exit_code == 0


def test_tests_of_frontends_are_counted(tmp_path: Path) -> None:
    tests = "tests: [{request: GET /m/page/1, expect: {route: page}}]\n"
    write_frontend(tmp_path, "mobile", "prefix: /m\n" + tests)
    path = config(tmp_path, "version: 1\n" + INCLUDE)
    assert command("check", "-c", path).output == f"{path}: no errors, 1 route test run\n"
