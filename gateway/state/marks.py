"""What stands for a key in shared memory: 64 bits that are the same in all workers, and that no client can foresee."""

from __future__ import annotations

from collections.abc import Hashable
from hashlib import blake2b

from gateway.recent import KEYS, Recent


class Marks(Recent[int]):
    """The marks of the keys of one space. A key is text, bytes, or a tuple of such. Mutable state: those of late."""

    __slots__ = ("_hash",)

    def __init__(self, secret: bytes, space: str, limit: int = KEYS) -> None:
        super().__init__(limit)
        # Neither has a NUL: texts are written as literals.
        self._hash = blake2b(repr(space).encode() + b"\0", digest_size=8, key=secret)

    def of(self, key: Hashable) -> int:
        """The mark of a key, which is not 0."""
        mark = self.get(key)
        if mark is None:
            # Not `hash`, which another interpreter would salt otherwise.
            state = self._hash.copy()
            state.update(repr(key).encode())
            # 0 is what memory is at first.
            mark = int.from_bytes(state.digest(), "little") or 1
            self.put(key, mark)
        return mark
