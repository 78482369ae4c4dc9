"""Plugin instances: which live on, which serve many routes, and which stand in each other's way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.compile import Generation, compile_table
from gateway.compile_plugins import PluginMaker, secrets_in, twins
from gateway.config.load import load
from gateway.library import Library
from gateway.plugin import Plugin, Secret
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeUpstream, make_env
from tests.support.runtimes import write_config

HEAD = "version: 1\nname: edge\n"
UPSTREAMS = "upstreams:\n" + "".join(
    f"  {name}: {{endpoints: ['http://127.0.0.1:{port}']}}\n" for port, name in enumerate(("up", "vp", "standby"), 1)
)
BY_UPSTREAM = "scope: upstream, sleep: 7s"


def routes(*breakers: str, to: str = "up") -> str:
    """A route for each breaker's options, named a, b, c."""
    lines = (
        f"  - {{name: {name}, match: {{path: /{name}}}, to: {to}, plugins: [breaker: {{{options}}}]}}\n"
        for name, options in zip("abc", breakers, strict=False)
    )
    return "routes:\n" + "".join(lines)


def compiled(folder: Path, text: str, before: Generation | None = None) -> tuple[Generation | None, list[str]]:
    loaded = load(write_config(folder, HEAD + text), {})
    metrics = Metrics()
    env = make_env(metrics=metrics, upstreams={name: FakeUpstream() for name in ("up", "vp", "standby")})
    env = replace(env, folder=folder)
    generation, problems = compile_table(loaded, env, metrics, Library(folder), before)
    return generation, [str(one).replace(f"{folder}/", "") for one in problems if one.severity == "error"]


def good(folder: Path, text: str, before: Generation | None = None) -> Generation:
    generation, problems = compiled(folder, text, before)
    assert generation is not None, problems
    generation.take_over()
    return generation


def chains(generation: Generation) -> list[Plugin]:
    """The plugin of each route, which has one."""
    return [plugin for route in generation.table.router.routes for plugin in route.chain.plugins]


# one for many routes


@pytest.mark.parametrize("options", [BY_UPSTREAM, "scope: endpoint", "name: all"])
def test_one_breaker_serves_all_routes_with_the_same_options(tmp_path: Path, options: str) -> None:
    generation = good(tmp_path, UPSTREAMS + routes(options, options, "name: other"))
    first, second, third = chains(generation)
    assert first is second
    assert first is not third
    assert list(generation.plugins) == [("a", "breaker", 1), ("c", "breaker", 1)]


def test_breakers_of_routes_are_each_its_own(tmp_path: Path) -> None:
    first, second = chains(good(tmp_path, UPSTREAMS + routes("", "")))
    assert first is not second


def test_one_that_spans_routes_lives_on_wherever_it_is_listed(tmp_path: Path) -> None:
    first = good(tmp_path, UPSTREAMS + routes("", BY_UPSTREAM, BY_UPSTREAM))
    _, known, _ = chains(first)
    second = good(tmp_path, UPSTREAMS + routes(BY_UPSTREAM, "", BY_UPSTREAM), first)
    assert [plugin is known for plugin in chains(second)] == [True, False, True]
    third = good(tmp_path, f"plugins: [breaker: {{{BY_UPSTREAM}}}]\n{UPSTREAMS}{routes('')}", second)
    assert third.plugins["", "breaker", 1] is known


# names


@pytest.mark.parametrize(
    ("text", "line", "name"),
    [
        (routes("scope: upstream", BY_UPSTREAM), 9, "up"),
        (routes("scope: endpoint", "scope: endpoint, sleep: 7s"), 9, "up/*"),
        (routes("name: all", "name: all, sleep: 7s"), 9, "all"),
        (routes("", "name: a"), 9, "a"),
        (routes("}, breaker: {"), 8, "a"),
        (routes(BY_UPSTREAM + "}, breaker: {" + BY_UPSTREAM), 8, "up"),
        ("plugins: [breaker]\n" + routes(""), 9, "a"),
        (f"plugins: [breaker: {{{BY_UPSTREAM}}}]\n" + routes(BY_UPSTREAM), 9, "up"),
    ],
)
def test_two_breakers_of_one_name(tmp_path: Path, text: str, line: int, name: str) -> None:
    generation, problems = compiled(tmp_path, UPSTREAMS + text)
    assert generation is None
    assert len(problems) == 1
    place, _, said = problems[0].partition(": ")
    assert place.startswith(f"routes.yaml:{line}:")
    assert said == (
        f"two plugins 'breaker' are named '{name}'; give one a `name`, or list it once for all routes, at the top level"
    )


