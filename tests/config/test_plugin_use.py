"""A plugin entry is a name, or a name with options, and knows its place."""

import pytest

from gateway.config.document import parse
from gateway.config.plugin_use import PluginUse


def test_a_name_alone_or_with_options() -> None:
    assert PluginUse.parse("a") == PluginUse("a", {})
    assert PluginUse.parse({"a": None}) == PluginUse("a", {})
    assert PluginUse.parse({"a": {"x": 1}}) == PluginUse("a", {"x": 1})


@pytest.mark.parametrize(
    ("entry", "message"),
    (
        (7, "NAME or NAME"),
        ("", "NAME or NAME"),
        ({}, "not 0 keys"),
        ({"a": {}, "x": 1}, "not 2 keys"),
        ({"a": "x"}, "options of 'a'"),
    ),
)
def test_anything_else_is_refused(entry: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PluginUse.parse(entry)


def test_the_place_is_that_of_the_name_and_no_part_of_equality() -> None:
    root = parse("f.yaml", b"plugins:\n  - a\n  - {b: {x: 1}}\n").root
    assert root is not None
    first, second = (PluginUse.parse(node.plain(), node) for node in root.nearest(("plugins",)).value)
    assert first.position == ("f.yaml", 2, 5)
    assert second.position == ("f.yaml", 3, 6)
    assert second == PluginUse("b", {"x": 1})
    assert second.options_node is not None
    assert second.options_node.position == ("f.yaml", 3, 9)
