"""Validates plain data against a model and tells the mistakes in plain words, each at its place in the file."""

from __future__ import annotations

import dataclasses
import re
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.nodes import Node, Path
from gateway.config.problems import Position, Problem, closest
from gateway.config.scalars import resolve

T = TypeVar("T")

_MAPPING = "should be a mapping (key: value)"
_LIST = "should be a list"
_WORDS = {
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "float_type": "should be a number",
    "float_parsing": "should be a number",
    "bool_type": "should be true or false",
    "bool_parsing": "should be true or false",
    "string_type": "should be text",
    "string_too_short": "should not be empty",
    "dict_type": _MAPPING,
    "model_type": _MAPPING,
    "dataclass_type": _MAPPING,
    "list_type": _LIST,
    "tuple_type": _LIST,
    "set_type": _LIST,
    "frozen_set_type": _LIST,
    "too_short": "should have at least {min_length} entry",
    "too_long": "should have at most {max_length} entries",
    "greater_than_equal": "should be at least {ge}",
    "greater_than": "should be more than {gt}",
    "less_than_equal": "should be at most {le}",
    "less_than": "should be less than {lt}",
    "literal_error": "should be {expected}",
    "enum": "should be {expected}",
}
_UNKNOWN_KEY = frozenset(("extra_forbidden", "unexpected_keyword_argument"))
_MISSING_KEY = frozenset(("missing", "missing_argument", "missing_keyword_only_argument"))
_MOST_NAMES_SHOWN = 12


class _Place(NamedTuple):
    """Where an error is: the node, the path to it that the file has, the mapping around it and the key there.
    `aside` is set when the error's own path went on to what the file does not have: a member of a union, a default."""

    node: Node
    path: Path
    around: Node | None
    aside: bool


def validate(
    run: Callable[[Any], T], data: Any, node: Node, root_type: Any, *, wrapped: int = 0
) -> tuple[T | None, list[Problem]]:
    """What `run` makes of `data`, or None and its problems. `node` is where the data came from, `root_type` what it
    should be: the one gives places, the other the names for "did you mean". `wrapped` is in how many fields of its
    own `run` puts the data.

    A substitution gives text. Where a number or a bool is wanted instead, the text is read as the scalar it would be
    in the file, and the validation runs a second time. `data` is changed then.
    """
    try:
        return run(data), []
    except ValidationError as first:
        errors = _errors(first, wrapped)
    if _read_substituted(errors, data, node):
        try:
            return run(data), []
        except ValidationError as second:
            errors = _errors(second, wrapped)
    return None, list(_problems(errors, node, root_type))


def dotted(path: Path) -> str:
    """A path as people write it: `routes[2].match.path`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def option_key(name: str) -> str:
    """What the file calls a field of a plugin's options: `for_` is `for`, since no field can be named by a word of
    Python's own (PEP 8 ends such names in `_`)."""
    return name.removesuffix("_")


def unknown_key(name: str, path: Path, position: Position, allowed: Iterable[str]) -> Problem:
    """The problem of a key that nothing reads, with the nearest that something would."""
    names = sorted(allowed)
    hint = closest(name, names)
    if not hint and 0 < len(names) <= _MOST_NAMES_SHOWN:
        hint = f"known here: {', '.join(names)}"
    return Problem(position, f"unknown key {name!r}{_inside(path)}", hint)


def _errors(error: ValidationError, wrapped: int) -> list[ErrorDetails]:
    details = error.errors(include_url=False)
    for one in details:
        one["loc"] = one["loc"][wrapped:]
    return details


def _inside(path: Path) -> str:
    return f" in {dotted(path)}" if path else ""


def _read_substituted(errors: list[ErrorDetails], data: Any, node: Node) -> bool:
    """Put the typed scalar in place of each substituted text that a type refused; whether there was any."""
    changed = False
    for error in errors:
        path = _locate(node, error["loc"]).path
        text = error["input"]
        if not path or not isinstance(text, str) or not node.nearest(path).substituted:
            continue
        value = resolve(text)
        if not isinstance(value, str | None):
            holder = data
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = value
            changed = True
    return changed


def _locate(node: Node, loc: Path) -> _Place:
    path: list[str | int] = []
    around = None
    aside = False
    for step in loc:
        child = node.child(step)
        if child is None:
            aside = True
        else:
            node, around = child, node
            path.append(step)
    return _Place(node, tuple(path), around, aside)