@pytest.mark.parametrize(
    "text",
    [
        routes("scope: upstream", "scope: endpoint"),
        routes(BY_UPSTREAM, "name: mine, sleep: 9s"),
        "plugins: [breaker: {scope: upstream}]\n" + routes("", ""),
    ],
)
def test_breakers_that_do_not_meet(tmp_path: Path, text: str) -> None:
    good(tmp_path, UPSTREAMS + text)


def test_each_plugin_that_comes_second_is_told_once() -> None:
    class Named(Plugin):
        def unique_names(self, routes: Any) -> list[str]:
            return [self.options, *routes]

    class Other(Named):
        """Names of another plugin are others."""

    first, second, third = (Named(name, make_env()) for name in "aab")
    served: dict[Plugin, Any] = {first: {"r": ()}, second: {"r": ()}, Other("a", make_env()): {"r": ()}, third: {}}
    assert list(twins(served)) == [(second, "a")]


# what options name and do not hold


def test_a_fallback_to_an_upstream_that_is_gone(tmp_path: Path) -> None:
    text = UPSTREAMS + routes("fallback: {to: standby}")
    first = good(tmp_path, text)
    assert chains(good(tmp_path, text, first)) == chains(first)
    gone = "\n".join(line for line in text.splitlines() if not line.startswith("  standby:"))
    generation, problems = compiled(tmp_path, gone, first)
    assert generation is None
    assert len(problems) == 1
    assert "routes.yaml:7:" in problems[0]
    assert "unknown upstream 'standby'" in problems[0]


def test_a_fallback_of_a_file_that_changes(tmp_path: Path) -> None:
    file = tmp_path / "sorry.txt"
    file.write_text("old")
    text = UPSTREAMS + routes("fallback: {file: sorry.txt}", "fallback: {text: other}")
    first = good(tmp_path, text)
    file.write_text("new")

    second = good(tmp_path, text, first)

    assert [one is other for one, other in zip(chains(first), chains(second), strict=True)] == [False, True]


def test_secrets_in_anything() -> None:
    data: Any = {"a": [Secret("1"), ("x", Secret("2"))], "b": {Secret("3")}, "c": None}
    assert set(secrets_in(data)) == {"1", "2", "3"}


# the same in all workers


def instances(generation: Generation) -> list[list[str]]:
    return [[plugin.env.instance for plugin in route.chain.plugins] for route in generation.table.router.routes]


def test_an_instance_is_told_from_others_of_its_chain_with_the_same_options(tmp_path: Path) -> None:
    limit = "rate_limit: {rate: 1/s}"
    top = f"plugins: [{limit}]\n"
    listed = f"plugins: [{limit}, rate_limit: {{rate: 2/s}}, {limit}]"
    text = f"{top}routes:\n  - {{name: a, respond: {{text: a}}, {listed}}}\n"
    first = good(tmp_path, text)
    assert instances(first) == [["rate_limit 0", "rate_limit 1", "rate_limit 0", "rate_limit 2"]]
    # A worker that has been through a reload, and one that starts with what came of it.
    later = text + "  - {name: b, match: {path: /b}, respond: {text: b}}\n"
    assert instances(good(tmp_path, later, first)) == instances(good(tmp_path, later))


UNHASHABLE = """
from gateway.plugin import Plugin

class Mine(Plugin):
    spans_routes = True

    class Options:
        def __init__(self, names=()):
            self.names = names

        def __eq__(self, other):
            return self.names == other.names
"""


def test_options_that_have_no_hash_are_compared() -> None:
    namespace: dict[str, Any] = {}
    exec(UNHASHABLE, namespace)
    mine = namespace["Mine"]
    maker = PluginMaker(make_env(), Library(), frozenset())
    one, same, other = (
        maker.put((f"r{number}", "mine", 1), mine, mine.Options(names)) for number, names in enumerate(("a", "a", "b"))
    )
    assert one is same
    assert one is not other
    assert list(maker.plugins.values()) == [one, other]
    again = PluginMaker(make_env(), Library(), frozenset(), maker.plugins)
    assert again.put(("r7", "mine", 1), mine, mine.Options("b")) is other
