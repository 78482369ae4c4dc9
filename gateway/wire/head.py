"""The Head seam: a message head is parsed, answers a few questions, and is written out again for the other side."""

from __future__ import annotations

from collections.abc import Iterator
from http import HTTPStatus
from typing import Self

from gateway.wire.fields import FIELD_KEYS, FRAMING, KEYS_KEPT, field_line, is_plain
from gateway.wire.shapes import HeaderPolicy, Shape

COLON = ord(":")
# Fields that plugins add again and again, with their lines; bounded, cleared when full.
FIELD_LINES: dict[tuple[tuple[str, str], ...], tuple[bytes, ...]] = {}


class Block:
    """The header fields of one message as received: immutable, so that one block can serve every message that
    repeats it byte for byte. `text` is what passes of it, written out, and `asked` the values of names that were asked
    for together."""

    __slots__ = ("asked", "shape", "text", "values")

    def __init__(self, shape: Shape, values: list[bytes]) -> None:
        self.shape = shape
        self.values = values
        self.text = shape.template % shape.pick(values)
        self.asked: dict[tuple[bytes, ...], tuple[tuple[bytes, ...], ...]] = {}

    def telling(self, name: bytes) -> list[bytes]:
        """All values of a name of `Shape.TELLING`, visible or not."""
        return [self.values[position].strip(b" \t") for position in self.shape.telling.get(name, ())]


