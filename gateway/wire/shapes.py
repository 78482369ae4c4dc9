"""What a sequence of header names settles, worked out once, and which names pass.

Clients and services repeat their names, so a head costs one dictionary hit and one formatting in C, instead of a
Python loop over its fields.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

from gateway.wire.headers import FORGEABLE, FORGEABLE_PREFIX, HOP_BY_HOP, NEVER_UPSTREAM, lower_spelling

SHAPES_KEPT = 1024
FIELDS_KEPT = 48
BLOCK_KEPT = 4096
LINE_KEPT = 512
LINES_KEPT = 16_384

Pick = Callable[[list[bytes]], tuple[bytes, ...]]


class Shape:
    """What one sequence of header names settles under one policy. Immutable.

    `index` maps a visible name (lower case) to its first position, `repeats` to all of them where there are several.
    `telling` maps the names that steer framing and connection to their positions, whether visible or not.
    """

    __slots__ = ("host_at", "index", "length_at", "names", "pick", "plain", "repeats", "telling", "template")

    TELLING = frozenset(
        [
            b"authorization",
            b"connection",
            b"content-length",
            b"date",
            b"expect",
            b"host",
            b"transfer-encoding",
            b"upgrade",
        ]
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

    def __init__(self, drop: Iterable[bytes], drop_spelling: Iterable[bytes] = (), prefix: bytes | None = None) -> None:
        """`drop` holds lower-case names; those in `drop_spelling`, or that begin with `prefix`, go in the
        spelling with `_` for `-` too."""
        self._drop = frozenset(drop)
        self._drop_spelling = frozenset(drop_spelling)
        self._prefix = prefix
        self.shapes: dict[tuple[bytes, ...], Shape] = {}
        self.blocks: dict[bytes, Any] = {}
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

    def remember(self, text: bytes, block: Any) -> None:
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


def request_policy(trusted: bool, identity_headers: Iterable[str] = ()) -> HeaderPolicy:
    """What of a client's request goes upstream. `identity_headers` are set by plugins alone, whoever asks."""
    identities = {lower_spelling(name.encode()) for name in identity_headers}
    if trusted:
        return HeaderPolicy(NEVER_UPSTREAM, identities)
    return HeaderPolicy(NEVER_UPSTREAM, FORGEABLE | identities, FORGEABLE_PREFIX)


RESPONSES = HeaderPolicy(HOP_BY_HOP)
