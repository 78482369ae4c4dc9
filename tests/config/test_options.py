"""Plugin options: plain dataclasses, strict scalars, unknown keys refused at every level, places exact."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from gateway.config.document import parse
from gateway.config.options import build_options
from gateway.config.plugin_use import PluginUse
from gateway.units import Duration, Secret, Share, Size

FIVE_SECONDS = Duration("5s")


@dataclass(frozen=True)
class Fallback:
    status: int = 200
    json: Any = None


@dataclass(frozen=True)
class Stale:
    for_: Duration = FIVE_SECONDS


@dataclass(frozen=True)
class Options:
    """Options with a bit of everything."""

    upstream: str
    window: Duration = FIVE_SECONDS
    errors: Share | None = None
    limit: Size | None = None
    token: Secret | None = None
    on: tuple[Literal["connect", "reset"], ...] = ()
    fallback: Fallback | None = None
    stale: Stale | None = None
    by_name: dict[str, Fallback] = field(default_factory=dict)
    either: Fallback | str = ""
    loud: bool = False
    count: int = 1


def use(options: str) -> PluginUse:
    root = parse("f.yaml", f"plugins:\n- breaker: {options}\n".encode()).root
    assert root is not None
    node = root.nearest(("plugins", 0))
    return PluginUse.parse(node.plain(), node)


def built(options: str) -> Any:
    instance, problems = build_options(Options, use(options))
    assert problems == []
    return instance


def problems(options: str) -> list[str]:
    instance, found = build_options(Options, use(options))
    assert instance is None
    return [str(problem).removeprefix("f.yaml:2:") for problem in found]


def test_options_become_an_instance_of_the_class() -> None:
    assert built(
        "{upstream: a, window: 10s, errors: 50%, limit: 1KiB, token: t, on: [reset], loud: true,"
        " fallback: {status: 503, json: {items: []}}, by_name: {x: {status: 1}}, either: {status: 2}}"
    ) == Options(
        upstream="a",
        window=Duration(10),
        errors=Share(0.5),
        limit=Size(1024),
        token=Secret("t"),
        on=("reset",),
        loud=True,
        fallback=Fallback(503, {"items": []}),
        by_name={"x": Fallback(1)},
        either=Fallback(2),
    )
    assert built("{upstream: a}") == Options("a")


def test_a_word_of_python_is_a_key_by_a_field_with_a_line_after_it() -> None:
    assert built("{upstream: a, stale: {for: 1m}}") == Options("a", stale=Stale(Duration(60)))


@pytest.mark.parametrize(
    ("options", "problem"),
    (
        ("{}", "12: missing key 'upstream'"),
        ("{upstrem: a}", "13: unknown key 'upstrem'; did you mean 'upstream'?"),
        ("{upstream: a, fallback: {statsu: 1}}", "37: unknown key 'statsu' in fallback; did you mean 'status'?"),
        ("{upstream: a, stale: {for_: 1s}}", "34: unknown key 'for_' in stale; did you mean 'for'?"),
        ("{upstream: a, stale: {x: 1}}", "34: unknown key 'x' in stale; known here: for"),
        ("{upstream: a, stale: {for: 1}}", "39: stale.for: '1' has no unit; write 1s"),
        ("{upstream: a, by_name: {x: {s: 1}}}", "40: unknown key 's' in by_name.x; known here: json, status"),
        ("{upstream: a, either: {statsu: 1}}", "35: unknown key 'statsu' in either; did you mean 'status'?"),
        ("{upstream: a, window: 10}", "34: window: '10' has no unit; write 10s"),
        ("{upstream: a, errors: 0.5}", "34: errors: '0.5' is not a share; write one such as 20%"),
        (
            "{upstream: a, on: [conect]}",
            "31: on[0]: should be 'connect' or 'reset', not 'conect'; did you mean 'connect'?",
        ),
        ("{upstream: a, loud: yes}", "32: loud: should be true or false"),
        ("{upstream: a, loud: 1}", "32: loud: should be true or false"),
        ("{upstream: a, count: true}", "33: count: should be a whole number"),
        ("{upstream: a, count: 1.0}", "33: count: should be a whole number"),
        ("{upstream: 5}", "23: upstream: should be text; put it in quotes"),
    ),
)
def test_mistakes_are_told_at_their_place(options: str, problem: str) -> None:
    assert problems(options) == [problem]


def test_all_mistakes_at_once() -> None:
    assert len(problems("{window: x, errors: y, zzz: 1, fallback: {status: no}}")) == 5


def test_a_name_alone_that_needs_options() -> None:
    root = parse("f.yaml", b"plugins: [breaker]\n").root
    assert root is not None
    node = root.nearest(("plugins", 0))
    _, (problem,) = build_options(Options, PluginUse.parse("breaker", node))
    assert str(problem) == "f.yaml:1:11: missing key 'upstream'"


def test_a_plugin_without_options_takes_none() -> None:
    assert build_options(None, use("{}")) == (None, [])
    _, (problem,) = build_options(None, use("{a: 1}"))
    assert str(problem) == "f.yaml:2:3: the plugin 'breaker' takes no options; write - breaker"


def test_a_use_that_was_made_in_code() -> None:
    assert build_options(Options, PluginUse("breaker", {"upstream": "a"})) == (Options("a"), [])
    _, (problem,) = build_options(Options, PluginUse("breaker", {"upstrem": "a"}))
    assert problem.message == "unknown key 'upstrem'"


def test_a_substitution_may_be_a_number_or_a_bool() -> None:
    plugin = use("{upstream: a, count: '7', loud: 'true'}")
    assert plugin.node is not None
    for key in ("count", "loud"):
        plugin.node.nearest(("breaker", key)).substituted = True
    instance, found = build_options(Options, plugin)
    assert found == []
    assert (instance.count, instance.loud) == (7, True)
    assert plugin.options["count"] == "7"


def test_secrets_are_in_no_problem_and_no_excerpt() -> None:
    plugin = use("{zzz: 1, upstream: hunter2x, token: hunter2x, on: [hunter2x]}")
    _, found = build_options(Options, plugin)
    assert plugin.node is not None
    assert len(found) == 2
    assert "hunter2x" not in str(found)
    assert "hunter2x" not in "".join(plugin.node.source.lines)
