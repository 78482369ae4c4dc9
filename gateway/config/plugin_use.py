"""One entry of a `plugins:` list: which plugin, its options as they stand in the file, and where that is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

from pydantic_core import CoreSchema, core_schema

from gateway.config.nodes import Node
from gateway.config.problems import Position

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler


@dataclass(frozen=True, slots=True)
class PluginUse:
    """`name` alone, or `name: {options}`. The options are raw: only the plugin's own class knows what they may be.

    Two uses are equal when name and options are, wherever they stand, so that an edit above a route changes nothing.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict, repr=False)
    """Raw, so secrets are in it: `dump` shows it, a repr does not."""
    node: Node | None = field(default=None, compare=False, repr=False)
    """The entry in the file; None for a use that was made in code."""

    @classmethod
    def parse(cls, entry: object, node: Node | None = None) -> Self:
        """From an entry as plain data: text, or a mapping of one name to its options. ValueError for anything else."""
        if isinstance(entry, str) and entry:
            return cls(entry, {}, node)
        if not isinstance(entry, dict):
            raise ValueError("a plugin is NAME or NAME: {options}")
        if len(entry) != 1:
            raise ValueError(
                f"one plugin an entry, not {len(entry)} keys; begin each with '- ', and indent its options"
            )
        name, options = next(iter(entry.items()))
        if options is not None and not isinstance(options, dict):
            raise ValueError(f"the options of {name!r} should be a mapping (key: value)")
        return cls(name, options or {}, node)

    @property
    def position(self) -> Position:
        """Where the plugin's name stands."""
        if self.node is None:
            return Position("", 1, 1)
        return self.node.key_position(self.name)

    @property
    def options_node(self) -> Node | None:
        """The node of the options; the entry itself where it has none."""
        return self.node.nearest((self.name,)) if self.node is not None else None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def validate(value: object) -> PluginUse:
            return value if isinstance(value, cls) else cls.parse(value)

        # An inner schema with a reference gives the type its own entry under $defs.
        return core_schema.no_info_plain_validator_function(
            validate,
            ref="PluginUse",
            serialization=core_schema.plain_serializer_function_ser_schema(cls._entry, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"description": "a plugin's name, or its name with its options"}

    @staticmethod
    def _entry(use: PluginUse) -> str | dict[str, Any]:
        return {use.name: use.options} if use.options else use.name
