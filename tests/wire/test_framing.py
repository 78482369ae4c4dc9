"""Chunks of our own."""

from __future__ import annotations

import pytest

from gateway.wire.framing import JOIN, LAST_CHUNK, BodyPieces, chunk, write_chunk


class Written:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.data = b""
        self.calls = 0

    def write(self, data: bytes) -> None:
        self.calls += 1
        self.data += data

    def writelines(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))


@pytest.mark.parametrize("size", [1, 15, 16, 255, 4096, JOIN, JOIN + 1, 1 << 20])
@pytest.mark.parametrize("ended", [True, False])
def test_one_write_for_a_chunk(size: int, ended: bool) -> None:
    written = Written()
    write_chunk(written, b"x" * size, ended)  # type: ignore[arg-type]
    assert written.data == b"%x\r\n" % size + b"x" * size + b"\r\n" + (LAST_CHUNK if ended else b"")
    assert written.calls == 1


def test_nothing_is_no_chunk() -> None:
    written = Written()
    write_chunk(written, b"", False)  # type: ignore[arg-type]
    assert written.data == b""
    write_chunk(written, b"", True)  # type: ignore[arg-type]
    assert written.data == b"0\r\n\r\n"


def test_chunk() -> None:
    assert chunk(b"a" * 26) == b"1a\r\n" + b"a" * 26 + b"\r\n"


class Pieces(BodyPieces):
    def add(self, piece: bytes) -> None:
        self._chunks.append(piece)


def test_a_body_is_taken_once_and_whole() -> None:
    body = Pieces()
    assert body.take_body() == b""
    body.add(b"a")
    assert body.take_body() == b"a"
    body.add(b"b")
    body.add(b"c")
    assert body.take_body() == b"bc"
    assert body.take_body() == b""
