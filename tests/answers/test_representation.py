"""What belongs to the bytes of an answer, and goes with them."""

from __future__ import annotations

import pytest

from gateway.answers.representation import is_coded, weaken
from gateway.testing import make_head


@pytest.mark.parametrize(("etag", "weak"), [('"1"', 'W/"1"'), ('W/"1"', 'W/"1"'), (None, None)])
def test_etags_become_weak(etag: str | None, weak: str | None) -> None:
    head = make_head(304, {} if etag is None else {"ETag": etag})
    weaken(head.headers)
    assert head.headers.get("etag") == weak


@pytest.mark.parametrize(
    ("coding", "coded"), [(None, False), ("identity", False), (" Identity ", False), ("gzip", True), ("br, gzip", True)]
)
def test_what_is_compressed(coding: str | None, coded: bool) -> None:
    assert is_coded(make_head(200, {} if coding is None else {"Content-Encoding": coding}).headers) is coded
