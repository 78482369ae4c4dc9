"""YAML text to a tree of nodes that know their place. YAML 1.2 core scalars, one document, no tricks.

The tree is built from the parser's events in one pass: PyYAML's own composer resolves scalars by YAML 1.1 (`on` is
true, `22:22` is 1342) and lets duplicate keys pass. libyaml is used where PyYAML was built with it; its pure Python
twin gives the same events, more slowly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final, cast

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)

from gateway.config.nodes import Node, Source, split_lines
from gateway.config.problems import Position, Problem, closest
from gateway.config.scalars import resolve

MAX_DEPTH: Final = 64
MAX_ALIASED_NODES: Final = 10_000

# A key that was refused: its value is read and dropped.
_REJECTED: Final = "\0rejected"

_NOT_PRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_SEARCHED: Final = 1 << 16

_TAG: Final = "tag:yaml.org,2002:"
_SCALAR_TAGS: Final = {"null": type(None), "bool": bool, "int": int, "float": float}


class _PureParser(yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser):
    """PyYAML's parser without libyaml."""

    def __init__(self, text: str) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)


def _fastest_parser() -> type[_PureParser]:
    if yaml.__with_libyaml__:
        from yaml.cyaml import CParser  # type: ignore[attr-defined]

        return cast("type[_PureParser]", CParser)
    return _PureParser


_Parser = _fastest_parser()


class Document:
    """One parsed file: its root mapping (None when it could not be read), the scalars that hold a `${`, and what is
    wrong with it."""

    __slots__ = ("problems", "root", "source", "substitutable")

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root: Node | None = None
        self.substitutable: list[Node] = []
        self.problems: list[Problem] = []


def parse(file: str, data: bytes) -> Document:
    """The document in `data`, every mistake collected up to the first that YAML cannot be read past."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8-sig")
        document = Document(Source(file, before))
        document.problems.append(Problem(_end_of(file, before), "the file is not UTF-8"))
        return document
    document = Document(Source(file, text))
    broken = _not_printable(text)
    if broken:
        message = f"the character U+{ord(broken[0]):04X} is not allowed in YAML"
        document.problems.append(Problem(_end_of(file, text[: broken.start()]), message))
        return document
    composer = _Composer(document)
    try:
        document.root = composer.compose(_events(text))
    except yaml.MarkedYAMLError as error:
        document.problems.append(_syntax_problem(document.source, error))
    except _Unreadable as error:
        document.problems.append(error.problem)
    return document


def _not_printable(text: str) -> re.Match[str] | None:
    """The first such character; piece by piece, since nothing else runs during a search."""
    for start in range(0, len(text), _SEARCHED):
        found = _NOT_PRINTABLE.search(text, start, start + _SEARCHED)
        if found is not None:
            return found
    return None


class _Unreadable(Exception):
    """The file cannot be read past `problem`."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem


