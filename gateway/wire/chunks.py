"""Where a chunked body ends. Pure.

Whether it is well formed is httptools' business, which decodes it; but httptools does not tell where in the bytes it
found the end, and must not read beyond it.
"""

from __future__ import annotations

import re

LINE_LIMIT = 32 * 1024
SIZE = re.compile(rb"[0-9A-Fa-f]{1,16}")


class ChunkMap:
    """Walks the sizes of chunks from read to read, and skips what is in them.

    Mutable state: bytes to skip, the line that is incomplete, and whether the trailers have begun.
    """

    __slots__ = ("_line", "_skip", "_trailers")

    def __init__(self) -> None:
        self._skip = 0
        self._line = b""
        self._trailers = False

    def find_end(self, data: bytes) -> int:
        """How many bytes of `data` belong to the body when it ends in them, else -1.

        ValueError for a chunk size that is no number, and for a line without end.
        """
        at = 0
        size = len(data)
        while at < size:
            if self._skip:
                step = min(self._skip, size - at)
                self._skip -= step
                at += step
                continue
            stop = data.find(b"\n", at)
            if stop < 0:
                self._line += data[at:]
                if len(self._line) > LINE_LIMIT:
                    raise ValueError("a line without end")
                return -1
            line = self._line + data[at:stop]
            self._line = b""
            at = stop + 1
            if self._trailers:
                if line == b"\r":
                    return at
                continue
            digits = line.partition(b";")[0].removesuffix(b"\r")
            if not SIZE.fullmatch(digits):
                raise ValueError("a chunk size is hexadecimal digits")
            length = int(digits, 16)
            if length:
                self._skip = length + 2
            else:
                self._trailers = True
        return -1
