"""The Head seam: a message head is parsed, answers a few questions, and is written out again for the other side.

What a sequence of header *names* settles is worked out once and kept as a `Shape`: which fields pass, where `Host`,
`Content-Length` and the other telling fields stand, and the text of all kept names as one `%` template. Clients and
services repeat their names, so a head costs one dictionary hit and one formatting in C, instead of a Python loop.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from http import HTTPStatus
from operator import itemgetter

from gateway.wire.headers import FORGEABLE, FORGEABLE_PREFIX, HOP_BY_HOP, NEVER_UPSTREAM, lower_spelling

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 §5.5: no control characters but the tab.
FIELD_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
SHAPES_KEPT = 1024
FIELDS_KEPT = 48
BLOCK_KEPT = 4096
LINE_KEPT = 512
LINES_KEPT = 4096

Pick = Callable[[list[bytes]], tuple[bytes, ...]]


class Shape:
    """What one sequence of header names settles under one policy. Immutable.

    `index` maps a visible name (lower case) to its first position, `repeats` to all of them where there are several.
    `telling` maps the names that steer framing and connection to their positions, whether visible or not.
    """

    __slots__ = ("host_at", "index", "length_at", "names", "pick", "plain", "repeats", "telling", "template")

    TELLING = frozenset(
        [b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"date"]
    )
    # Fields that need a second look at their values before the head may pass.
    STEERING = frozenset([b"transfer-encoding", b"connection", b"expect", b"upgrade"])

    def __init__(self, names: tuple[bytes, ...], drops: Callable[[bytes], bool]) -> None:
        lowered = [name.lower() for name in names]
        kept = [position for position, name in enumerate(names) if not drops(name)]
        telling: dict[bytes, list[int]] = {}
        for position, name in enumerate(lowered):
            if name in self.TELLING:
                telling.setdefault(name, []).append(position)
        visible: dict[bytes, list[int]] = {}
        for position in kept:
            visible.setdefault(lowered[position], []).append(position)
        self.names = names
        self.telling = {name: tuple(positions) for name, positions in telling.items()}
        self.index = {name: positions[0] for name, positions in visible.items()}
        self.repeats = {name: tuple(positions) for name, positions in visible.items() if len(positions) > 1}
        self.template = b"".join(names[position].replace(b"%", b"%%") + b": %b\r\n" for position in kept)
        self.pick = picker(kept, len(names))
        self.plain = not (self.STEERING & telling.keys()) and all(len(found) == 1 for found in telling.values())
        self.host_at = telling.get(b"host", [-1])[0]
        self.length_at = telling.get(b"content-length", [-1])[0]


def picker(kept: list[int], total: int) -> Pick:
    """The function that takes the kept values out of all of them."""
    if len(kept) == total:
        return tuple
    if not kept:
        return _nothing
    if len(kept) == 1:
        only = kept[0]
        return lambda values: (values[only],)
    return itemgetter(*kept)


def _nothing(values: list[bytes]) -> tuple[bytes, ...]:
    return ()


class HeaderPolicy:
    """Which names pass, and what was seen under that rule.

    Owns three bounded memories, cleared when full: `shapes` by names; `blocks`, whole header blocks of requests
    without a body, by their bytes; `targets`, method and target by request line. A client on a kept connection mostly
    repeats itself, so the last two are often hit.
    """

    __slots__ = ("_drop", "_drop_spelling", "_prefix", "blocks", "shapes", "targets")

    def __init__(
        self, drop: Iterable[bytes], drop_spelling: Iterable[bytes] = (), prefix: bytes | None = None
    ) -> None:
        """`drop` holds lower-case names; those in `drop_spelling`, or that begin with `prefix`, go in the
        spelling with `_` for `-` too."""
        self._drop = frozenset(drop)
        self._drop_spelling = frozenset(drop_spelling)
        self._prefix = prefix
        self.shapes: dict[tuple[bytes, ...], Shape] = {}
        self.blocks: dict[bytes, RequestBlock] = {}
        self.targets: dict[bytes, tuple[str, str]] = {}

    def drops(self, name: bytes) -> bool:
        """Is a field of this name left out?"""
        if name.lower() in self._drop:
            return True
        spelling = lower_spelling(name)
        return spelling in self._drop_spelling or (self._prefix is not None and spelling.startswith(self._prefix))

    def shape(self, names: Iterable[bytes]) -> Shape:
        """The shape of a head with these names."""
        key = tuple(names)
        shape = self.shapes.get(key)
        if shape is None:
            shape = Shape(key, self.drops)
            if len(key) <= FIELDS_KEPT and sum(map(len, key)) <= 2048:
                if len(self.shapes) >= SHAPES_KEPT:
                    self.shapes.clear()
                self.shapes[key] = shape
        return shape

    def also_dropping(self, names: set[bytes]) -> Callable[[bytes], bool]:
        """This rule, and `names` (lower case) are left out too."""
        return lambda name: name.lower() in names or self.drops(name)

    def remember(self, text: bytes, block: RequestBlock) -> None:
        """Keep a good header block for the next request that repeats it."""
        if len(text) <= BLOCK_KEPT:
            if len(self.blocks) >= SHAPES_KEPT:
                self.blocks.clear()
            self.blocks[text] = block

    def remember_target(self, line: bytes, target: tuple[str, str]) -> None:
        """Keep a good request line for the next request that repeats it."""
        if len(line) <= LINE_KEPT:
            if len(self.targets) >= LINES_KEPT:
                self.targets.clear()
            self.targets[line] = target


def tokens(values: list[bytes]) -> set[bytes]:
    """The lower-case members of a comma-separated field (RFC 9110 §5.6.1)."""
    return {part.strip().lower() for value in values for part in value.split(b",")} - {b""}


def request_policy(trusted: bool, identity_headers: Iterable[str] = ()) -> HeaderPolicy:
    """What of a client's request goes upstream. `identity_headers` are set by plugins alone, whoever asks."""
    identities = {lower_spelling(name.encode()) for name in identity_headers}
    if trusted:
        return HeaderPolicy(NEVER_UPSTREAM, identities)
    return HeaderPolicy(NEVER_UPSTREAM, FORGEABLE | identities, FORGEABLE_PREFIX)