class Head:
    """The header fields of one message, with what plugins changed about them. The `Headers` of plugins.

    Mutable state: `_added` fields and `_removed` positions of the block.
    """

    __slots__ = ("_added", "_removed", "block")

    def __init__(self, block: Block) -> None:
        self.block = block
        self._added: list[bytes] | None = None
        self._removed: set[int] | None = None

    def raw(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case) as bytes, without blanks around it; or None."""
        block = self.block
        position = block.shape.index.get(name)
        if position is not None:
            if self._removed is None or position not in self._removed:
                return block.values[position].strip()
            for position in block.shape.repeats.get(name, ()):
                if position not in self._removed:
                    return block.values[position].strip()
        if self._added is not None:
            start = name + b":"
            for line in self._added:
                if line[: len(start)].lower() == start:
                    return line[len(start) + 1 : -2]
        return None

    def raw_values(self, names: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], ...]:
        """Every value of each of these names (lower case) as bytes, in order. Of a block that comes again the answer is
        kept, so `names` are one of few tuples."""
        asked = self.block.asked
        found = asked.get(names) if self._removed is None else self._visible(names)
        if found is None:
            found = asked[names] = self._visible(names)
        return found if self._added is None else self._with_added(names, found)

    def _visible(self, names: tuple[bytes, ...]) -> tuple[tuple[bytes, ...], ...]:
        shape, values, removed = self.block.shape, self.block.values, self._removed
        return tuple(
            [
                tuple(
                    [
                        values[at].strip()
                        for at in shape.repeats.get(name, (shape.index[name],))
                        if removed is None or at not in removed
                    ]
                )
                if name in shape.index
                else ()
                for name in names
            ]
        )

    def _with_added(
        self, names: tuple[bytes, ...], found: tuple[tuple[bytes, ...], ...]
    ) -> tuple[tuple[bytes, ...], ...]:
        for place, name in enumerate(names):
            size = len(name)
            for line in self._added or ():
                if len(line) > size and line[size] == COLON and line[:size].lower() == name:
                    found = (*found[:place], (*found[place], line[size + 2 : -2]), *found[place + 1 :])
        return found

    def lines_of(self, names: frozenset[bytes]) -> list[bytes]:
        """The visible fields of these names (lower case) as whole lines, in order."""
        shape, values, removed = self.block.shape, self.block.values, self._removed
        lines = [
            b"%b: %b\r\n" % (shape.names[position], values[position].strip())
            for name, first in shape.index.items()
            if name in names
            for position in shape.repeats.get(name, (first,))
            if removed is None or position not in removed
        ]
        lines += [line for line in self._added or () if line[: line.index(b":")].lower() in names]
        return lines

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of `name`, or `default`."""
        value = self.raw(name.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        names = (name.lower().encode("latin-1"),)
        (values,) = self._with_added(names, self._visible(names))
        return [value.decode("latin-1") for value in values]

    def received(self, name: bytes) -> tuple[bytes, ...]:
        """Every value of `name` (lower case) as it came, whatever was changed since."""
        shape, values = self.block.shape, self.block.values
        first = shape.index.get(name)
        return () if first is None else tuple([values[at].strip() for at in shape.repeats.get(name, (first,))])

    def add(self, name: str, value: str) -> None:
        """Append a field. ValueError for what HTTP does not allow, and for fields that frame the message."""
        if name in FIELD_KEYS and is_plain(value):
            line = f"{name}: {value}\r\n".encode()
        else:
            if name.lower() == "host":
                raise ValueError("there is one Host in a message: use set")
            line = field_line(name, value)
        self.add_line(line)

    def add_line(self, line: bytes) -> None:
        """Append a field that is written out, with its CRLF. Nobody checks it: no part of it is anybody else's."""
        added = self._added
        if added is None:
            self._added = [line]
        else:
            added.append(line)

    def add_all(self, fields: tuple[tuple[str, str], ...]) -> None:
        """Append several fields. ValueError as with `add`. What it takes to write a tuple out is done once for it."""
        lines = FIELD_LINES.get(fields)
        if lines is None:
            lines = self._written(fields)
            if len(FIELD_LINES) >= KEYS_KEPT:
                FIELD_LINES.clear()
            FIELD_LINES[fields] = lines
        if self._added is None:
            self._added = [*lines] or None
        else:
            self._added += lines

    def _written(self, fields: tuple[tuple[str, str], ...]) -> tuple[bytes, ...]:
        alone = Head(self.block)
        for name, value in fields:
            alone.add(name, value)
        return tuple(alone._added or ())

    def set(self, name: str, value: str) -> None:
        """Put one field in place of all of that name. ValueError as with `add`."""
        key = FIELD_KEYS.get(name)
        if key is not None and is_plain(value):
            line = f"{name}: {value}\r\n".encode()
        else:
            line = field_line(name, value)
            key = name.lower().encode("latin-1")
        self.set_line(key, line)

    def set_line(self, name: bytes, line: bytes) -> None:
        """Put a field that is written out, with its CRLF, in place of all of that name (lower case). Nobody checks
        it: no part of it is anybody else's."""
        if name in self.block.shape.index:
            self._replace(name, line)
        elif self._added is None:
            self._added = [line]
        else:
            start = name + b":"
            for added in self._added:
                if added[: len(start)].lower() == start:
                    self._replace(name, line)
                    return
            self._added.append(line)

    def remove(self, name: str) -> None:
        """Take away all fields of that name. ValueError for fields that frame the message, and for Host."""
        key = name.lower().encode("latin-1")
        if key in FRAMING or key == b"host":
            raise ValueError(f"{name} cannot be taken away: a message needs it")
        self._discard(key)

    def set_length(self, length: int) -> None:
        """The body is whole and has this length. For the gateway itself, which frames what it sends."""
        self._replace(b"content-length", b"Content-Length: %d\r\n" % length)

    def drop(self, name: bytes) -> None:
        """Take away all fields of that name (lower case). For the gateway itself."""
        self._discard(name)

    def _replace(self, key: bytes, line: bytes) -> None:
        self._discard(key)
        self._added = [*(self._added or ()), line]

    def items(self) -> Iterator[tuple[str, str]]:
        """Name and value of each field, as received, in order."""
        for name, value in self.raw_items():
            yield name.decode("latin-1"), value.decode("latin-1")

    def raw_items(self) -> Iterator[tuple[bytes, bytes]]:
        """The visible fields as bytes."""
        shape = self.block.shape
        visible = sorted(
            position
            for name, first in shape.index.items()
            for position in shape.repeats.get(name, (first,))
            if self._removed is None or position not in self._removed
        )
        for position in visible:
            yield shape.names[position], self.block.values[position].strip()
        for line in self._added or ():
            name, _, value = line.partition(b": ")
            yield name, value[:-2]

    def _discard(self, key: bytes) -> None:
        shape = self.block.shape
        first = shape.index.get(key)
        if first is not None:
            if self._removed is None:
                self._removed = set()
            self._removed.update(shape.repeats.get(key, (first,)))
        if self._added is not None:
            self._added = [line for line in self._added if line.partition(b":")[0].lower() != key] or None

    def text(self) -> bytes:
        """All fields that pass, written out; each line ends in CRLF."""
        return b"".join(self.lines())

    def lines(self) -> list[bytes]:
        """The same in pieces, for one join of the whole message."""
        if self._removed:
            return [b"%b: %b\r\n" % field for field in self.raw_items()]
        if self._added is None:
            return [self.block.text]
        return [self.block.text, *self._added]

    def __copy__(self) -> Self:
        twin = self.__new__(type(self))
        for kind in type(self).__mro__:
            for name in getattr(kind, "__slots__", ()):
                setattr(twin, name, getattr(self, name))
        return twin

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {[name for name, _ in self.items()]}>"


class RequestBlock(Block):
    """A client's header fields and what they say of framing and connection.

    `count` is of all fields. `content_length` is None without one; `chunked` and it exclude each other. `host_field`
    is the Host as sent, empty without one.
    """

    __slots__ = ("chunked", "content_length", "count", "expects_continue", "host", "host_field", "keep_alive")

    def __init__(self, shape: Shape, values: list[bytes], version: str) -> None:
        Block.__init__(self, shape, values)
        self.count = len(values)
        self.content_length: int | None = None
        self.chunked = False
        self.expects_continue = False
        self.keep_alive = version == "1.1"
        self.host_field = b""
        self.host = ""


class RequestHead(Head):
    """A client's head. `line` is the request line with its CRLF, where it may go upstream as it is."""

    __slots__ = ("chunked", "line", "method", "target", "version")

    def __init__(self, block: RequestBlock, method: str, target: str, version: str, line: bytes | None = None) -> None:
        self.block: RequestBlock = block
        self._added = None
        self._removed = None
        self.method = method
        self.target = target
        self.version = version
        self.line = line
        self.chunked = block.chunked

    def copy(self) -> RequestHead:
        """The same head, to be changed on its own."""
        twin = RequestHead(self.block, self.method, self.target, self.version, self.line)
        twin._added = list(self._added) if self._added is not None else None
        twin._removed = set(self._removed) if self._removed is not None else None
        twin.chunked = self.chunked
        return twin


def unread_head(policy: HeaderPolicy) -> RequestHead:
    """In place of a head that could not be read."""
    return RequestHead(RequestBlock(policy.shape(()), [], "1.1"), "-", "-", "1.1")


class ResponseBlock(Block):
    """An upstream's head, or the gateway's own. `length` is None for a body that ends with chunk or connection.

    `line` is the status line that goes to the client; `dated` tells of a Date of its own.
    """

    __slots__ = ("chunked", "dated", "keep_alive", "length", "line", "status", "whole")

    def __init__(self, shape: Shape, values: list[bytes], status: int, reason: bytes = b"") -> None:
        Block.__init__(self, shape, values)
        self.status = status
        self.line = status_line(status, reason)
        self.whole = self.line + self.text
        self.length: int | None = None
        self.chunked = False
        self.keep_alive = True
        self.dated = b"date" in shape.telling


class ResponseHead(Head):
    """A response's head on its way to the client."""

    __slots__ = ("body", "length", "status")

    def __init__(self, block: ResponseBlock, body: bytes | None = None) -> None:
        self._take(block)
        self._added = None
        self._removed = None
        self.body = body

    def _take(self, block: ResponseBlock) -> None:
        """What it has of this. The compiler is told its type, which it cannot be in a constructor."""
        self.block: ResponseBlock = block
        self.status = block.status
        self.length = block.length

    @property
    def headers(self) -> ResponseHead:
        """The fields: a head is its own view."""
        return self

    def pieces(self) -> list[bytes]:
        """Status line and fields, written out."""
        block = self.block
        if self._removed is None and self.status == block.status:
            if self._added is None:
                return [block.whole]
            return [block.whole, *self._added]
        line = block.line if self.status == block.status else status_line(self.status, b"")
        return [line, *self.lines()]


STATUS_LINES: dict[tuple[int, bytes], bytes] = {}


def status_line(status: int, reason: bytes) -> bytes:
    """`HTTP/1.1 STATUS REASON`. A reason that is not printable is replaced by the registered one."""
    line = STATUS_LINES.get((status, reason))
    if line is None:
        shown = reason
        if not shown or not shown.isascii() or not shown.decode("ascii").isprintable():
            registered = status in HTTPStatus.__members__.values()
            shown = HTTPStatus(status).phrase.encode() if registered else b""
        line = b"HTTP/1.1 %d %b\r\n" % (status, shown)
        if len(STATUS_LINES) < 512:
            STATUS_LINES[(status, reason)] = line
    return line
