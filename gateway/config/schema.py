"""The JSON Schema (draft 2020-12) of routes.yaml and of frontends' files, for editors: written from the models that
validate them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import TypeAdapter

from gateway.config.frontend_specs import FrontendSpec
from gateway.config.options import options_holder
from gateway.config.specs import ConfigSpec

# The key that makes an included file a frontend's, and no name of a plugin.
FRONTEND: Final = "frontend"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_REF: Final = "#/$defs/{model}"
_SUBSTITUTION: Final = {"type": "string", "pattern": r"\$\{.+\}", "description": "a value from the environment"}
# Draft 2020-12 ignores what stands here: it is data, not schema.
_DATA: Final = frozenset(("const", "default", "enum", "examples"))


def json_schema(plugin_options: Mapping[str, type | None]) -> dict[str, Any]:
    """The schema of routes.yaml, or of a frontend's file, as a user writes it. `plugin_options` gives the options class
    of each known plugin (None: it takes no options); any other plugin name is allowed, with any options."""
    classes = {name: options for name, options in sorted(plugin_options.items()) if options is not None}
    adapters: list[tuple[str, Any, TypeAdapter[Any]]] = [
        ("", "validation", TypeAdapter(ConfigSpec)),
        (FRONTEND, "validation", TypeAdapter(FrontendSpec)),
    ]
    adapters += [(name, "validation", TypeAdapter(options_holder(options))) for name, options in classes.items()]
    by_name, schema = TypeAdapter.json_schemas(adapters, ref_template=_REF)
    definitions: dict[str, Any] = schema["$defs"]
    config = _target(by_name["", "validation"])
    frontend = _target(by_name[FRONTEND, "validation"])
    # What every included file may hold besides.
    own = definitions[frontend]["properties"]
    definitions[frontend]["properties"] = own | {
        key: definitions[config]["properties"][key] for key in ("version", "upstreams")
    }
    options_schemas = {}
    for name in classes:
        holder = definitions.pop(_target(by_name[name, "validation"]))
        options_schemas[name] = holder["properties"]["options"]
    definitions["PluginUse"] = _plugin_entry(sorted(plugin_options), options_schemas)
    # A part of a composition gives the options alone.
    breaker = definitions["PartSpec"]["properties"]["breaker"]
    breaker["anyOf"] = [options_schemas.get("breaker", {"type": "object"}), {"type": "null"}]
    whole = {
        "$schema": DIALECT,
        "if": {"required": [FRONTEND]},
        "then": {"$ref": _REF.format(model=frontend)},
        "else": {"$ref": _REF.format(model=config)},
        "$defs": definitions,
    }
    allowing: dict[str, Any] = _allow_substitution(whole)
    allowing["title"] = "routes.yaml"
    return allowing


def _target(reference: Mapping[str, Any]) -> str:
    return str(reference["$ref"]).removeprefix("#/$defs/")


def _plugin_entry(names: list[str], options: Mapping[str, Any]) -> dict[str, Any]:
    """A plugin's name, or a mapping of one name to its options."""
    return {
        "description": "a plugin's name, or its name with its options",
        "anyOf": [
            {"enum": names},
            {"type": "string", "minLength": 1},
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "properties": {
                    name: {"anyOf": [options[name], {"type": "null"}]} if name in options else {"type": "null"}
                    for name in names
                },
                "additionalProperties": {"type": ["object", "null"]},
            },
        ],
    }


def _allow_substitution(schema: Any) -> Any:
    """Let `${VAR}` stand where a number or a bool is wanted: an editor sees the file before it is filled in."""
    if isinstance(schema, list):
        return [_allow_substitution(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {key: value if key in _DATA else _allow_substitution(value) for key, value in schema.items()}
    if schema.get("type") not in ("integer", "number", "boolean"):
        return inner
    about = {key: inner.pop(key) for key in ("title", "description", "default") if key in inner}
    return {**about, "anyOf": [inner, _SUBSTITUTION]}