class _Composer:
    """Builds the tree of one document from its events. The state is the open collection, the key that waits for its
    value there, and the collections around it."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._source = document.source
        self._root: Node | None = None
        self._parent: Node | None = None
        self._key: str | None = None
        self._key_mark: yaml.Mark | None = None
        self._around: list[tuple[Node | None, str | None]] = []
        self._anchors: dict[str, Node] = {}
        self._sizes: dict[int, int] = {}
        self._aliased = 0

    def compose(self, events: Iterator[Event]) -> Node | None:
        """The root mapping; None, with a problem, when there is nothing or something else."""
        for event in events:
            kind = type(event)
            if kind is ScalarEvent:
                if self._key is None and self._parent is not None and type(self._parent.value) is dict:
                    self._take_key(event, self._parent)
                else:
                    self._attach(self._scalar(event))
            elif kind is MappingStartEvent or kind is SequenceStartEvent:
                self._enter(event)
            elif kind is MappingEndEvent or kind is SequenceEndEvent:
                self._parent, self._key = self._around.pop()
            elif kind is AliasEvent:
                self._attach(self._alias(event))
            elif kind is DocumentStartEvent and self._root is not None:
                raise self._unreadable(event, "only one YAML document is allowed in a file")
        return self._mapping_at_top()

    def _mapping_at_top(self) -> Node | None:
        root = self._root
        if root is None or root.value is None:
            self._document.problems.append(Problem(Position(self._source.file, 1, 1), "the file is empty"))
            return None
        if not isinstance(root.value, dict):
            message = "the top level should be a mapping (key: value)"
            self._document.problems.append(Problem(root.position, message))
            return None
        return root

    def _attach(self, node: Node) -> None:
        parent = self._parent
        if parent is None:
            self._root = node
        elif type(parent.value) is list:
            parent.value.append(node)
        elif self._key is None:
            self._document.problems.append(Problem(node.position, "a key must be text"))
            self._key = _REJECTED
        else:
            if self._key is not _REJECTED and self._key_mark is not None:
                parent.value[self._key] = node
                node.key_line = self._key_mark.line
                node.key_column = self._key_mark.column
            self._key = None

    def _enter(self, event: Any) -> None:
        if len(self._around) >= MAX_DEPTH:
            raise self._unreadable(event, f"nested more than {MAX_DEPTH} levels deep")
        mapping = type(event) is MappingStartEvent
        if event.tag is not None and event.tag not in ("!", _TAG + ("map" if mapping else "seq")):
            self._report(event, f"unknown tag {_tag_text(event.tag)!r}", "tags are not used here")
        node = Node(self._source, event, {} if mapping else [])
        self._remember(event.anchor, node)
        self._attach(node)
        self._around.append((self._parent, self._key))
        self._parent, self._key = node, None

    def _take_key(self, event: Any, parent: Node) -> None:
        key = event.value
        self._key = _REJECTED
        self._key_mark = event.start_mark
        if event.tag is not None and event.tag not in ("!", _TAG + "str"):
            self._report(event, f"unknown tag {_tag_text(event.tag)!r}", "tags are not used here")
        elif event.implicit[0] and not isinstance(resolve(key), str):
            self._report(event, f"a key must be text, and {key or 'nothing'!r} is not", f'write "{key}"')
        elif key == "<<" and event.implicit[0]:
            self._report(event, "merge keys (<<) are not part of YAML 1.2", "write the keys out")
        elif key in parent.value:
            first = parent.value[key].key_line + 1
            self._report(event, f"duplicate key {key!r}", f"it is already on line {first}")
        else:
            self._key = key
        if event.anchor is not None:
            self._remember(event.anchor, Node(self._source, event, key))

    def _scalar(self, event: Any) -> Node:
        text = event.value
        value = resolve(text) if event.implicit[0] else text
        if event.tag is not None and event.tag not in ("!", _TAG + "str"):
            value = self._tagged(event)
        node = Node(self._source, event, value)
        if event.anchor is not None:
            self._remember(event.anchor, node)
        if "${" in text:
            self._document.substitutable.append(node)
        return node

    def _tagged(self, event: Any) -> Any:
        name = event.tag.removeprefix(_TAG)
        if name not in _SCALAR_TAGS:
            self._report(event, f"unknown tag {_tag_text(event.tag)!r}", "tags are not used here")
            return event.value
        value = resolve(event.value)
        if type(value) is not _SCALAR_TAGS[name]:
            self._report(event, f"{event.value!r} does not fit its tag {_tag_text(event.tag)!r}")
        return value

    def _remember(self, anchor: str | None, node: Node) -> None:
        if anchor is not None:
            self._anchors[anchor] = node

    def _alias(self, event: Any) -> Node:
        node = self._anchors.get(event.anchor)
        if node is None:
            self._report(event, f"unknown alias '*{event.anchor}'", closest(event.anchor, self._anchors))
            return Node(self._source, event, None)
        if node is self._parent or any(node is parent for parent, _ in self._around):
            raise self._unreadable(event, f"the alias '*{event.anchor}' contains itself")
        self._aliased += self._size(node)
        if self._aliased > MAX_ALIASED_NODES:
            raise self._unreadable(event, f"aliases stand for more than {MAX_ALIASED_NODES} values")
        # A node of its own, for it has a key and a place of its own; what is under it is shared.
        alias = Node(self._source, event, node.value)
        if isinstance(node.value, str) and "${" in node.value:
            self._document.substitutable.append(alias)
        return alias

    def _size(self, node: Node) -> int:
        """How many values `node` stands for. Depth is bounded: each level below an alias was counted before, and the
        count has a limit."""
        value = node.value
        if not isinstance(value, dict | list):
            return 1
        size = self._sizes.get(id(value))
        if size is None:
            children = value.values() if isinstance(value, dict) else value
            size = self._sizes[id(value)] = 1 + sum(self._size(child) for child in children)
        return size

    def _report(self, event: Any, message: str, hint: str = "") -> None:
        self._document.problems.append(Problem(_at(self._source, event.start_mark), message, hint))

    def _unreadable(self, event: Any, message: str) -> _Unreadable:
        return _Unreadable(Problem(_at(self._source, event.start_mark), message))


def _at(source: Source, mark: yaml.Mark) -> Position:
    return Position(source.file, mark.line + 1, mark.column + 1)


def _end_of(file: str, text: str) -> Position:
    lines = split_lines(text)
    return Position(file, len(lines), len(lines[-1]) + 1)


def _events(text: str) -> Iterator[Event]:
    return iter(_Parser(text).get_event, None)


def _tag_text(tag: str) -> str:
    return tag.replace(_TAG, "!!")


def _syntax_problem(source: Source, error: yaml.MarkedYAMLError) -> Problem:
    """The parser's complaint in plain words, for the slips that people make."""
    mark = error.problem_mark or error.context_mark
    if mark is None:
        return Problem(Position(source.file, 1, 1), f"not YAML: {error.problem}")
    if not any(source.lines[mark.line :]) and "quoted" not in (error.context or ""):
        hint = "close what is open: [ ] or { }"
        return Problem(_end_of(source.file, "\n".join(source.lines).rstrip()), "the file ends too early", hint)
    position = _at(source, mark)
    line = source.lines[mark.line] if mark.line < len(source.lines) else ""
    indent = line[: len(line) - len(line.lstrip())]
    complaint = error.problem or ""
    if "\t" in indent:
        position = position._replace(column=indent.index("\t") + 1)
        return Problem(position, "a tab cannot indent YAML", "use spaces")
    if "cannot start any token" in complaint:
        return Problem(
            position, f"a value cannot begin with {line[mark.column : mark.column + 1]!r}", "put it in quotes"
        )
    if "mapping values are not allowed" in complaint:
        return Problem(position, "a second ': ' in one value", "put the value in quotes, or check the indentation")
    if "unexpected end of stream" in complaint and "quoted" in (error.context or ""):
        start = error.context_mark or mark
        return Problem(_at(source, start), "the quote is never closed")
    if re.search("',' or '[]}]'", complaint):
        return Problem(
            position,
            f"not YAML: {complaint}",
            'between { } and [ ] a value that holds { } [ ] or a comma needs quotes, "${VAR}" too',
        )
    return Problem(position, f"not YAML: {complaint}", "check the indentation and the quotes before this place")