def _problems(errors: list[ErrorDetails], root: Node, root_type: Any) -> Iterator[Problem]:
    """One problem an error, except that the members of a union, each with its own complaint, give one together."""
    values: dict[Path, list[tuple[_Place, ErrorDetails]]] = {}
    unions: set[Path] = set()
    for error in errors:
        loc, kind = error["loc"], error["type"]
        if kind in _MISSING_KEY:
            place = _locate(root, loc[:-1])
            name = str(loc[-1])
            unions.add(place.path)
            # A misspelt key is told once, as the unknown key that it is.
            unknown = place.node.keys() - _keys_at(root_type, loc[:-1])
            if not any(closest(key, [name]) for key in unknown):
                yield Problem(place.node.position, f"missing key {name!r}{_inside(place.path)}")
        elif kind in _UNKNOWN_KEY:
            place = _locate(root, loc[:-1])
            name = str(loc[-1])
            unions.add(place.path)
            yield unknown_key(name, place.path, place.node.key_position(name), _keys_at(root_type, loc[:-1]))
        elif loc and loc[-1] == "[key]":
            place = _locate(root, loc[:-1])
            position = place.around.key_position(str(loc[-2])) if place.around else place.node.position
            yield _problem(position, place.path[:-1], [_words(error, place.node)])
        else:
            place = _locate(root, loc)
            if kind == "too_short" and place.node.value:
                continue  # pydantic counts the good entries only, and the bad ones have problems of their own
            values.setdefault(place.path, []).append((place, error))
    for path, found in values.items():
        # A mapping that nearly fitted one member of a union: what the other members would have liked is noise.
        if path in unions and all(place.aside for place, _ in found):
            continue
        place = found[0][0]
        yield _problem(place.node.position, path, [_words(error, place.node) for _, error in found])


def _problem(position: Position, path: Path, texts: list[str]) -> Problem:
    first, *others = dict.fromkeys(texts)
    common = "should be "
    text = " or ".join(
        [first, *(other.removeprefix(common) if first.startswith(common) else other for other in others)]
    )
    message, _, hint = text.partition("; ")
    return Problem(position, f"{dotted(path)}: {message}" if path else message, hint)


def _words(error: ErrorDetails, node: Node) -> str:
    """What is wrong with one value, in a few words; the hint after a semicolon."""
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind == "value_error" and "error" in context:
        return str(context["error"])
    words = _WORDS.get(kind)
    if words is None:
        # The types of a plugin's options may be any that pydantic knows.
        words = re.sub(r"^(Input|Value|String|\w+) should", "should", error["msg"]).split(". ")[0]
        return words[:1].lower() + words[1:]
    text = words.format(**context)
    if value is None:
        return f"is empty; it {text}"
    if kind in ("literal_error", "enum") and isinstance(value, str) and not node.substituted:
        near = closest(value, re.findall("'([^']*)'", text))
        return f"{text}, not {value!r}" + (f"; {near}" if near else "")
    if kind == "string_type" and isinstance(value, bool | int | float):
        return f"{text}; put it in quotes"
    return text


def _keys_at(root_type: Any, loc: Path) -> set[str]:
    """The names that a mapping at `loc` may have."""
    found = list(_members(root_type))
    for step in loc:
        below = [inner for outer in found for inner in _below(outer, step)]
        # A step that leads nowhere names a member of a union.
        found = below or [member for member in found if getattr(member, "__name__", "") == step] or found
    return {name for one in found for name in _fields(one)}


def _members(declared: Any) -> Iterator[Any]:
    """The types that a declared type stands for: unions in their members, Annotated without its marks."""
    origin = get_origin(declared)
    if origin is Annotated:
        yield from _members(get_args(declared)[0])
    elif origin in (Union, types.UnionType):
        for member in get_args(declared):
            yield from _members(member)
    else:
        yield declared


def _below(declared: Any, step: str | int) -> Iterator[Any]:
    arguments = get_args(declared)
    if get_origin(declared) is dict and len(arguments) == 2:
        yield from _members(arguments[1])
    elif arguments and isinstance(step, int):
        yield from _members(arguments[0])
    elif step in (fields := _fields(declared)):
        yield from _members(fields[str(step)])


def _fields(declared: Any) -> dict[str, Any]:
    if not isinstance(declared, type):
        return {}
    if issubclass(declared, BaseModel):
        return {field.alias or name: field.annotation for name, field in declared.model_fields.items()}
    if dataclasses.is_dataclass(declared):
        hints = get_type_hints(declared, include_extras=True)
        return {option_key(field.name): hints[field.name] for field in dataclasses.fields(declared) if field.init}
    return {}
