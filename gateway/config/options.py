"""A plugin's options: a plain frozen dataclass that pydantic checks at load time, unknown keys refused at any depth."""

from __future__ import annotations

import copy
import functools
import json
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from gateway.config.document import parse
from gateway.config.masking import hide_secrets, masked
from gateway.config.plugin_use import PluginUse
from gateway.config.problems import Problem
from gateway.config.validation import option_key, validate


def build_options(options_class: type | None, use: PluginUse) -> tuple[Any, list[Problem]]:
    """An instance of `options_class` from what the file says, or None and what is wrong, each at its place.

    A plugin without a class (None) takes no options: giving it some is an error, and its options are None.
    A field's key is its name without a `_` at the end: `for_` is `for`.
    Scalars are taken strictly: "yes" is no bool, True is no int, 1 is no text; a substitution may be a number.
    The file's text of every value that landed in a Secret field is hidden from later excerpts.
    """
    if options_class is None:
        if not use.options:
            return None, []
        return None, [Problem(use.position, f"the plugin {use.name!r} takes no options", f"write - {use.name}")]
    holder = options_holder(options_class)
    secrets: set[str] = set()

    def run(options: dict[str, Any]) -> Any:
        # In JSON a list may be a tuple and a mapping a dataclass, while scalars stay strict.
        return holder.model_validate_json(json.dumps({"options": options}), context=secrets)

    # JSON is YAML: options that were made in code get places in their own text.
    node = use.options_node or parse("", json.dumps(use.options).encode()).root
    if node is None:
        raise ValueError("the options of a plugin are a dict of plain data")
    built, problems = validate(run, copy.deepcopy(use.options), node, options_class, wrapped=1)
    hide_secrets(node, secrets)
    return getattr(built, "options", None), [masked(problem, secrets) for problem in problems]


@functools.cache
def options_holder(options_class: type) -> type[BaseModel]:
    """A model with the one field `options`. pydantic passes its strictness and the names of keys on to every plain
    dataclass inside."""
    config = ConfigDict(extra="forbid", strict=True, alias_generator=option_key)
    return create_model("Holder", __config__=config, options=(options_class, ...))
