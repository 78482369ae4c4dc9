"""What would become of a request, told without sending it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway.cli.offline import compile_offline
from gateway.dry_run import dry_run, header_pairs, make_request
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config, write_plugin

CONFIG = """version: 1
plugins:
  - rate_metrics
upstreams:
  up: {endpoints: ['http://127.0.0.1:1', 'http://[::1]:2']}
  canary: {endpoints: ['https://canary.test']}
routes:
  - name: item
    match: {host: api.example.com, path: "/api/items/{id}"}
    to: up
    rewrite: {path: "/items/{id}", query: {set: {v: "2"}}}
    plugins:
      - reads
      - rate_metrics
  - name: some
    match: {path: "/some/**"}
    to: [{upstream: up, weight: 3}, {upstream: canary, weight: 1}, {upstream: up, weight: 0}]
  - {name: old, match: {path: "/v1/**"}, redirect: {to: "/api/{**}", status: 308}}
  - {name: ping, match: {path: /ping, headers: {X-Forwarded-For: "~.*"}}, respond: {status: 204}}
"""
READS = """
from gateway.plugin import Plugin
class Reads(Plugin):
    needs_body = "request"
    def on_request(self, exchange): pass
"""


def run(folder: Path, method: str, url: str, headers: dict[str, Any] | None = None, others: bool = False) -> Any:
    write_plugin(folder, "reads", READS)
    compiled = compile_offline(write_config(folder, CONFIG))
    assert compiled.generation is not None, compiled.problems
    request = make_request(method, url, header_pairs(headers or {}))
    return dry_run(compiled.generation, compiled.loaded, request, others)


def test_what_the_upstream_would_get(tmp_path: Path) -> None:
    found = run(tmp_path, "GET", "https://api.example.com/api/items/a%20b?x=1#part")
    assert found.explanation.route.name == "item"
    assert found.position == f"{tmp_path}/routes.yaml:8:5"
    assert found.target == "/items/a%20b?x=1&v=2"
    (target,) = found.targets
    assert target.urls == ("http://127.0.0.1:1/items/a%20b?x=1&v=2", "http://[::1]:2/items/a%20b?x=1&v=2")
    assert (target.share, found.status) == (1.0, None)
    assert [(entry.name, entry.place.rpartition("routes.yaml:")[2], entry.needs_body) for entry in found.plugins] == [
        ("rate_metrics", "3:5", ""),
        ("reads", "13:9", "request"),
        ("rate_metrics", "14:9", ""),
    ]
    assert found.plugins[1].phases == ("on_request",)


def test_weights(tmp_path: Path) -> None:
    found = run(tmp_path, "POST", "/some/a?b=c")
    assert [(target.upstream, target.share) for target in found.targets] == [("up", 0.75), ("canary", 0.25)]
    assert found.target == "/some/a?b=c"
    assert found.targets[1].urls == ("https://canary.test:443/some/a?b=c",)


def test_answers_of_the_gateway_itself(tmp_path: Path) -> None:
    found = run(tmp_path, "GET", "http://x/v1/items/%41?a=b")
    assert (found.status, found.location, found.targets) == (308, "/api/items/%41?a=b", ())
    missed = run(tmp_path, "GET", "http://x/api/items/1", others=True)
    assert (missed.status, missed.explanation.route) == (404, None)
    assert [entry.name for entry in missed.plugins] == ["rate_metrics"]
    assert {route.name for route, _ in missed.others} == {"item", "some", "old", "ping"}


def test_headers_that_only_trusted_peers_may_send_are_gone(tmp_path: Path) -> None:
    assert run(tmp_path, "GET", "/ping", {"X-Forwarded-For": "1.2.3.4"}).status == 404


def test_the_host_header_goes_before_the_url(tmp_path: Path) -> None:
    for url in ("/api/items/1", "http://127.0.0.1:8080/api/items/1"):
        assert run(tmp_path, "GET", url, {"host": "API.example.com:80"}).explanation.route.name == "item"


def test_json_shows_no_header(tmp_path: Path) -> None:
    data = run(tmp_path, "GET", "http://user:word@api.example.com/api/items/1", {"Cookie": "geheim"}).to_json()
    assert "geheim" not in str(data)
    assert data["request"] == {"method": "GET", "host": "api.example.com", "path": "/api/items/1", "query": ""}
    assert data["targets"][0]["urls"][0] == "http://127.0.0.1:1/items/1?v=2"


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("GET", "", {}),
        ("GET", "http:///a", {}),
        ("GET", "a/b", {}),
        ("GET", "ftp://a/b", {}),
        ("GET", "http://a/b c", {}),
        ("GET", "http://a/\u00e9", {}),
        ("", "/", {}),
        ("G T", "/", {}),
        ("GET", "/", {"a b": "c"}),
        ("GET", "/", {"a": "c\nd"}),
        ("GET", "/", {"a": "\u20ac"}),
        ("GET", "/", {"a": 1}),
        ("GET", "/", {"a": ["b", None]}),
    ],
)
def test_what_is_no_request(method: str, url: str, headers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="is not a|is text"):
        make_request(method, url, header_pairs(headers))


def test_urls() -> None:
    for url, path, query in [
        ("http://a", "/", ""),
        ("HTTPS://a?b", "/", "b"),
        ("/a//b/../c?d=e?f", "/a//b/../c", "d=e?f"),
        ("/*", "/*", ""),
    ]:
        request = make_request("GET", url)
        assert (request.raw_path, request.query) == (path, query)


def test_a_plugin_that_reads_both_bodies(tmp_path: Path) -> None:
    write_plugin(tmp_path, "reads", READS.replace('"request"', '("request", "response")'))
    compiled = compile_offline(write_config(tmp_path, CONFIG))
    assert compiled.generation is not None, compiled.problems
    request = make_request("GET", "http://api.example.com/api/items/1", [])
    found = dry_run(compiled.generation, compiled.loaded, request)
    assert found.plugins[1].needs_body == "request and response"


def test_frontends(tmp_path: Path) -> None:
    plugins = "prefix: /m\nheaders: {X-Client: m}\nplugins: [cors]\n"
    write_frontend(tmp_path, "mobile", plugins + "routes: [{name: page, to: up}]\n", page="")
    write_frontend(tmp_path, "lone", "bind: ':1'\nprefix: /l\n")
    write_plugin(tmp_path, "reads", READS)
    compiled = compile_offline(write_config(tmp_path, CONFIG + INCLUDE))
    assert compiled.generation is not None, compiled.problems
    generation, loaded = compiled.generation, compiled.loaded

    def told(url: str, frontend: str = "", **headers: str) -> dict[str, Any]:
        return dry_run(generation, loaded, make_request("GET", url, headers.items()), True, frontend).to_json()

    data = told("http://a/m/x?y=1", **{"X-Client": "m"})
    assert (data["frontend"], data["route"], data["path"]) == ("mobile", "page", "/x?y=1")
    assert data["request"]["path"] == "/m/x"
    assert data["position"].endswith("bff/mobile.yaml:5:10")
    assert [entry["name"] for entry in data["plugins"]] == ["rate_metrics", "cors"]
    assert [(one["frontend"], one["verdict"]) for one in data["frontends"]] == [
        ("mobile", "chosen"), ("lone", "refused"),
    ]  # fmt: skip
    assert data["frontends"][0]["why"] == "the only frontend that fits"
    data = told("http://a/m/x")
    assert (data["frontend"], data["route"], data["status"]) == (None, None, 404)
    data = told("http://a/m/x", "mobile")
    assert (data["frontend"], data["route"], data["frontends"]) == ("mobile", "page", [])
    data = told("http://a/x", "lone")
    assert (data["frontend"], data["status"], data["why"]) == ("lone", 404, "the path does not begin with /l")
    data = told("http://a/%6d/x", **{"X-Client": "m"})
    assert (data["frontend"], data["status"]) == (None, 400)
    with pytest.raises(LookupError, match="no frontend is named 'none'; there are: lone, mobile"):
        told("http://a/x", "none")


def test_a_frontend_where_there_is_none(tmp_path: Path) -> None:
    compiled = compile_offline(write_config(tmp_path, "version: 1\n"))
    assert compiled.generation is not None
    with pytest.raises(LookupError, match="no frontend is named 'x'; there is none"):
        dry_run(compiled.generation, compiled.loaded, make_request("GET", "/"), frontend="x")


COMPOSED = """version: 1
upstreams:
  catalog: {endpoints: ['http://127.0.0.1:1']}
  users: {endpoints: ['http://127.0.0.1:2']}
