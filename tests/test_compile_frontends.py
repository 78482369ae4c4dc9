"""Each frontend is compiled with routes, plugins and a chain of its own, and nothing of two frontends is mixed up."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pytest

from gateway.compile import Generation, compile_table
from gateway.compile_frontends import list_key, unknown_frontends, uses_of
from gateway.config.load import load
from gateway.library import Library
from gateway.routing.frontend import Frontend
from gateway.telemetry.metrics import Metrics
from gateway.testing import make_env
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config, write_plugin

MAIN = """version: 1
plugins: [tracing_ids]
limits: {request_body: 2KiB}
upstreams: {up: {endpoints: ['http://127.0.0.1:1']}}
routes: [{name: page, to: up, plugins: [breaker]}]
"""
PLUGINS = "plugins: [cors]\n"
ROUTE = "routes: [{name: page, to: up, plugins: [breaker]}, {name: plain, match: {path: /p}, to: up}]\n"


def compiled(
    folder: Path, main: str = MAIN, before: Generation | None = None, alone: Collection[str] = ()
) -> tuple[Generation | None, list[str]]:
    loaded = load(write_config(folder, main + INCLUDE), {})
    metrics = Metrics()
    env = make_env(metrics=metrics, upstreams={"up": None})  # type: ignore[dict-item]
    generation, problems = compile_table(loaded, env, metrics, Library(folder), before, alone)
    return generation, [str(problem).removeprefix(f"{folder}/") for problem in problems]


def good(folder: Path, main: str = MAIN, before: Generation | None = None, alone: Collection[str] = ()) -> Generation:
    generation, problems = compiled(folder, main, before, alone)
    assert generation is not None, problems
    return generation


def frontend(generation: Generation, name: str) -> Frontend:
    assert generation.table.frontends is not None
    return generation.table.frontends.named[name]


def names(plugins: object) -> list[str]:
    return [plugin.name for plugin in plugins]  # type: ignore[attr-defined]


def write_two(folder: Path) -> None:
    write_frontend(folder, "mobile", "prefix: /m\nheaders: {X: '1'}\nhosts: [a]\n" + PLUGINS + ROUTE, page="")
    write_frontend(folder, "web", "prefix: /w\nlimits: {request_body: 0}\n" + ROUTE, page="")


def test_frontends(tmp_path: Path) -> None:
    write_two(tmp_path)
    generation = good(tmp_path)
    mobile, web = frontend(generation, "mobile"), frontend(generation, "web")
    assert (mobile.prefix, mobile.hosts, [str(one) for one in mobile.headers]) == ("/m", ("a",), ["header X is '1'"])
    assert (mobile.body_limit, web.body_limit) == (2048, 0)
    assert names(mobile.chain.plugins) == ["tracing_ids", "cors"]
    assert web.chain is generation.table.chain
    page, plain = mobile.router.routes
    assert (page.name, page.id, page.frontend, page.order) == ("page", "mobile/page", "mobile", 0)
    assert names(page.chain.plugins) == ["tracing_ids", "cors", "breaker"]
    assert plain.chain is mobile.chain
    assert [route.id for route in generation.routes()] == [
        "page", "mobile/page", "mobile/plain", "web/page", "web/plain",
    ]  # fmt: skip
    assert generation.table.frontends is not None
    assert generation.table.frontends.body_limit == 2048
    assert good(tmp_path, MAIN.replace("page", "other"), generation).table.frontends is not None


def test_none(tmp_path: Path) -> None:
    assert good(tmp_path).table.frontends is None


def test_plugins_of_routes_with_one_name_are_kept_apart(tmp_path: Path) -> None:
    write_two(tmp_path)
    generation = good(tmp_path)
    keys = [("", "tracing_ids", 1), ("page", "breaker", 1), ("mobile/", "cors", 1), ("mobile/page", "breaker", 1)]
    assert list(generation.plugins) == [*keys, ("web/page", "breaker", 1)]
    generation.take_over()
    found = [name for plugin in generation.plugin("breaker") for name in plugin.breakers()]  # type: ignore[attr-defined]
    assert found == ["page", "mobile/page", "web/page"]
    (cors,) = generation.plugin("cors")
    assert list(generation.served()[cors]) == ["mobile/page", "mobile/plain"]
    assert str(generation.use_of(cors).position).endswith("bff/mobile.yaml:5:11")
    after = good(tmp_path, MAIN, generation)
    assert after.plugins == generation.plugins, "a reload that changes nothing keeps every instance"


def test_one_breaker_at_the_top_has_a_circuit_for_each(tmp_path: Path) -> None:
    route = ROUTE.replace(", plugins: [breaker]", "")
    write_frontend(tmp_path, "mobile", "prefix: /m\n" + route, page="")
    write_frontend(tmp_path, "web", "prefix: /w\n" + route, page="")
    generation = good(tmp_path, MAIN.replace("[tracing_ids]", "[breaker]").replace(", plugins: [breaker]", ""))
    generation.take_over()
    assert list(generation.plugin("breaker")[0].breakers()) == [  # type: ignore[attr-defined]
        "page", "mobile/page", "mobile/plain", "web/page", "web/plain",
    ]  # fmt: skip


def test_names_that_must_be_one_instances(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", "prefix: /m\nplugins: [breaker: {name: b}]\n" + ROUTE, page="")
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [breaker: {name: b, window: 20s}]\n" + ROUTE, page="")
    _, problems = compiled(tmp_path)
    assert [problem for problem in problems if "two plugins 'breaker' are named 'b'" in problem]


def test_what_is_wrong_stands_in_the_frontends_file(tmp_path: Path) -> None:
    text = "prefix: /m\nplugins:\n  - nothing\nroutes:\n  - {name: a, match: {path: '/{'}, to: up, plugins: [none]}\n"
    write_frontend(tmp_path, "mobile", text, page="")
    _, problems = compiled(tmp_path)
    assert [problem.partition(";")[0] for problem in problems] == [
        "bff/mobile.yaml:4:5: no plugin is named 'nothing'",
        "bff/mobile.yaml:6:29: a brace is not closed",
        "bff/mobile.yaml:6:54: no plugin is named 'none'",
    ]
    write_frontend(tmp_path, "mobile", text.replace("/m", "m"), page="")
    _, others = compiled(tmp_path)
    assert [problem.partition(";")[0] for problem in others][1:] == [
        problem.partition(";")[0] for problem in problems
    ], "also where the file does not validate"


def test_shadowed_routes_are_those_of_one_frontend(tmp_path: Path) -> None:
    write_frontend(tmp_path, "a", "prefix: /a\nroutes:\n- {name: x, to: up}\n- {name: y, to: up}\n", page="")
    write_frontend(tmp_path, "b", "prefix: /b\nroutes: [{name: x, to: up}]\n", page="")
    _, problems = compiled(tmp_path)
    assert problems == ["bff/a.yaml:5:3: warning: the route 'y' can never be chosen: 'x' takes all its requests"]


def test_alone(tmp_path: Path) -> None:
    write_two(tmp_path)
    write_frontend(tmp_path, "bound", "bind: ':0'\nprefix: /b\n")
    generation = good(tmp_path, alone=["web", "bound"])
    assert (generation.alone, [one.name for one in generation.frontends]) == (True, ["bound", "web"])
    assert (generation.spec.routes, generation.spec.tests, generation.table.router.routes) == ((), (), ())
    assert list(generation.plugins) == [("", "tracing_ids", 1), ("web/page", "breaker", 1)]
    assert generation.table.frontends is not None
    assert [one.name for one in generation.table.frontends.order] == ["web"], "the other listens elsewhere"
    assert good(tmp_path).alone is False


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("moble", "did you mean 'mobile'? there are: mobile, web"),
        ("x-y-z", "there are: mobile, web"),
        ("", "there are: mobile, web"),
    ],
)
def test_an_unknown_name(tmp_path: Path, name: str, hint: str) -> None:
    write_two(tmp_path)
    generation, problems = compiled(tmp_path, alone=[name])
    assert generation is None
    assert [problem for problem in problems if f"no frontend is named {name!r}; {hint}" in problem], problems


def test_an_unknown_name_where_there_is_no_frontend(tmp_path: Path) -> None:
    loaded = load(write_config(tmp_path, MAIN), {})
    (problem,) = unknown_frontends(loaded, ["web"])
    assert str(problem).endswith("no frontend is named 'web'; no included file begins with `frontend: NAME`")


def test_uses(tmp_path: Path) -> None:
    write_two(tmp_path)
    loaded = load(write_config(tmp_path, MAIN + INCLUDE), {})
    assert loaded.spec is not None
    uses = uses_of(loaded.spec, loaded.frontends)
    assert {key: [use.name for use in found] for key, found in uses.items()} == {
        "": ["tracing_ids"],
        "page": ["breaker"],
        "mobile/": ["cors"],
        "mobile/page": ["breaker"],
        "mobile/plain": [],
        "web/": [],
        "web/page": ["breaker"],
        "web/plain": [],
    }
    assert [list_key(one) for one in loaded.frontends] == ["mobile/", "web/"]


def test_a_local_plugin_is_found(tmp_path: Path) -> None:
    write_plugin(tmp_path, "probe")
    write_frontend(tmp_path, "mobile", "prefix: /m\nplugins: [probe]\n")
    assert names(frontend(good(tmp_path), "mobile").chain.plugins) == ["tracing_ids", "probe"]


def test_what_changes_nothing_of_a_composition_is_told(tmp_path: Path) -> None:
    composed = "{name: NAME, match: {path: /NAME}, compose: {parts: {a: {from: up, path: /a}}}}"
    plain = "{name: plain, to: up}"
    routes = f"routes: [{composed.replace('NAME', 'whole')}, {plain}]\n"
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [transform: {remove: [b]}]\n" + routes, page="")
    write_frontend(tmp_path, "mobile", "prefix: /m\n" + routes.replace("to: up}", "to: up, plugins: [cors]}"), page="")
    (warning,) = compiled(tmp_path)[1]
    assert warning.startswith("bff/web.yaml:4:")
    assert "warning: transform changes nothing of the composition 'whole': shape its parts with `pick`" in warning
