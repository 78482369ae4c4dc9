"""The `tests:` of a configuration pass, or say at their place what is different and why."""

from pathlib import Path

import pytest

from gateway.cli.offline import compile_offline
from gateway.route_tests import count_route_tests, run_route_tests
from tests.support.frontends import INCLUDE, write_frontend
from tests.support.runtimes import write_config

CONFIG = """version: 1
upstreams:
  up: {endpoints: ['http://127.0.0.1:1']}
  canary: {endpoints: ['http://127.0.0.1:2']}
routes:
  - {name: item, match: {path: "/items/{id}", methods: [GET]}, to: up, rewrite: {path: "/i/{id}"}}
  - {name: some, match: {path: "/some/**"}, to: [{upstream: up}, {upstream: canary}]}
  - {name: old, match: {path: "/v1/**"}, redirect: {to: "/{**}"}}
tests:
"""


def failures(folder: Path, test: str) -> list[str]:
    compiled = compile_offline(write_config(folder, f"{CONFIG}  - {test}\n"))
    assert compiled.generation is not None, compiled.problems
    found = run_route_tests(compiled.generation, compiled.loaded)
    return [str(problem).replace(f"{folder}/", "") for problem in found]


@pytest.mark.parametrize(
    "test",
    [
        '{request: "GET http://a/items/1?x=y", expect: {route: item, upstream: up, path: /i/1}}',
        '{request: "GET http://a/items/1?x=y", expect: {path: "/i/1?x=y"}}',
        '{request: "HEAD /items/1", expect: {route: item}}',
        '{request: "GET /some/x", expect: {upstream: canary}}',
        '{request: "GET /some/x", expect: {upstream: up, path: /some/x}}',
        '{request: "GET /v1/x", expect: {route: old, status: 307}}',
        '{request: "GET /nowhere", expect: {status: 404}}',
        '{request: "POST /items/1", expect: {status: 405}}',
        '{request: "GET /some/..%2fitems/1", expect: {status: 400}}',
    ],
)
def test_passes(tmp_path: Path, test: str) -> None:
    assert failures(tmp_path, test) == []


@pytest.mark.parametrize(
    ("test", "said"),
    [
        (
            '{request: "GET /items/1", expect: {route: some}}',
            "routes.yaml:10:47: route test 'GET /items/1': expected the route 'some', got the route 'item'; "
            "of some: segment 1 is 'items', not 'some'",
        ),
        (
            '{request: "POST /items/1", expect: {route: item}}',
            "routes.yaml:10:48: route test 'POST /items/1': expected the route 'item', got no route (405); "
            "item refuses: method is GET or HEAD, and it is POST",
        ),
        (
            '{request: "GET /items/1", expect: {upstream: canary}}',
            "routes.yaml:10:50: route test 'GET /items/1': expected the upstream 'canary', got the route 'item', to up",
        ),
        (
            '{request: "GET /items/1", expect: {path: /items/1}}',
            "routes.yaml:10:46: route test 'GET /items/1': expected the path '/items/1', got '/i/1'",
        ),
        (
            '{request: "GET /v1/1", expect: {path: /1}}',
            "routes.yaml:10:43: route test 'GET /v1/1': expected the path '/1', got the route 'old'",
        ),
        (
            '{request: "GET /items/1", expect: {status: 200}}',
            "routes.yaml:10:48: route test 'GET /items/1': expected the status 200, got the route 'item', "
            "where the upstream decides",
        ),
        (
            '{request: "GET /nowhere", expect: {status: 405}}',
            "routes.yaml:10:48: route test 'GET /nowhere': expected the status 405, got 404",
        ),
    ],
)
def test_fails(tmp_path: Path, test: str, said: str) -> None:
    assert failures(tmp_path, test) == [said]


def test_every_difference_is_told(tmp_path: Path) -> None:
    found = failures(tmp_path, '{request: "GET /x", expect: {route: item, upstream: up, path: /y, status: 200}}')
    assert len(found) == 4


