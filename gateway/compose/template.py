"""Texts with places for what a request brought and what parts answered: `/users/{product.seller}?page={query.page:-1}`.

A place is `{NAME}` or `{NAME.field.0.field}`, with `:-TEXT` for where there is none. NAME is a capture of the route's
path (`{**}` too), a part, the item of a `foreach`, or one of `query`, `header`, `claims` (each with a name),
`principal` and `request.body`. What is put into a path or a query cannot leave its segment or its parameter: it is
percent-encoded, and what would make an empty or a dot segment is refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs, quote, unquote

from gateway.errors import ConfigError
from gateway.exchange import ORIGIN_FORM
from gateway.plugin import Exchange
from gateway.routing.pattern import Template
from gateway.shaping.exact import write

PLACE = re.compile(r"\{([^{}]*)\}")
REQUEST_NAMES = ("claims", "header", "principal", "query", "request")
MISSING: Any = object()


class Unresolved(Exception):
    """A place that nothing fills, or not with a text; the message says which. `of_request`: what the client sent lacks
    it, and not what a part answered."""

    def __init__(self, message: str, of_request: bool = False) -> None:
        super().__init__(message)
        self.of_request = of_request


class UnknownName(ConfigError):
    """A template uses `name`, and there are only `names`."""

    def __init__(self, text: str, name: str, names: list[str]) -> None:
        super().__init__(f"nothing is called {name!r} in {{{text}}}")
        self.name = name
        self.names = names


class Values(Protocol):
    """What places are filled from, while a composition runs. `item` is that of a `foreach`."""

    @property
    def exchange(self) -> Exchange:
        """The client's."""

    def part(self, number: int) -> Any:
        """The value of a part, or MISSING."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The names that a template may use. `parts` maps a part to its number, `item` is the name of a `foreach`'s."""

    captures: frozenset[str]
    parts: Mapping[str, int]
    item: str | None = None

    def names(self) -> list[str]:
        """All of them."""
        return [*sorted(self.captures), *self.parts, *([self.item] if self.item else []), *REQUEST_NAMES]


class Reference:
    """One place. `kind` is capture, part, item or one of REQUEST_NAMES; `steps` lead into its value."""

    __slots__ = ("default", "kind", "name", "number", "steps", "text")

    def __init__(self, text: str, scope: Scope) -> None:
        """ConfigError for a name that there is not."""
        text, mark, default = text.partition(":-")
        self.text = text
        self.default = default if mark else None
        self.number = -1
        if text.startswith("*") and text[1:] in scope.captures:
            # `{*rest}` names the same capture as `{rest}`, as in `rewrite`.
            text = text[1:]
        name, *steps = text.split(".") if text not in scope.captures else (text,)
        if name in scope.captures:
            kind = "capture"
        elif name == scope.item:
            kind = "item"
        elif name in scope.parts:
            kind = "part"
            self.number = scope.parts[name]
        elif name in REQUEST_NAMES:
            kind = name
            _check_request_name(text, name, steps)
        else:
            raise UnknownName(text, name, scope.names())
        if kind == "capture" and steps:
            raise ConfigError(f"{{{text}}}: a capture is a text and has no fields")
        if not all(steps):
            raise ConfigError(f"{{{text}}} has an empty field name")
        self.kind = kind
        self.name = name if kind in ("capture", "part", "item") else ".".join(steps)
        self.steps: tuple[str, ...] = () if kind in ("header", "query") else tuple(steps)

    def value(self, values: Values, item: Any) -> Any:
        """What stands there. Unresolved where nothing does."""
        kind, exchange = self.kind, values.exchange
        found: Any
        if kind == "part":
            found = values.part(self.number)
        elif kind == "item":
            found = item
        elif kind == "capture":
            return unquote(exchange.captures[self.name])
        elif kind == "query":
            found = parse_qs(exchange.query, keep_blank_values=True).get(self.name, [MISSING])
            return self._there(found[0] if len(found) == 1 else found)
        elif kind == "header":
            return self._there(exchange.headers.get(self.name, MISSING))
        elif kind == "principal":
            return self._there(exchange.principal)
        elif kind == "claims":
            found = exchange.claims or {}
        else:
            return exchange.body or (self.default or "").encode()
        for step in self.steps:
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                found = None
        return self._there(found)

    def _there(self, found: Any) -> Any:
        if found is None or found is MISSING:
            if self.default is not None:
                return self.default
            raise Unresolved(f"{{{self.text}}} is not there", self.of_request)
        return found

    @property
    def of_request(self) -> bool:
        """Is it filled by what the client sent?"""
        return self.kind not in ("part", "item")

    def text_of(self, values: Values, item: Any) -> str:
        """The same as text. Unresolved for an object, and for a list of anything but texts and numbers."""
        return scalar(self.value(values, item), self.text, self.of_request)

    def __repr__(self) -> str:
        return f"<Reference {self.text}>"


