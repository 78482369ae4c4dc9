"""pydantic's errors become plain sentences at exact places."""

from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from gateway.config.document import parse
from gateway.config.nodes import Node
from gateway.config.validation import dotted, validate
from gateway.units import Duration


class Leaf(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    size: int = 1
    colour: str = "red"


class Model(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    count: int = Field(1, strict=True, ge=1, le=9)
    on: bool = Field(False, strict=True)
    wait: Duration | None = None
    leaves: list[Leaf] = []
    by_name: dict[str, Leaf] = Field(default={}, alias="by-name")
    leaf: Leaf | str | None = None
    either: int | Duration = Field(1, union_mode="left_to_right")


def validated(text: str) -> tuple[Model | None, list[str]]:
    root = parse("f.yaml", text.encode()).root
    assert root is not None
    model, problems = validate(Model.model_validate, root.plain(), root, Model)
    return model, [str(problem).removeprefix("f.yaml:") for problem in problems]


@pytest.mark.parametrize(
    ("text", "problem"),
    (
        ("{}", "1:1: missing key 'name'"),
        ("{nam: x}", "1:2: unknown key 'nam'; did you mean 'name'?"),
        (
            "{name: x, zzz: 1}",
            "1:11: unknown key 'zzz'; known here: by-name, count, either, leaf, leaves, name, on, wait",
        ),
        ("{name: 5}", "1:8: name: should be text; put it in quotes"),
        ("{name: }", "1:8: name: is empty; it should be text"),
        ("{name: [x]}", "1:8: name: should be text"),
        ("{name: x, count: 0}", "1:18: count: should be at least 1"),
        ("{name: x, count: 10}", "1:18: count: should be at most 9"),
        ("{name: x, count: '5'}", "1:18: count: should be a whole number"),
        ("{name: x, on: yes}", "1:15: on: should be true or false"),
        ("{name: x, wait: 5}", "1:17: wait: '5' has no unit; write 5s"),
        ("{name: x, leaves: {}}", "1:19: leaves: should be a list"),
        ("{name: x, leaves: [{size: 1}, 7]}", "1:31: leaves[1]: should be a mapping (key: value)"),
        ("name: x\nleaves:\n- size: a\n", "3:9: leaves[0].size: should be a whole number"),
        ("name: x\nleaves:\n- sise: 1\n", "3:3: unknown key 'sise' in leaves[0]; did you mean 'size'?"),
        ("{name: x, by-name: {a: {color: x}}}", "1:25: unknown key 'color' in by-name.a; did you mean 'colour'?"),
        ("{name: x, by-name: }", "1:20: by-name: is empty; it should be a mapping (key: value)"),
        ("{name: x, leaf: {sise: 1}}", "1:18: unknown key 'sise' in leaf; did you mean 'size'?"),
        ("{name: x, leaf: 5}", "1:17: leaf: should be a mapping (key: value) or text; put it in quotes"),
        ("{name: x, either: [1]}", "1:19: either: should be a whole number or a duration such as 5s or 250ms"),
    ),
)
def test_each_kind_of_mistake(text: str, problem: str) -> None:
    model, problems = validated(text)
    assert model is None
    assert problems == [problem]


def test_all_mistakes_come_at_once() -> None:
    _, problems = validated("{name: 5, count: x, on: 1, leaves: [{size: a}, {colour: 1}]}")
    assert len(problems) == 5


def test_no_word_of_pydantic_gets_through() -> None:
    _, problems = validated("{name: [], count: [], on: [], wait: [], leaves: 1, by-name: 1, leaf: [], either: {}}")
    assert len(problems) == 8
    for problem in problems:
        assert not any(word in problem for word in ("Input", "valid", "pydantic", "http", "type=", "instance"))


def substituted(text: str, *path: str) -> Node:
    root = parse("f.yaml", text.encode()).root
    assert root is not None
    root.nearest(path).substituted = True
    return root


@pytest.mark.parametrize(("text", "expected"), (("'5'", 5), ("'0x5'", 5)))
def test_a_substitution_may_be_a_number(text: str, expected: int) -> None:
    root = substituted(f"{{name: x, count: {text}}}", "count")
    model, problems = validate(Model.model_validate, root.plain(), root, Model)
    assert problems == []
    assert model is not None
    assert model.count == expected


def test_a_substitution_that_is_no_number_is_not_shown() -> None:
    root = substituted("{name: x, count: hunter2}", "count")
    _, (problem,) = validate(Model.model_validate, root.plain(), root, Model)
    assert problem.message == "count: should be a whole number"


def test_a_substitution_stays_text_where_text_is_wanted() -> None:
    root = substituted("{name: '5'}", "name")
    model, _ = validate(Model.model_validate, root.plain(), root, Model)
    assert model is not None
    assert model.name == "5"


@pytest.mark.parametrize(
    ("path", "text"), (((), ""), (("routes", 2, "match", "path"), "routes[2].match.path"), ((0, "a"), "[0].a"))
)
def test_paths_are_written_as_people_do(path: Any, text: str) -> None:
    assert dotted(path) == text
