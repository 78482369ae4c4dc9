"""What a demo is made of."""

import sys
from pathlib import Path

import pytest
import yaml

from gateway.config.fields import Bind
from gateway.demo.plan import LOGIN_ROUTES, PACKAGED_ROUTES, SAMPLES, connectable, make_plan

ROOT = Path(__file__).resolve().parents[2]


def test_the_packaged_routes_are_those_of_the_repository() -> None:
    assert PACKAGED_ROUTES.read_text() == (ROOT / "routes.yaml").read_text(), "cp routes.yaml gateway/demo/routes.yaml"
    frontends = {path.name: path.read_text() for path in (ROOT / "bff").glob("*.yaml")}
    packaged = {path.name: path.read_text() for path in PACKAGED_ROUTES.parent.glob("bff/*.yaml")}
    assert packaged == frontends, "cp bff/*.yaml gateway/demo/bff/"


def test_every_sample_shows_a_route_and_every_route_has_a_sample() -> None:
    routes = yaml.safe_load(PACKAGED_ROUTES.read_text())["routes"]

    assert {route for route, _, _ in SAMPLES} | LOGIN_ROUTES == {route["name"] for route in routes}


def test_the_packaged_routes_are_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    plan = make_plan()

    assert plan.config == PACKAGED_ROUTES
    assert plan.gateway_command == [sys.executable, "-P", "-m", "gateway", "run", "-c", str(PACKAGED_ROUTES)]


def test_routes_in_the_current_folder_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("routes.yaml").write_text("version: 1\nlisteners: [{bind: '[::]:80'}]\nadmin: {bind: 127.0.0.1:1}")

    plan = make_plan()

    assert (plan.config, plan.listener, plan.admin) == (Path("routes.yaml"), Bind("::", 80), Bind("127.0.0.1", 1))


def test_a_named_file_and_options_win(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("version: 1\nadmin: {bind: 127.0.0.1:1}")

    plan = make_plan(file, ["--bind", "127.0.0.1:2", "--admin=127.0.0.1:3"])

    assert (plan.config, plan.listener, plan.admin) == (file, Bind("127.0.0.1", 2), Bind("127.0.0.1", 3))
    assert plan.gateway_command[-4:] == [str(file), "--bind", "127.0.0.1:2", "--admin=127.0.0.1:3"]


def test_a_variable_is_filled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEMO_ADMIN", "127.0.0.1:4")
    file = tmp_path / "routes.yaml"
    file.write_text("version: 1\nadmin: {bind: '${DEMO_ADMIN}'}")

    assert make_plan(file).admin == Bind("127.0.0.1", 4)


@pytest.mark.parametrize("text", ["", "[", "- 1", "version: 1\nadmin: {bind: no}"])
def test_what_is_wrong_with_a_file_or_an_option_is_left_to_the_gateway(tmp_path: Path, text: str) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text(text)

    for plan in (make_plan(file), make_plan(tmp_path / "missing.yaml"), make_plan(file, ["--admin", "no"])):
        assert plan.admin == Bind("127.0.0.1", 9901)


def test_everything_that_will_listen_is_known() -> None:
    addresses = [str(bind) for _, bind in make_plan(PACKAGED_ROUTES).binds()]

    services = ["127.0.0.1:9001", "127.0.0.1:9002", "127.0.0.1:9003", "127.0.0.1:9004"]
    assert addresses == [*services, "0.0.0.0:8080", "0.0.0.0:8082", "0.0.0.0:8081", "127.0.0.1:9901"]


def test_the_greeting_has_whole_lines_to_paste() -> None:
    greeting = make_plan(PACKAGED_ROUTES).greeting()

    assert greeting.startswith("ready: ")
    assert "four sample services" in greeting
    assert "  curl -i http://127.0.0.1:8080/api/items/42 " in greeting
    assert "Admin: http://127.0.0.1:9901/ " in greeting
    assert "http://127.0.0.1:9001/_switch" in greeting
    assert '  curl -i http://127.0.0.1:8080/api/me -H "Authorization: Bearer $token"' in greeting.splitlines()


def test_the_greeting_shows_only_routes_that_exist(tmp_path: Path) -> None:
    file = tmp_path / "routes.yaml"
    file.write_text("version: 1\nroutes: [{name: mine, match: {path: /}, respond: {status: 204}}]")

    greeting = make_plan(file).greeting()

    assert "/api/items" not in greeting
    assert f"gateway routes -c {file}" in greeting


@pytest.mark.parametrize(
    ("bound", "reached"),
    [
        ("0.0.0.0:80", "127.0.0.1:80"),
        (":80", "127.0.0.1:80"),
        ("[::]:80", "[::1]:80"),
        ("[::1]:80", "[::1]:80"),
        ("10.0.0.1:80", "10.0.0.1:80"),
    ],
)
def test_a_listener_is_reached_from_this_machine(bound: str, reached: str) -> None:
    assert str(connectable(Bind.parse(bound))) == reached
