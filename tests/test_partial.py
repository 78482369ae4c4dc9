"""Every error at once, also in a file that does not validate."""

from pathlib import Path

import pytest

from gateway.config.load import load
from gateway.library import Library
from gateway.partial import also_wrong
from tests.support.runtimes import write_config

BROKEN = "version: 1\nnme: edge\n"


def problems(folder: Path, text: str) -> list[str]:
    loaded = load(write_config(folder, BROKEN + text), {})
    assert loaded.spec is None
    return [str(problem).replace(f"{folder}/", "") for problem in also_wrong(loaded, Library(folder))]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plugins: [cros]\n", "routes.yaml:3:11: no plugin is named 'cros'; did you mean 'cors'?"),
        ("plugins: [{cors: {origin: a}}]\n", "routes.yaml:3:19: unknown key 'origin'; did you mean 'origins'?"),
        ("routes: [{name: a, plugins: [nothing]}]\n", "routes.yaml:3:30: no plugin is named 'nothing'"),
        ("routes: [{name: a, match: {path: '/**/a'}}]\n", "routes.yaml:3:34: '**' stands for the rest of the path"),
        ("routes: [{name: a, rewrite: {path: '/{x}'}}]\n", "routes.yaml:3:36: '{x}' is not captured by the path"),
        ("routes: [{name: a, match: {path: '/{y}'}, redirect: {to: '/{x}'}}]\n", "routes.yaml:3:58: '{x}' is not"),
    ],
)
def test_what_compiling_would_find(tmp_path: Path, text: str, said: str) -> None:
    (found,) = problems(tmp_path, text)
    assert found.startswith(said)


@pytest.mark.parametrize(
    "text",
    [
        "plugins: 1\nroutes: a\n",
        "plugins: [1, {a: 1, b: 2}, '']\nroutes: [1, [], {plugins: 1, match: 2, rewrite: []}]\n",
        "routes: [{name: a, match: {path: 1}, redirect: {to: [x]}}]\n",
        "plugins: [{cors: {origins: ['${UNSET}']}}]\n",
        "routes: [{name: a, match: {path: 'no-slash'}}]\n",
        "routes: [{name: a, redirect: {to: '/{**}'}}]\n",
    ],
)
def test_what_has_been_told_already_or_is_right(tmp_path: Path, text: str) -> None:
    assert problems(tmp_path, text) == []


def test_a_file_that_is_no_yaml(tmp_path: Path) -> None:
    assert also_wrong(load(tmp_path / "none.yaml", {}), Library()) == []
    assert problems(tmp_path, "a: [") == []


def test_parts_that_are_right_by_themselves(tmp_path: Path) -> None:
    text = """routes:
  - name: page
    match: {path: "/p/{id}"}
    compose:
      parts:
        a: {from: up, path: "/{b.x}/{idd}"}
        b: {from: up, pth: /x}
        c: {from: up, path: "/{b.x}", pick: "a..b", breaker: {requsts: 4}}
        d: {from: up, path: "/{c.x}", when: e.x}
        e: {from: up, path: "/{d.x}", breaker: {sleep: '${UNSET}'}}
        f-g: {from: up, path: "/{id}"}
      respond: {merge: wide}
"""
    found = [one.partition("routes.yaml:")[2] for one in problems(tmp_path, text)]
    assert sorted(found) == [
        "10:45: 'a..b' is not a JMESPath expression at character 3",
        "10:63: unknown key 'requsts'; did you mean 'requests'?",
        "11:9: the parts need each other: d needs e needs d",
        "8:29: nothing is called 'idd' in {idd}; did you mean 'id'?",
    ]


def test_parts_of_frontends(tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(
        "frontend: web\nroutes:\n- {name: a, compose: {parts: {a: {from: up, path: '/{nope}'}}}}\n"
    )
    (found,) = problems(tmp_path, "include: [web.yaml]\n")
    assert found.startswith("web.yaml:3:51: nothing is called 'nope' in {nope}; there are **, a, claims")


@pytest.mark.parametrize("compose", ["5", "{}", "{parts: 5}", "{parts: [a]}", "{parts: {a: 5, b: }}", "{parts: {}}"])
def test_what_is_no_composition(tmp_path: Path, compose: str) -> None:
    assert problems(tmp_path, f"routes: [{{name: a, compose: {compose}}}]\n") == []
