"""Pipelined bytes that wait for their turn."""

from __future__ import annotations

# So much is handed on at a time: fed whole, a read full of requests would be copied anew for each of them.
PIECE = 4096


class Stash:
    """Mutable state: the bytes, and how far they have been handed on."""

    __slots__ = ("_at", "_data")

    def __init__(self) -> None:
        self._data = b""
        self._at = 0

    def add(self, data: bytes) -> None:
        """Bytes behind those that wait."""
        self._data = self._data[self._at :] + data
        self._at = 0

    def next_piece(self) -> bytes:
        """The first of the bytes that wait, at most `PIECE`; they wait no more."""
        piece = self._data[self._at : self._at + PIECE]
        self._at += len(piece)
        if self._at == len(self._data):
            self.clear()
        return piece

    def clear(self) -> None:
        """Nothing waits any more."""
        self._data = b""
        self._at = 0

    def __len__(self) -> int:
        return len(self._data) - self._at
