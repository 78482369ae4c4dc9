"""The tree of a parsed file: Node, a value that knows its place, and Source, the file's lines without its secrets."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

from gateway.config.problems import Position
from gateway.units import MASK

Path = tuple[str | int, ...]

# What libyaml counts as the end of a line; positions and source lines must agree on it.
_RARE_LINE_ENDS = "\r\x85\u2028\u2029"
_LINE_END = re.compile("\r\n|[\r\n\x85\u2028\u2029]")


def split_lines(text: str) -> list[str]:
    """The lines of `text`, as YAML counts them."""
    # The common case at a fortieth of the time, in which nothing else runs.
    if not any(rare in text for rare in _RARE_LINE_ENDS):
        return text.split("\n")
    return _LINE_END.split(text)


class Source:
    """One file's name and lines. `hide` takes a secret out of the lines, so that no excerpt can show it."""

    __slots__ = ("file", "lines")

    def __init__(self, file: str, text: str = "") -> None:
        self.file = file
        self.lines = split_lines(text)

    def hide(self, node: Node) -> None:
        """Replace what stands in the place of `node`, to the end of its lines, with `***`."""
        self.lines[node.line] = self.lines[node.line][: node.column] + MASK
        for line in range(node.line + 1, min(node.end_line, len(self.lines))):
            self.lines[line] = MASK


class Node:
    """A value, where it stands, and where the key stands that it belongs to. `value` is a scalar, a list of nodes, or
    a dict of nodes. `substituted` is set when a `${...}` was filled in: then the text is not what the file says.

    Lines and columns count from 0 here, as the parser's do; `end_line` is the first line that no longer belongs to it.
    A file of 10,000 routes has 70,000 nodes, so a node holds numbers and makes a Position only when asked.
    """

    __slots__ = ("column", "end_line", "key_column", "key_line", "line", "source", "substituted", "value")

    def __init__(self, source: Source, event: Any, value: Any) -> None:
        start, end = event.start_mark, event.end_mark
        self.source = source
        self.line: int = start.line
        self.column: int = start.column
        self.end_line: int = end.line + (end.column > 0)
        self.value = value
        self.key_line = 0
        self.key_column = 0
        self.substituted = False

    @property
    def position(self) -> Position:
        """Where the value begins."""
        return Position(self.source.file, self.line + 1, self.column + 1)

    def key_position(self, key: str) -> Position:
        """Where `key` of this mapping stands; the mapping's own place when it has no such key."""
        value = self.child(key)
        if value is None:
            return self.position
        return Position(value.source.file, value.key_line + 1, value.key_column + 1)

    def made(self, value: Any) -> Node:
        """Another value that stands in the place of this one."""
        twin = copy.copy(self)
        twin.value = value
        return twin

    def keys(self) -> set[str]:
        """The keys of this mapping; none where it is something else."""
        return set(self.value) if isinstance(self.value, dict) else set()

    def child(self, step: str | int) -> Node | None:
        """The value under a key or an index, None where there is none."""
        value = self.value
        if isinstance(value, dict) and isinstance(step, str):
            return value.get(step)
        if isinstance(value, list) and isinstance(step, int) and 0 <= step < len(value):
            return value[step]  # type: ignore[no-any-return]
        return None

    def nearest(self, path: Path) -> Node:
        """The node at `path`, or the last one on the way there that the file has."""
        node = self
        for step in path:
            found = node.child(step)
            if found is None:
                break
            node = found
        return node

    def plain(self) -> Any:
        """The value as plain Python data."""
        value = self.value
        if type(value) is dict:
            return {key: node.plain() for key, node in value.items()}
        if type(value) is list:
            return [node.plain() for node in value]
        return value

    def scalars(self) -> Iterator[Node]:
        """Every scalar under this node, in no order."""
        pending = [self]
        while pending:
            node = pending.pop()
            if isinstance(node.value, dict):
                pending.extend(node.value.values())
            elif isinstance(node.value, list):
                pending.extend(node.value)
            else:
                yield node