class Block:
    """The header fields of one message as received: immutable, so that one block can serve every message that
    repeats it byte for byte. `text` is what passes of it, written out."""

    __slots__ = ("shape", "text", "values")

    def __init__(self, shape: Shape, values: list[bytes]) -> None:
        self.shape = shape
        self.values = values
        self.text = shape.template % shape.pick(values)

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
        """First visible value of `name` (lower case), without blanks around it."""
        block = self.block
        position = block.shape.index.get(name)
        if position is not None:
            if self._removed is None or position not in self._removed:
                return block.values[position].strip()
            for position in block.shape.repeats.get(name, ()):
                if position not in self._removed:
                    return block.values[position].strip()
        for line in self._added or ():
            added, _, value = line.partition(b": ")
            if added.lower() == name:
                return value[:-2]
        return None

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of `name`, or `default`."""
        value = self.raw(name.lower().encode("latin-1"))
        return default if value is None else value.decode("latin-1")

    def get_all(self, name: str) -> list[str]:
        """Every value of `name`, in order."""
        wanted = name.lower()
        return [value for found, value in self.items() if found.lower() == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a field. ValueError for what HTTP does not allow, and for fields that frame the message."""
        if name in ONLY_ONE:
            raise ValueError(f"there is one {name} in a message: use set")
        if name in FIELD_KEYS and value.isascii() and value.isprintable():
            line = f"{name}: {value}\r\n".encode()
        else:
            line = field_line(name, value)
        if self._added is None:
            self._added = [line]
        else:
            self._added.append(line)

    def set(self, name: str, value: str) -> None:
        """Put one field in place of all of that name. ValueError as with `add`."""
        key = FIELD_KEYS.get(name)
        if key is not None and value.isascii() and value.isprintable():
            line = f"{name}: {value}\r\n".encode()
        else:
            line = field_line(name, value)
            key = name.lower().encode("latin-1")
        if self._added is None and key not in self.block.shape.index:
            self._added = [line]
        else:
            self._replace(key, line)

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

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {[name for name, _ in self.items()]}>"


# Header names that were found well formed and free to use, with their lower-case bytes; bounded.
FIELD_KEYS: dict[str, bytes] = {}
ONLY_ONE = frozenset(["Host", "host", "HOST"])
# What the gateway alone says, since it frames every message anew.
FRAMING = HOP_BY_HOP | {b"content-length"}


def field_line(name: str, value: str) -> bytes:
    """`name: value` with its CRLF. ValueError for what HTTP does not allow, response splitting included, and for
    the fields that frame a message."""
    if name in FIELD_KEYS and value.isascii() and value.isprintable():
        return f"{name}: {value}\r\n".encode()
    raw, encoded = checked_field(name, value)
    if raw.lower() in FRAMING:
        raise ValueError(f"{name} is the gateway's own, which frames every message anew")
    if len(FIELD_KEYS) < SHAPES_KEPT:
        FIELD_KEYS[name] = raw.lower()
    return b"%b: %b\r\n" % (raw, encoded)


def checked_field(name: str, value: str) -> tuple[bytes, bytes]:
    """A field as bytes. ValueError for a name or a value that HTTP does not allow.

    Text that latin-1 cannot hold is sent as UTF-8, which is what services make of it.
    """
    raw = name.encode("latin-1", "replace")
    if not TOKEN.fullmatch(raw):
        raise ValueError(f"{name!r} is not a header name")
    try:
        encoded = value.encode("latin-1")
    except UnicodeEncodeError:
        encoded = value.encode("utf-8")
    if not FIELD_VALUE.fullmatch(encoded):
        raise ValueError(f"the value of {name} holds a control character")
    return raw, encoded


class RequestBlock(Block):
    """A client's header fields and what they say of framing and connection.

    `count` is of all fields. `content_length` is None without one; `chunked` and it exclude each other. `host_field` is the Host as sent, empty
    without one.
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

    block: RequestBlock

    def __init__(self, block: RequestBlock, method: str, target: str, version: str, line: bytes | None = None) -> None:
        self.block = block
        self._added = None
        self._removed = None
        self.method = method
        self.target = target
        self.version = version
        self.line = line
        self.chunked = block.chunked


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

    block: ResponseBlock

    def __init__(self, block: ResponseBlock, body: bytes | None = None) -> None:
        self.block = block
        self._added = None
        self._removed = None
        self.status = block.status
        self.length = block.length
        self.body = body

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


RESPONSES = HeaderPolicy(HOP_BY_HOP)


def response_head(status: int, headers: Mapping[str, str], body: bytes) -> ResponseHead:
    """The head of a reply that the gateway gives itself, with its Content-Length."""
    fields = [checked_field(name, value) for name, value in headers.items()]
    fields = [field for field in fields if field[0].lower() not in (b"content-length", b"transfer-encoding")]
    if status != 204:
        fields.append((b"Content-Length", b"%d" % len(body)))
    shape = RESPONSES.shape([name for name, _ in fields])
    block = ResponseBlock(shape, [value for _, value in fields], status)
    block.length = len(body)
    return ResponseHead(block, body)