def _check_request_name(text: str, name: str, steps: Sequence[str]) -> None:
    if name == "request" and list(steps) != ["body"]:
        raise ConfigError(f"{{{text}}}: of the request there is {{request.body}}")
    if name == "principal" and steps:
        raise ConfigError(f"{{{text}}}: the principal is a text and has no fields")
    if name in ("query", "header", "claims") and not steps:
        raise ConfigError(f"{{{text}}} needs a name, such as {{{name}.id}}")


def scalar(value: Any, text: str, of_request: bool = False) -> str:
    """A value in a text: true and false as in JSON, numbers as they were written, a list joined by commas. Unresolved
    for what is no text."""
    if type(value) is str:
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return write(value).decode()
    if isinstance(value, list) and value and not any(one is None or isinstance(one, dict | list) for one in value):
        return ",".join([scalar(one, text, of_request) for one in value])
    what = "nothing" if value is None else "an empty list" if value == [] else "no text"
    raise Unresolved(f"{{{text}}} is {what}", of_request)


class TextTemplate:
    """A text with places. `references` are what it needs, `pieces` the text cut at them."""

    __slots__ = ("only", "pieces", "references", "text")

    def __init__(self, text: str, scope: Scope) -> None:
        """ConfigError for what is wrong with it."""
        self.text = text
        parts = PLACE.split(text)
        if any("{" in part or "}" in part for part in parts[::2]):
            raise ConfigError(f"{text!r} has a brace that is no place: write {{name}}")
        self.references = tuple(Reference(part, scope) for part in parts[1::2])
        self.pieces: tuple[str | Reference, ...] = tuple(
            self.references[number // 2] if number % 2 else part for number, part in enumerate(parts)
        )
        # A place that is all of the text stands for its value, whatever that is.
        self.only = self.references[0] if len(parts) == 3 and not parts[0] and not parts[2] else None

    def expand(self, values: Values, item: Any = MISSING) -> str:
        """The text with its places filled. Unresolved."""
        return "".join(
            [piece if type(piece) is str else piece.text_of(values, item) for piece in self.pieces]  # type: ignore[union-attr]
        )


class TargetTemplate:
    """A path with its query, in which every place keeps to its segment or its parameter."""

    __slots__ = ("_alone", "_fills", "_pieces", "references", "text")

    def __init__(self, text: str, scope: Scope) -> None:
        """ConfigError for what is wrong with it."""
        template = TextTemplate(text, scope)
        self.text = text
        self.references = template.references
        self._pieces = template.pieces
        fills: list[str | Callable[[Values, Any], str]] = []
        before = ""
        for piece in self._pieces:
            if isinstance(piece, Reference):
                fills.append(_in_query(piece) if "?" in before else _in_path(piece))
            else:
                fills.append(piece)
                before += piece
        if not ORIGIN_FORM.fullmatch(before):
            raise ConfigError(f"{text!r} is no path: write what is not visible ASCII, and '#', as %XX")
        self._fills = tuple(fills)
        self._alone = tuple(_segments_of_places(self._pieces))

    def captured(self) -> Template | None:
        """The path with what the route captures alone, and something fixed in all other places; None where nothing of
        it is captured."""
        parts = [""]
        for piece in self._pieces:
            if isinstance(piece, Reference):
                if piece.kind == "capture":
                    parts += [piece.name, ""]
                else:
                    parts[-1] += "x"
                continue
            path, mark, _ = piece.partition("?")
            parts[-1] += path
            if mark:
                break
        return Template(self.text, tuple(parts)) if len(parts) > 1 else None

    def expand(self, values: Values, item: Any = MISSING) -> str:
        """Raw path and query. Unresolved."""
        if not self.references:
            return self.text
        texts: list[str] = [fill if type(fill) is str else fill(values, item) for fill in self._fills]  # type: ignore[operator]
        for places in self._alone:
            if not any(texts[place] for place in places):
                raise Unresolved(f"{self.text} would have an empty segment", self._pieces[places[0]].of_request)  # type: ignore[union-attr]
        target = "".join(texts)
        if "/." in target and not {".", ".."}.isdisjoint(target.partition("?")[0].split("/")):
            of_request = all(reference.of_request for reference in self.references)
            raise Unresolved(f"{self.text} would leave its place, for a segment is a dot or two", of_request)
        return target

    def preview(self, values: Values) -> str:
        """The same as far as it is known before anything is asked: other places stand as they are."""
        texts = []
        for piece, fill in zip(self._pieces, self._fills, strict=True):
            if isinstance(piece, Reference) and not isinstance(fill, str):
                try:
                    texts.append(fill(values, MISSING) if piece.of_request else f"{{{piece.text}}}")
                except Unresolved:
                    texts.append(f"{{{piece.text}}}")
            else:
                texts.append(str(piece))
        return "".join(texts)


def _in_query(reference: Reference) -> Callable[[Values, Any], str]:
    return lambda values, item: _quoted(reference.text_of(values, item), ",")


def _segments_of_places(pieces: Iterable[str | Reference]) -> Iterator[tuple[int, ...]]:
    """The path segments that are nothing but places for values: the numbers of these places."""
    places: list[int] = []
    bare = True
    for number, piece in enumerate(pieces):
        if isinstance(piece, Reference):
            bare = bare and piece.kind != "capture"
            places.append(number)
            continue
        path, query, _ = piece.partition("?")
        rest, *segments = path.split("/")
        bare = bare and not rest
        for segment in segments:
            if places and bare:
                yield tuple(places)
            places, bare = [], not segment
        if query:
            break
    if places and bare:
        yield tuple(places)


def _in_path(reference: Reference) -> Callable[[Values, Any], str]:
    if reference.kind == "capture":
        # Raw, as in `rewrite`: routing has made sure that it can be read in one way only.
        return lambda values, item: values.exchange.captures[reference.name]
    return lambda values, item: _quoted(reference.text_of(values, item), "")


def _quoted(text: str, safe: str) -> str:
    # Most are ids, of which nothing has to be written otherwise.
    return text if text.isascii() and text.isalnum() else quote(text, safe=safe)


class JsonTemplate:
    """JSON with places in its texts. A text that is one place alone stands for the value itself. `relays`: it is the
    client's body and nothing else."""

    __slots__ = ("_make", "references", "relays")

    def __init__(self, data: Any, scope: Scope) -> None:
        """ConfigError for what is wrong with a text of it."""
        references: list[Reference] = []
        self._make = _maker(data, scope, references)
        self.references = tuple(references)
        self.relays = isinstance(data, str) and TextTemplate(data, scope).only is not None and is_body(references[0])

    def expand(self, values: Values, item: Any = MISSING) -> Any:
        """The value with its places filled. Unresolved."""
        return self._make(values, item)


def _maker(data: Any, scope: Scope, references: list[Reference]) -> Callable[[Values, Any], Any]:
    if isinstance(data, str):
        template = TextTemplate(data, scope)
        references.extend(template.references)
        if template.only is not None:
            return template.only.value
        return template.expand if template.references else lambda values, item: data
    if isinstance(data, dict):
        fields = [(name, _maker(one, scope, references)) for name, one in data.items()]
        return lambda values, item: {name: make(values, item) for name, make in fields}
    if isinstance(data, list):
        makers = [_maker(one, scope, references) for one in data]
        return lambda values, item: [make(values, item) for make in makers]
    return lambda values, item: data


def is_body(reference: Reference) -> bool:
    """Does it stand for the body of the client's request?"""
    return reference.kind == "request"


def part_numbers(references: Iterable[Reference]) -> set[int]:
    """The parts that these need."""
    return {reference.number for reference in references if reference.kind == "part"}
