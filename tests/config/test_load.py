"""A configuration is read whole: includes merged, everything that is wrong told at once, at its place."""

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.document import parse
from gateway.config.load import Loaded, load
from gateway.config.problems import Position

HEAD = "version: 1\nupstreams:\n  catalog: {endpoints: ['http://127.0.0.1:9001']}\n"
EXAMPLE = Path(__file__).parents[2] / "docs" / "example.yaml"


class Folder:
    """A folder of configuration files."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def write(self, name: str, text: str) -> None:
        (self.path / name).parent.mkdir(exist_ok=True)
        (self.path / name).write_text(text)

    def load(self, text: str, environ: Mapping[str, str] | None = None) -> Loaded:
        self.write("routes.yaml", text)
        return load(self.path / "routes.yaml", environ or {})

    def reload(self) -> Loaded:
        return load(self.path / "routes.yaml", {})

    def problems(self, text: str, environ: Mapping[str, str] | None = None) -> list[str]:
        loaded = self.load(text, environ)
        if any(problem.severity == "error" for problem in loaded.problems):
            assert loaded.spec is None
        return [str(problem).replace(f"{self.path}/", "") for problem in loaded.problems]


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_the_example_of_the_documentation_is_right() -> None:
    loaded = load(EXAMPLE, {})
    assert loaded.problems == ()
    assert loaded.spec is not None
    assert [route.name for route in loaded.spec.routes] == ["item", "canary", "old", "ping"]
    assert [use.name for use in loaded.spec.plugins] == ["tracing_ids", "rate_metrics", "access_log"]
    assert loaded.files == (EXAMPLE, EXAMPLE.parent / "bff" / "mobile.yaml")


def test_the_smallest_file(folder: Folder) -> None:
    loaded = folder.load("version: 1\n")
    assert loaded.problems == ()
    assert loaded.spec is not None
    assert loaded.spec.routes == ()


def test_a_top_level_key_with_nothing_under_it_is_absent(folder: Folder) -> None:
    assert folder.problems("version: 1\nroutes:\nupstreams:\nlimits:\nadmin:\nplugins:\ninclude:\ntests:\n") == []
    assert folder.problems("version:\n") == ["routes.yaml:1:9: version: is empty; it should be 1"]


def test_a_missing_file_is_a_problem(tmp_path: Path) -> None:
    loaded = load(tmp_path / "none.yaml", {})
    assert loaded.spec is None
    assert [str(problem) for problem in loaded.problems] == [
        f"{tmp_path}/none.yaml:1:1: cannot read the file: no such file or directory"
    ]
    assert loaded.position(("routes", 0)) == Position(f"{tmp_path}/none.yaml", 1, 1)
    assert loaded.files == (tmp_path / "none.yaml",)


def test_everything_that_is_wrong_comes_at_once_in_order(folder: Folder) -> None:
    folder.write("more/a.yaml", "routs: []\nroutes: [{name: one, to: nowhere}]\n")
    text = """\
