"""Paths that plugins answer themselves: those of plugins at the top on every frontend, others where they are listed."""

from __future__ import annotations

from pathlib import Path

from gateway.compile import Generation
from tests.support.frontends import write_frontend
from tests.support.runtimes import write_plugin
from tests.test_compile import OWN
from tests.test_compile_frontends import compiled, frontend, good

MAIN = "version: 1\nplugins: [own]\nroutes: [{name: a, respond: {}}]\n"


def own(generation: Generation, name: str = "") -> list[tuple[str, list[str]]]:
    router = frontend(generation, name).router if name else generation.table.router
    routes = [route for route in router.routes if ":" in route.name]
    return [(route.id, [plugin.name for plugin in route.chain.plugins]) for route in routes if route.host is None]


def test_of_the_top_level(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN)
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [cors]\n")
    generation = good(tmp_path, MAIN)
    assert own(generation) == [("own:/login", ["own"])]
    assert own(generation, "web") == [("web/own:/login", ["own", "cors"])]
    (plugin,) = generation.plugin("own")
    assert list(generation.served()[plugin]) == ["a", "own:/login", "web/page", "web/own:/login"]


def test_of_a_frontend_and_of_its_routes(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN)
    main = MAIN.replace("plugins: [own]", "plugins: [tracing_ids]")
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [own]\n")
    route = "routes: [{name: a, match: {host: h.example}, respond: {}, plugins: [own: {path: /x}]}]\n"
    write_frontend(tmp_path, "mobile", "prefix: /m\n" + route, page="")
    generation = good(tmp_path, main)
    assert own(generation) == []
    assert own(generation, "web") == [("web/own:/login", ["tracing_ids", "own"])]
    assert own(generation, "mobile") == [("mobile/own:/x", ["tracing_ids", "own"])]
    hosts = [one.host for one in frontend(generation, "mobile").router.routes if ":" in one.name]
    assert hosts == [None, "h.example"]


def test_an_instance_that_spans_routes_answers_wherever_it_is_listed(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN.replace("    own_body", "    spans_routes = True\n    own_body"))
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [own]\n")
    main = MAIN.replace("plugins: [own]\n", "").replace("respond: {}", "respond: {}, plugins: [own]")
    generation = good(tmp_path, main)
    assert len(generation.plugin("own")) == 1
    assert own(generation) == [("own:/login", ["own"])]
    assert own(generation, "web") == [("web/own:/login", ["own"])]


def test_one_path_twice_is_wrong_within_one_frontend(tmp_path: Path) -> None:
    write_plugin(tmp_path, "own", OWN)
    write_frontend(tmp_path, "web", "prefix: /w\nplugins: [own]\n")
    write_frontend(tmp_path, "mobile", "prefix: /m\nplugins: [own]\n")
    assert good(tmp_path, MAIN.replace("[own]", "[cors]"))
    _, problems = compiled(tmp_path, MAIN)
    assert problems == [
        "bff/mobile.yaml:3:11: the plugins 'own' and 'own' (at mobile/) both answer /login; give one another path",
        "bff/web.yaml:3:11: the plugins 'own' and 'own' (at web/) both answer /login; give one another path",
    ]