def test_tests_of_included_files(tmp_path: Path) -> None:
    (tmp_path / "more.yaml").write_text('tests:\n  - {request: "GET /x", expect: {route: item}}\n')
    compiled = compile_offline(write_config(tmp_path, "include: [more.yaml]\n" + CONFIG))
    assert compiled.generation is not None
    (problem,) = run_route_tests(compiled.generation, compiled.loaded)
    assert problem.position == (str(tmp_path / "more.yaml"), 2, 41)


MOBILE = """prefix: /m
routes: [{name: item, match: {path: "/items/{id}"}, to: up}]
tests:
  - {request: "GET %s", expect: %s}
"""


@pytest.mark.parametrize(
    ("more", "url", "expect", "said"),
    [
        ("", "/m/items/1", "{route: item, path: /items/1}", None),
        ("", "/m/none", "{status: 404}", None),
        (
            "",
            "/items/1",
            "{status: 404}",
            "5:15: {}it belongs to no frontend, not to the frontend 'mobile': the route",
        ),
        ("", "/m/items/1", "{path: /a}", "5:48: {}expected the path '/a', got '/items/1'"),
        ("bind: ':1'\nhosts: [m.example]\n", "http://x/m/items/1", "{route: item}", None),
        ("bind: ':1'\n", "/items/1", "{status: 404}", None),
        ("bind: ':1'\n", "/%6d/items/1", "{status: 400}", None),
        ("bind: ':1'\n", "/m/items/1", "{status: 404}", "6:50: {}expected the status 404, got the route 'item', where"),
    ],
)
def test_tests_of_a_frontend(tmp_path: Path, more: str, url: str, expect: str, said: str | None) -> None:
    write_frontend(tmp_path, "mobile", more + MOBILE % (url, expect), page="")
    compiled = compile_offline(write_config(tmp_path, CONFIG.replace("tests:", INCLUDE)))
    assert compiled.generation is not None, compiled.problems
    assert count_route_tests(compiled.generation) == 1
    found = [str(one).partition("mobile.yaml:")[2] for one in run_route_tests(compiled.generation, compiled.loaded)]
    if said is None:
        assert found == []
    else:
        (problem,) = found
        assert problem.startswith(said.replace("{}", f"route test 'GET {url}': "))


def test_a_test_of_the_main_file_that_a_frontend_takes(tmp_path: Path) -> None:
    write_frontend(tmp_path, "mobile", MOBILE.partition("tests:")[0], page="")
    config = CONFIG.replace("tests:", INCLUDE + "tests:") + '  - {request: "GET /m/items/1", expect: {route: item}}\n'
    compiled = compile_offline(write_config(tmp_path, config))
    assert compiled.generation is not None, compiled.problems
    (problem,) = run_route_tests(compiled.generation, compiled.loaded)
    assert "it belongs to the frontend 'mobile', not to no frontend: the route 'item'" in problem.message


COMPOSED = """version: 1
upstreams:
  up: {endpoints: ['http://127.0.0.1:1']}
  users: {endpoints: ['http://127.0.0.1:2']}
  other: {endpoints: ['http://127.0.0.1:3']}
routes:
  - name: page
    match: {path: "/p/{id}"}
    compose:
      parts:
        product: {from: up, path: "/items/{id}", on_error: {from: other}}
        seller: {from: users, path: /x}
tests:
  - {request: "GET /p/1", expect: {route: page, upstream: up}}
  - {request: "GET /p/1", expect: {upstream: users}}
  - {request: "GET /p/1", expect: {upstream: other, path: /items/1, status: 200}}
"""


def test_compositions_ask_several(tmp_path: Path) -> None:
    compiled = compile_offline(write_config(tmp_path, COMPOSED))
    assert compiled.generation is not None, compiled.problems
    found = [str(problem) for problem in run_route_tests(compiled.generation, compiled.loaded)]
    assert [one.partition("'GET /p/1': ")[2] for one in found] == [
        "expected the upstream 'other', got the route 'page', to up and users",
        "expected the path '/items/1', got the route 'page'",
        "expected the status 200, got the route 'page', where the upstream decides",
    ]
