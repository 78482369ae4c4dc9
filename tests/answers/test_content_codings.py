"""What is compressed can be read again, is smaller, and is made once."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.answers.content_codings import OVERHEAD, Coding, Compressor
from tests.support.codings import decoded

CODINGS = get_args(Coding)
BODY = b'{"items": [' + b'{"id": 1, "name": "shoe"}, ' * 100 + b"{}]}"
NOISE = bytes(range(256))


@pytest.mark.parametrize("coding", CODINGS)
def test_a_client_can_read_it(coding: str) -> None:
    compressed = Compressor(0).compress(BODY, coding)

    assert compressed is not None
    assert len(compressed) < len(BODY) / 10
    assert decoded(compressed, coding) == BODY


@given(st.binary(max_size=300).map(lambda data: data * 3), st.sampled_from(CODINGS))
def test_it_is_smaller_or_nothing(body: bytes, coding: str) -> None:
    compressed = Compressor(0).compress(body, coding)

    assert compressed is None or (len(compressed) < len(body) and decoded(compressed, coding) == body)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("body", (b"", b"x", NOISE))
def test_what_would_grow_stays_as_it_is(body: bytes, coding: str) -> None:
    compressor = Compressor(1 << 20)

    assert [compressor.compress(body, coding) for _ in range(2)] == [None, None]


def test_gzip_says_no_time() -> None:
    compressed = Compressor(0).compress(BODY, "gzip")

    assert compressed is not None
    assert compressed[:8] == b"\x1f\x8b\x08\x00\x00\x00\x00\x00"


def test_what_comes_again_is_compressed_once() -> None:
    compressor = Compressor(1 << 20)
    first = compressor.compress(BODY, "gzip")

    assert compressor.compress(bytes(bytearray(BODY)), "gzip") is first
    assert compressor.compress(BODY, "br") != first
    assert compressor.compress(BODY + b" ", "gzip") != first


def test_what_does_not_come_again_takes_no_memory() -> None:
    compressor = Compressor(1 << 20)

    assert compressor.compress(BODY, "gzip", remember=False) == compressor.compress(BODY, "gzip", remember=False)
    assert compressor.remembered == 0


def test_the_memory_is_bounded() -> None:
    size = 8 * (OVERHEAD + len(BODY))
    compressor = Compressor(size)
    shared = compressor.compress(BODY, "zstd")
    for number in range(50):
        body = b"%d" % number + BODY
        assert decoded(compressor.compress(body, "zstd") or b"", "zstd") == body
        assert compressor.compress(BODY, "zstd") is shared
        assert compressor.remembered <= size

    assert compressor.remembered > size / 2
