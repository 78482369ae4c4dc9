"""The Date field of answers that bring none (RFC 9110 §6.6.1)."""

from __future__ import annotations

from email.utils import formatdate
from time import time


class Date:
    """Mutable state: the line of the current second, and which second that is."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        """The whole line of now, with its CRLF."""
        second = int(time())
        if second != self._second:
            self._second = second
            self._line = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
        return self._line


DATE = Date()
