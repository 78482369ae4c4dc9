"""Random ids, as hex digits."""

from __future__ import annotations

import os

# So many are drawn at once: most of what a draw costs is to ask the system.
DRAWN = 8192


class Digits:
    """Hex digits that nobody has had before. Mutable state: those that are left, which a forked process makes anew."""

    __slots__ = ("_at", "_left")

    def __init__(self) -> None:
        self._left = ""
        self._at = 0

    def take(self, count: int) -> str:
        """So many of them: 1 to `DRAWN`."""
        at = self._at
        end = at + count
        if end > len(self._left):
            self._left = os.urandom(DRAWN // 2).hex()
            at, end = 0, count
        self._at = end
        return self._left[at:end]

    def drop(self) -> None:
        """What is left is another process's."""
        self._left = ""


DIGITS = Digits()
os.register_at_fork(after_in_child=DIGITS.drop)