version: 1
nmae: edge
limits: {request_head: 32}
upstreams:
  catalog: {endpoints: [ftp://abc], banlance: x}
routes:
  - {name: one, too: catalog}
  - {name: two, to: catlog, match: {path: x, query: {a: "~("}}}
  - {to: "${NOWHERE}"}
routes: []
include: [more/*.yaml, none.yaml]
"""
    assert folder.problems(text) == [
        "routes.yaml:2:1: unknown key 'nmae'; did you mean 'name'?",
        "routes.yaml:3:24: limits.request_head: '32' has no unit; write 32B",
        "routes.yaml:5:25: upstreams.catalog.endpoints[0]: 'ftp' is not a scheme for an endpoint;"
        " write http://HOST:PORT or https://HOST:PORT",
        "routes.yaml:5:37: unknown key 'banlance' in upstreams.catalog; did you mean 'balance'?",
        "routes.yaml:7:17: unknown key 'too' in routes[0]; did you mean 'to'?",
        "routes.yaml:8:21: unknown upstream 'catlog'; did you mean 'catalog'?",
        "routes.yaml:8:43: routes[1].match.path: a path begins with '/'; write /x",
        "routes.yaml:8:57: routes[1].match.query.a: '(' is not a regular expression:"
        " missing ), unterminated subpattern at position 0",
        "routes.yaml:9:5: missing key 'name' in routes[2]",
        "routes.yaml:9:10: the variable NOWHERE is not set; set it, or write ${NOWHERE:-default}",
        "routes.yaml:10:1: duplicate key 'routes'; it is already on line 6",
        "routes.yaml:11:24: warning: include: 'none.yaml' matches no file",
        "more/a.yaml:1:1: unknown key 'routs'; did you mean 'routes'?",
        "more/a.yaml:2:17: two routes are named 'one'; the other is at routes.yaml:7:12",
        "more/a.yaml:2:26: unknown upstream 'nowhere'; there are: catalog",
    ]


def test_a_problem_is_rendered_with_its_line(folder: Folder) -> None:
    folder.write("more/a.yaml", "routes:\n  - {name: a, to: catalogue}\n")
    loaded = folder.load(HEAD + "include: [more/*]\n")
    (problem,) = loaded.problems
    assert loaded.render(problem).splitlines() == [
        f"{folder.path}/more/a.yaml:2:19: unknown upstream 'catalogue'; did you mean 'catalog'?",
        "     2 |   - {name: a, to: catalogue}",
        "       |                   ^",
    ]


def test_version_is_required_in_the_main_file_only(folder: Folder) -> None:
    folder.write("a.yaml", "version: 1\nroutes: []\n")
    folder.write("b.yaml", "version: 2\nroutes: []\n")
    folder.write("c.yaml", "routes: []\n")
    assert folder.problems("include: ['[abc].yaml']\n") == [
        "routes.yaml:1:1: missing key 'version'",
        "b.yaml:1:10: version: should be 1",
    ]


def test_includes_add_routes_upstreams_and_tests(folder: Folder) -> None:
    folder.write("more/b.yaml", "routes: [{name: b, to: beta}]\nupstreams: {beta: {endpoints: ['http://b']}}\n")
    folder.write("more/a.yaml", "routes: [{name: a, to: catalog}]\ntests: [{request: GET /, expect: {route: b}}]\n")
    loaded = folder.load(HEAD + "routes: [{name: main, to: catalog}]\ninclude: [more/*.yaml, 'more/b*', '*.yaml']\n")
    assert loaded.problems == ()
    assert loaded.spec is not None
    assert [route.name for route in loaded.spec.routes] == ["main", "a", "b"]
    assert list(loaded.spec.upstreams) == ["catalog", "beta"]
    assert [test.request for test in loaded.spec.tests] == ["GET /"]
    assert [file.name for file in loaded.files] == ["routes.yaml", "a.yaml", "b.yaml"]


def test_places_in_the_merged_spec(folder: Folder) -> None:
    folder.write(
        "a.yaml", "routes:\n  - {name: a, match: {path: /a}, to: beta}\nupstreams:\n  beta: {endpoints: ['http://b']}\n"
    )
    loaded = folder.load(HEAD + "routes: [{name: main, to: catalog}]\ninclude: [a.yaml]\n")
    included = f"{folder.path}/a.yaml"
    assert loaded.position(("routes", 0)) == (f"{folder.path}/routes.yaml", 4, 10)
    assert loaded.position(("routes", 1)) == (included, 2, 5)
    assert loaded.position(("routes", 1, "match", "path")) == (included, 2, 29)
    assert loaded.position(("routes", 1, "rewrite", "path")) == (included, 2, 5)
    assert loaded.key_position(("upstreams", "beta")) == (included, 4, 3)
    assert loaded.key_position(("upstreams", "catalog")) == (f"{folder.path}/routes.yaml", 3, 3)
    assert loaded.position(("limits", "connections")) == (f"{folder.path}/routes.yaml", 1, 1)


def test_plugins_know_their_place(folder: Folder) -> None:
    loaded = folder.load(HEAD + "plugins: [a]\nroutes:\n- name: r\n  to: catalog\n  plugins:\n  - b: {x: 1}\n  - c\n")
    assert loaded.spec is not None
    lines = [(use.name, use.position.line, use.position.column) for use in loaded.spec.plugins]
    lines += [(use.name, use.position.line, use.position.column) for use in loaded.spec.routes[0].plugins]
    assert lines == [("a", 4, 11), ("b", 9, 5), ("c", 10, 5)]


@pytest.mark.parametrize(
    ("text", "problem"),
    (
        ("plugins: {a: 1}", "4:10: plugins: should be a list"),
        ("plugins: [{a: 1}]", "4:11: plugins[0]: the options of 'a' should be a mapping (key: value)"),
        (
            "routes: [{name: r, to: catalog, plugins: [7]}]",
            "4:43: routes[0].plugins[0]: a plugin is NAME or NAME: {options}",
        ),
        ("routes: {name: r}", "4:9: routes: should be a list"),
        ("routes: [r]", "4:10: routes[0]: should be a mapping (key: value)"),
        ("upstreams: x", "4:1: duplicate key 'upstreams'; it is already on line 2"),
        ("trusted_proxies: [10.0.0.1/8]", "4:19: trusted_proxies[0]: '10.0.0.1/8' has host bits set; write 10.0.0.0/8"),
        (
            "routes: [{name: '-', to: catalog}]",
            "4:17: routes[0].name: '-' stands for no route in metrics; choose another name",
        ),
        ("timeouts: {idle: off}", "4:18: timeouts.idle: 'off' is not a duration; write one such as 5s or 250ms"),
    ),
)
def test_places_of_single_mistakes(folder: Folder, text: str, problem: str) -> None:
    assert folder.problems(f"{HEAD}{text}\n") == [f"routes.yaml:{problem}"]


def test_an_include_holds_nothing_else(folder: Folder) -> None:
    folder.write("a.yaml", "limits: {}\nroutes: {}\nupstreams: {catalog: {}}\ntests:\n")
    assert folder.problems(HEAD + "include: [a.yaml]\n") == [
        "a.yaml:1:1: 'limits' belongs in the main file; an included file may hold upstreams, routes, tests",
        "a.yaml:2:9: routes: should be a list",
        "a.yaml:3:13: two upstreams are named 'catalog'; the other is at routes.yaml:3:3",
    ]


def test_a_broken_include_does_not_hide_the_rest(folder: Folder) -> None:
    folder.write("a.yaml", "")
    folder.write("b.yaml", "routes: [")
    found = folder.problems(HEAD + "include: ['[ab].yaml']\nnmae: x\n")
    assert [problem.split(": ")[0] for problem in found] == ["routes.yaml:5:1", "a.yaml:1:1", "b.yaml:1:10"]


def test_an_include_adds_nothing_to_what_has_the_wrong_shape(folder: Folder) -> None:
    folder.write("a.yaml", "routes: [{name: r, respond: {}}]\nupstreams: {a: {endpoints: ['http://a']}}\n")
    assert folder.problems("version: 1\nroutes: {}\nupstreams: []\ninclude: [a.yaml]\n") == [
        "routes.yaml:2:9: routes: should be a list",
        "routes.yaml:3:12: upstreams: should be a mapping (key: value)",
    ]


ODD: tuple[Any, ...] = (None, True, -1, 1.5, "", "~(", "${X}", "a\nb", [], {}, [[]], {"a": {}}, {"name": "x"}, "5s")


def _paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in data.items() if isinstance(data, dict) else enumerate(data):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from _paths(value, (*path, key))


@given(data=st.data())
def test_whatever_stands_in_a_file_is_answered_in_plain_words(data: st.DataObject, tmp_path_factory: Any) -> None:
    root = parse("example.yaml", EXAMPLE.read_bytes()).root
    assert root is not None
    tree = root.plain()
    for _ in range(data.draw(st.integers(1, 3))):
        *around, last = data.draw(st.sampled_from(list(_paths(tree))))
        holder = tree
        for step in around:
            holder = holder[step]
        # The next change may be one inside of it.
        holder[last] = copy.deepcopy(data.draw(st.sampled_from(ODD)))
    folder = Folder(tmp_path_factory.mktemp("odd"))
    loaded = folder.load(json.dumps(tree))
    assert (loaded.spec is None) == any(problem.severity == "error" for problem in loaded.problems)
    for problem in loaded.problems:
        assert loaded.render(problem).count("\n") == 2
        assert not any(word in str(problem) for word in ("Input", "pydantic", "valid ", "function-"))


def test_substitution_reaches_every_type(folder: Folder) -> None:
    environ = {"PORT": "9002", "WEIGHT": "3", "WAIT": "250ms", "NAME": "edge", "COUNT": "64"}
    loaded = folder.load(
        "version: 1\nname: ${NAME}\nlimits: {header_count: '${COUNT}'}\nupstreams:\n  a:\n"
        "    endpoints: [{url: 'http://a:${PORT}', weight: '${WEIGHT}'}]\n    timeouts: {connect: '${WAIT}'}\n"
        "routes: [{name: r, redirect: {to: /x, status: '${STATUS:-308}'}}]\n",
        environ,
    )
    assert loaded.problems == ()
    assert loaded.spec is not None
    assert (loaded.spec.name, loaded.spec.limits.header_count) == ("edge", 64)
    upstream = loaded.spec.upstreams["a"]
    assert (upstream.endpoints[0].address, upstream.endpoints[0].weight) == ("a:9002", 3)
    assert upstream.timeouts.connect == 0.25
    assert loaded.spec.routes[0].redirect is not None
    assert loaded.spec.routes[0].redirect.status == 308


def test_substitution_cannot_change_the_structure(folder: Folder) -> None:
    loaded = folder.load(
        "version: 1\nroutes: [{name: r, respond: {text: '${T}'}}]\n", {"T": "x}, plugins: [y], {z: ${T}"}
    )
    assert loaded.spec is not None
    assert loaded.spec.routes[0].respond is not None
    assert loaded.spec.routes[0].respond.text == "x}, plugins: [y], {z: ${T}"


def test_secrets_are_in_no_output(folder: Folder) -> None:
    folder.write("secret", "hunter2\n")
    loaded = folder.load(
        "version: 1\nadmin: {bind: 0.0.0.0:9901, token: swordfish, publik: []}\n"
        "routes: [{name: '${file:secret}', to: '${file:secret}'}]\n"
    )
    text = "".join(loaded.render(problem) for problem in loaded.problems) + repr(loaded)
    assert len(loaded.problems) == 2
    assert "hunter2" not in text
    assert "swordfish" not in text
    assert loaded.secrets == {"hunter2", "swordfish"}


def test_an_admin_address_that_others_reach_needs_a_token(folder: Folder) -> None:
    text = "version: 1\nadmin: {bind: 0.0.0.0:9901, token: '${ADMIN_TOKEN}'}\n"
    assert folder.problems(text, {"ADMIN_TOKEN": "t"}) == []
    assert folder.problems(text, {"ADMIN_TOKEN": ""}) == [
        "routes.yaml:2:36: admin: an address that others can reach needs a token;"
        " add token: ${ADMIN_TOKEN}, or bind 127.0.0.1:9901"
    ]
    assert len(folder.problems(text)) == 1


def test_ten_thousand_routes_are_each_at_their_place(folder: Folder) -> None:
    routes = "".join(f"  - name: r{n}\n    match: {{path: /api/{n}}}\n    to: catalog\n" for n in range(10_000))
    folder.write("routes.yaml", f"{HEAD}routes:\n{routes}")
    loaded = folder.reload()
    assert loaded.spec is not None
    assert len(loaded.spec.routes) == 10_000
    assert loaded.position(("routes", 9_999, "match")).line == 4 + 3 * 9_999 + 2


def test_right_routes_between_wrong_ones_change_no_place(folder: Folder) -> None:
    routes = """\
routes:
  - {name: a, to: catalog}
  - {name: b, match: {path: 1}, to: catalog}
  - {name: c, to: catalog, priority: "${NUMBER}"}
  - 7
  - {name: e, match: {path: /e}, to: catalog}
upstreams:
  good: {endpoints: ['http://127.0.0.1:1']}
  wrong: {endpoints: [], weight: "${NUMBER}"}
"""
    assert folder.problems("version: 1\n" + routes.replace("catalog", "good"), {"NUMBER": "3"}) == [
        "routes.yaml:4:29: routes[1].match.path: should be text; put it in quotes",
        "routes.yaml:6:5: routes[3]: should be a mapping (key: value)",
        "routes.yaml:10:22: upstreams.wrong.endpoints: should have at least 1 entry",
        "routes.yaml:10:26: unknown key 'weight' in upstreams.wrong",
    ]


def test_a_number_from_a_variable_is_read_in_a_route_and_an_upstream(folder: Folder) -> None:
    text = "routes: [{name: c, to: up, priority: '${NUMBER}'}, {name: d, match: {path: /d}, to: up}]\n"
    text += "upstreams: {up: {endpoints: [{url: 'http://127.0.0.1:1', weight: '${NUMBER}'}]}}\n"
    loaded = folder.load("version: 1\n" + text, {"NUMBER": "3"})
    assert loaded.spec is not None, loaded.problems
    assert [route.priority for route in loaded.spec.routes] == [3, 0]
    assert loaded.spec.upstreams["up"].endpoints[0].weight == 3


def test_the_digest_is_that_of_the_lines(folder: Folder) -> None:
    folder.write("more.yaml", "routes: [{name: b, respond: {}}]\n")
    text = HEAD + "include: [more.yaml]\n"
    digest = folder.load(text).digest
    assert folder.load(text).digest == digest
    assert folder.load(text + "# more\n").digest != digest
    folder.write("more.yaml", "routes: [{name: c, respond: {}}]\n")
    assert folder.load(text).digest != digest
