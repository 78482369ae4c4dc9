"""What the gateway says itself, as a head."""

from __future__ import annotations

import pytest

from gateway.exchange import Reply
from gateway.wire.reply_head import reply_head


def test_own_reply() -> None:
    head = reply_head(
        Reply(200, {"Content-Type": "a/b", "Content-Length": "99", "transfer-encoding": "chunked"}, b"abc")
    )
    assert head.text() == b"Content-Type: a/b\r\nContent-Length: 3\r\n"
    assert (head.status, head.length, head.body, head.block.dated) == (200, 3, b"abc", False)
    assert reply_head(Reply(204)).text() == b""
    assert reply_head(Reply(304, {"ETag": '"a"'})).text() == b'ETag: "a"\r\n'
    with pytest.raises(ValueError, match="control"):
        reply_head(Reply(200, {"X": "a\r\nb"}))


def test_each_cookie_of_a_reply_has_a_line() -> None:
    reply = Reply(302, {"Location": "/"}, b"x", cookies=["a=1; Path=/", "b=2, c"])

    for _ in range(2):
        head = reply_head(reply)
        assert b"".join(head.pieces()) == (
            b"HTTP/1.1 302 Found\r\nLocation: /\r\n"
            b"Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2, c\r\nContent-Length: 1\r\n"
        )
        assert head.get_all("set-cookie") == ["a=1; Path=/", "b=2, c"]


def test_replies_with_as_many_cookies_do_not_share_them() -> None:
    names: dict[str, str] = {"X-A": "1"}
    cookies = [("a=1",), ("b=2",), (), ("a=1", "b=2"), ("c=3",)]

    heads = [reply_head(Reply(200, names, cookies=some)) for some in cookies]

    assert [tuple(head.get_all("set-cookie")) for head in heads] == cookies
    assert reply_head(Reply(204, cookies=["a=1"])).text() == b"Set-Cookie: a=1\r\n"


@pytest.mark.parametrize("cookie", ["a=1\r\nX-Admin: 1", "a=\n", "a=\0"])
def test_a_cookie_is_one_line(cookie: str) -> None:
    with pytest.raises(ValueError, match="control character"):
        reply_head(Reply(200, cookies=[cookie]))