routes:
  - name: page
    match: {path: "/p/{id}"}
    compose:
      parts:
        product: {from: catalog, path: "/items/{id}?lang={query.lang:-en}", required: true, method: POST}
        seller: {from: users, path: "/users/{product.seller}/{claims.sub}", when: "product.seller"}
        each: {from: users, path: "/x/{one}", foreach: "[product.a, seller.b]", as: one, on_error: {from: catalog}}
"""


def test_what_each_part_would_ask(tmp_path: Path) -> None:
    compiled = compile_offline(write_config(tmp_path, COMPOSED))
    assert compiled.generation is not None, compiled.problems
    found = dry_run(compiled.generation, compiled.loaded, make_request("GET", "http://x/p/a%20b?lang=de"))
    assert [(part.name, part.method, part.upstream, part.path) for part in found.parts] == [
        ("product", "POST", "catalog", "/items/a%20b?lang=de"),
        ("seller", "GET", "users", "/users/{product.seller}/{claims.sub}"),
        ("each", "GET", "users", "/x/{one}"),
    ]
    assert [part.needs for part in found.parts] == [(), ("product",), ("product", "seller")]
    assert (found.upstreams, found.targets, found.target, found.status) == (("catalog", "users", "users"), (), "", None)
    assert found.to_json()["parts"][1] == {
        "name": "seller",
        "method": "GET",
        "upstream": "users",
        "path": "/users/{product.seller}/{claims.sub}",
        "required": False,
        "needs": ["product"],
        "foreach": None,
        "when": "product.seller",
    }
    assert found.to_json()["parts"][2]["foreach"] == "[product.a, seller.b]"
    assert run(tmp_path, "GET", "/some/a").to_json()["parts"] == []
