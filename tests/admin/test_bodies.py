"""Bodies of admin requests are small objects without unknown keys."""

from typing import Any

import pytest

from gateway.admin.bodies import json_body, text_of
from gateway.admin.problems import Refused


class Request:
    """As much of a request as a body needs."""

    def __init__(self, body: bytes) -> None:
        self.body = body

    async def read(self) -> bytes:
        return self.body


async def body(raw: bytes, *keys: str) -> dict[str, Any]:
    return await json_body(Request(raw), keys)  # type: ignore[arg-type]


async def test_objects() -> None:
    assert await body(b'{"a": [1]}', "a", "b") == {"a": [1]}
    assert await body(b"", "a") == {}


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "not JSON"),
        (b"[]", "should be a JSON object"),
        (b"null", "should be a JSON object"),
        (b'{"sate": 1}', "unknown key 'sate'; did you mean 'state'?"),
        (b'{"x": 1}', "unknown key 'x'; known are state, url"),
        (b'{"a": "\\ud800"}', "not JSON"),
    ],
)
async def test_everything_else(raw: bytes, said: str) -> None:
    with pytest.raises(Refused) as caught:
        await body(raw, "state", "url")
    assert caught.value.status == 400
    assert said in caught.value.detail


def test_texts() -> None:
    assert text_of({"a": "b"}, "a") == "b"
    assert text_of({}, "a", "c") == "c"
    for data, said in (({}, "is missing"), ({"a": 1}, "should be text"), ({"a": None}, "is missing")):
        with pytest.raises(Refused, match=said):
            text_of(data, "a")
