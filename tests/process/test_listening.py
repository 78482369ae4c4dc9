"""Where a configuration listens: `listeners`, and the binds of frontends, each with its own limits."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from gateway.compile import Generation, compile_table
from gateway.config.fields import Bind
from gateway.config.load import Loaded, load
from gateway.config.specs import ListenerSpec
from gateway.library import Library
from gateway.process.listening import client_settings, misplaced, moved, places, served_at
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config

MAIN = """version: 1
listeners: [{bind: '127.0.0.1:1', half_close: allow}, {bind: '127.0.0.1:2'}]
limits: {request_body: 100B, request_head: 1KiB, connections: 7}
timeouts: {idle: 3s}
"""
OTHER = [ListenerSpec(bind=Bind("127.0.0.1", 9))]
BIND = "bind: 127.0.0.1:3\n"


def made(folder: Path, alone: Collection[str] = (), main: str = MAIN) -> tuple[Generation, Loaded]:
    loaded = load(write_config(folder, main + INCLUDE), {})
    metrics = Metrics()
    generation, problems = compile_table(loaded, make_env(metrics=metrics), metrics, Library(folder), None, alone)
    assert generation is not None, problems
    return generation, loaded


def shown(folder: Path, alone: Collection[str] = (), binds: list[ListenerSpec] | None = None) -> list[object]:
    """Port, whose it is, the longest body."""
    found = places(made(folder, alone)[0], binds)
    return [(place.bind.port, place.settings.frontend, place.settings.request_body) for place in found]


def test_without_frontends(tmp_path: Path) -> None:
    generation, _ = made(tmp_path)
    first, second = places(generation)
    assert (first.bind.port, first.shared, first.settings.half_close, second.settings.half_close) == (
        1,
        True,
        True,
        False,
    )
    assert (first.settings.idle_timeout, first.settings.connections, first.settings.frontend) == (3.0, 7, "")
    assert first.settings.untrusted_policy is second.settings.untrusted_policy, "what is remembered serves both"
    assert client_settings(generation).request_head == 1024
    assert shown(tmp_path, binds=OTHER) == [(9, "", 100)]
    assert served_at(generation, first.settings) == ""


def test_a_bind_has_the_limits_of_its_frontend(tmp_path: Path) -> None:
    limits = "limits: {request_head: 2KiB, header_count: 3, request_body: 0B, connections: 4}\n"
    write_frontend(tmp_path, "mobile", BIND + limits)
    generation, _ = made(tmp_path)
    assert shown(tmp_path) == [(1, "", 100), (2, "", 100), (3, "mobile", 0)]
    own = places(generation)[2]
    settings = own.settings
    assert (settings.request_head, settings.header_count, settings.connections) == (2048, 3, 4)
    assert (own.shared, settings.half_close, settings.idle_timeout) == (False, False, 3.0)
    write_frontend(tmp_path, "mobile", BIND)
    assert places(made(tmp_path)[0])[2].settings.connections == 7, "what it does not name is the main file's"


@pytest.mark.parametrize(("limit", "most"), [("50B", 100), ("200B", 200)])
def test_shared_listeners_take_the_longest_body_that_any_may_have(tmp_path: Path, limit: str, most: int) -> None:
    write_frontend(tmp_path, "mobile", f"prefix: /m\nlimits: {{request_body: {limit}}}\n")
    write_frontend(tmp_path, "web", "prefix: /w\n")
    assert shown(tmp_path) == [(1, "", most), (2, "", most)]


def test_alone(tmp_path: Path) -> None:
    write_frontend(tmp_path, "bound", BIND + "limits: {request_body: 1B}\n")
    write_frontend(tmp_path, "mobile", "prefix: /m\nlimits: {request_body: 2B}\n")
    write_frontend(tmp_path, "web", "prefix: /w\nlimits: {request_body: 300B}\n")
    assert shown(tmp_path, ["bound"]) == [(3, "bound", 1)]
    assert shown(tmp_path, ["mobile"]) == [(1, "mobile", 2), (2, "mobile", 2)]
    assert shown(tmp_path, ["mobile", "bound"]) == [(1, "mobile", 2), (2, "mobile", 2), (3, "bound", 1)]
    assert shown(tmp_path, ["mobile", "web"]) == [(1, "", 300), (2, "", 300)]


def test_another_bind(tmp_path: Path) -> None:
    write_frontend(tmp_path, "bound", BIND)
    write_frontend(tmp_path, "mobile", "prefix: /m\n")
    write_frontend(tmp_path, "web", "prefix: /w\n")
    assert shown(tmp_path, binds=OTHER) == [(9, "", 100), (3, "bound", 100)]
    assert shown(tmp_path, ["bound"], OTHER) == [(9, "bound", 100)]
    assert shown(tmp_path, ["mobile"], OTHER) == [(9, "mobile", 100)]
    assert shown(tmp_path, ["mobile", "web"], OTHER) == [(9, "", 100)]


def test_a_bind_that_nobody_listens_on(tmp_path: Path) -> None:
    write_frontend(tmp_path, "bound", BIND)
    write_frontend(tmp_path, "other", "bind: 127.0.0.1:4\n")
    write_frontend(tmp_path, "web", "prefix: /w\n")

    def problems(*alone: str, binds: list[ListenerSpec] | None = OTHER) -> list[str]:
        generation, loaded = made(tmp_path, alone)
        return [problem.message for problem in misplaced(generation, loaded, binds)]

    assert problems("bound", "other") == ["nobody listens on 127.0.0.1:9: bound, other have a bind of their own"]
    assert problems("bound", "web") == problems("bound") == problems() == []
    assert problems("bound", "other", binds=None) == []


def test_who_is_served_where(tmp_path: Path) -> None:
    write_frontend(tmp_path, "bound", BIND)
    write_frontend(tmp_path, "mobile", "prefix: /m\n")
    write_frontend(tmp_path, "web", "prefix: /w\n")

    def texts(alone: Collection[str] = ()) -> list[str]:
        generation, _ = made(tmp_path, alone)
        return [served_at(generation, place.settings) for place in places(generation)[-2:]]

    assert texts() == [" for routes without a frontend and the frontends mobile, web", " for the frontend bound"]
    assert texts(["mobile", "bound"]) == [" for the frontend mobile", " for the frontend bound"]
    assert texts(["mobile", "web"])[0] == " for the frontends mobile, web"


def test_the_order_of_files_is_not_that_of_addresses(tmp_path: Path) -> None:
    write_frontend(tmp_path, "1", BIND).write_text("frontend: web\nbind: 127.0.0.1:4\n")
    write_frontend(tmp_path, "2", BIND).write_text("frontend: mobile\nbind: 127.0.0.1:3\n")
    assert shown(tmp_path)[-2:] == [(3, "mobile", 100), (4, "web", 100)]


def test_binds_cannot_be_moved(tmp_path: Path) -> None:
    def after(bind: str, main: str = MAIN) -> list[str]:
        write_frontend(tmp_path, "mobile", f"{bind}prefix: /m\n")
        generation, loaded = made(tmp_path, main=main)
        found = moved(before, generation, loaded, None)
        return [
            f"{problem.position[0].rpartition('/')[2]}:{problem.position[1]} {problem.message}" for problem in found
        ]

    write_frontend(tmp_path, "mobile", BIND + "prefix: /m\n")
    before, _ = made(tmp_path)
    text = "a reload cannot change where the frontend 'mobile' listens, 127.0.0.1:3"
    assert after(BIND) == []
    assert after("bind: 127.0.0.1:4\n") == [f"mobile.yaml:2 {text}"]
    assert after("") == [f"mobile.yaml:1 {text}"]
    listens = "routes.yaml:2 a reload cannot change where the gateway listens, 127.0.0.1:1, 127.0.0.1:2"
    assert after(BIND, MAIN.replace(":2'", ":4'")) == [listens]
    (tmp_path / "bff" / "mobile.yaml").unlink()
    generation, loaded = made(tmp_path)
    (problem,) = moved(before, generation, loaded, None)
    assert (problem.message, problem.position[1]) == (text, 5)
    assert moved(generation, generation, loaded, OTHER) == []
    (problem,) = moved(generation, before, loaded, None)
    assert problem.message.endswith("'mobile' listens, not on a listener of its own")


def test_what_stands_before_requests(tmp_path: Path) -> None:
    main = """version: 1
listeners:
  - {bind: '127.0.0.1:1', proxy_protocol: [10.0.0.0/8, unix]}
  - {bind: 'unix:/run/a.sock', mode: "0660", passthrough: [{names: [a.b, "*.c"], to: x, idle: 5s}]}
upstreams: {x: {endpoints: ['unix:/run/x.sock'], proxy_protocol: v2}}
"""
    generation, _ = made(tmp_path, main=main)
    first, second = places(generation)
    assert [str(peer) for peer in first.settings.proxy_protocol] == ["10.0.0.0/8", "unix"]
    assert (first.settings.passthrough, first.settings.has_preface, second.settings.has_preface) == (None, True, True)
    assert (second.bind.path, second.bind.mode) == ("/run/a.sock", 0o660)
    assert second.settings.passthrough is not None
    found = second.settings.passthrough.find("z.c")
    assert found is not None
    assert (found.idle, second.settings.passthrough.find("c")) == (5.0, None)
    (endpoint,) = generation.endpoints.values()
    assert (endpoint.address, endpoint.pool.limits.proxy_protocol) == ("unix:/run/x.sock", "v2")
    assert not places(made(tmp_path)[0])[0].settings.has_preface
