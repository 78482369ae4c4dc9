"""Path patterns (`/items/{id}`, `/files/**`) and the templates that put captures back together."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from gateway.errors import ConfigError

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
PLACE = re.compile(r"\{(\*\*|\*?[A-Za-z_][A-Za-z0-9_]*)\}")


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment of a pattern. `kind` is literal, regex, name, any (`*`) or rest (`**`), the most specific first."""

    kind: str
    text: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Pattern:
    """A parsed path pattern. `captures` holds (segment number, name); `rest` the number and name of `**`."""

    text: str
    segments: tuple[Segment, ...]

    @property
    def names(self) -> frozenset[str]:
        """What can be captured."""
        return frozenset(segment.name for segment in self.segments if segment.name)

    def capture(self, raw_path: str) -> dict[str, str]:
        """The captured parts of a path that matches, raw."""
        parts = raw_path.split("/")
        captured: dict[str, str] = {}
        for number, segment in enumerate(self.segments, start=1):
            if segment.kind == "rest":
                captured[segment.name] = "/".join(parts[number:])
            elif segment.name:
                captured[segment.name] = parts[number]
        return captured

    def __str__(self) -> str:
        return self.text


def parse_pattern(text: str) -> Pattern:
    """Read a pattern. ConfigError with what to write instead."""
    if not text.startswith("/"):
        raise ConfigError(f"a path pattern begins with '/': write '/{text}'")
    if "?" in text or "#" in text:
        raise ConfigError("a path pattern has no query and no fragment: use `match.query` for the query")
    segments: list[Segment] = []
    names: set[str] = set()
    parts = _split(text[1:])
    for number, part in enumerate(parts, start=1):
        segment = _segment(part)
        if segment.kind == "rest" and number != len(parts):
            raise ConfigError(f"'{part}' stands for the rest of the path and can only be the last segment")
        if segment.name:
            if segment.name in names:
                raise ConfigError(f"'{segment.name}' is captured twice")
            names.add(segment.name)
        segments.append(segment)
    return Pattern(text, tuple(segments))


def _split(text: str) -> list[str]:
    """Split at slashes that are not inside braces."""
    parts = [""]
    depth = 0
    for letter in text:
        depth += (letter == "{") - (letter == "}")
        if letter == "/" and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise ConfigError("a brace is not closed")
    return parts


def _segment(part: str) -> Segment:
    if part == "**":
        return Segment("rest", name="**")
    if part == "*":
        return Segment("any")
    if not (part.startswith("{") and part.endswith("}")):
        if "{" in part or "}" in part or "*" in part:
            raise ConfigError(
                f"'{part}' mixes text and a capture in one segment: capture the whole segment, "
                "with a regular expression if need be: '{name:img-[0-9]+}'"
            )
        return Segment("literal", text=part)
    name, colon, expression = part[1:-1].partition(":")
    if name.startswith("*") and not colon:
        return Segment("rest", name=_checked_name(name[1:], part))
    _checked_name(name, part)
    if not colon:
        return Segment("name", name=name)
    try:
        re.compile(expression)
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"'{expression}' is not a regular expression: {error}") from None
    return Segment("regex", text=expression, name=name)


def _checked_name(name: str, part: str) -> str:
    if not NAME.fullmatch(name):
        raise ConfigError(f"'{part}' needs a name of letters, digits and '_', such as '{{id}}'")
    return name


@dataclass(frozen=True, slots=True)
class Template:
    """Text with places for captures: `/items/{id}`, `/api/{**}`."""

    text: str
    parts: tuple[str, ...]

    @property
    def names(self) -> frozenset[str]:
        """The captures it needs."""
        return frozenset(self.parts[1::2])

    def expand(self, captures: Mapping[str, str]) -> str:
        """Put the captures in, raw."""
        parts = self.parts
        if len(parts) == 1:
            return parts[0]
        return "".join([captures[part] if number % 2 else part for number, part in enumerate(parts)])


def parse_template(text: str, names: frozenset[str]) -> Template:
    """Read a template for a pattern that captures `names`. ConfigError for a place that nothing fills."""
    parts = PLACE.split(text)
    # `{*rest}` names the same capture as `{rest}`.
    parts[1::2] = [part if part == "**" else part.lstrip("*") for part in parts[1::2]]
    if any("{" in part or "}" in part for part in parts[::2]):
        raise ConfigError(f"'{text}' has a brace that is no capture: write '{{name}}' or '{{**}}'")
    for name in parts[1::2]:
        if name not in names:
            known = ", ".join(f"{{{known}}}" for known in sorted(names)) or "nothing"
            raise ConfigError(f"'{{{name}}}' is not captured by the path, which captures {known}")
    return Template(text, tuple(parts))
