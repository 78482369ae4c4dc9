"""Parts that answer rubbish: what stands in for them, a log line that names them, bounded memory, and no harm to
others."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gateway.errors import Kind
from gateway.subrequest import SubrequestStream
from gateway.wire.client_stream import ClientStream
from gateway.wire.head import ResponseBlock, ResponseHead
from gateway.wire.shapes import RESPONSES
from tests.support.composed import Handler, answer, composing, config, part, route, serving
from tests.support.gateways import make_settings
from tests.support.messages import Message
from tests.support.polling import eventually
from tests.support.raw_upstream import Peer, upstream

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
MANY = 50_000_000
PIECE = b" " * 64 * 1024
LEVELS = 100_000


class Flooding:
    """Sends `head`, and then without end: chunks of blanks, or bare blanks. Counts the bytes until it is cut off."""

    def __init__(self, head: bytes, chunked: bool) -> None:
        self._head = head
        self._piece = b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if chunked else PIECE
        self.sent: list[int] = []

    async def __call__(self, peer: Peer, message: Message) -> None:
        place = len(self.sent)
        self.sent.append(0)
        peer.send(self._head)
        try:
            while self.sent[place] < MANY and not peer.writer.is_closing():
                peer.send(self._piece)
                await peer.writer.drain()
                self.sent[place] += len(self._piece)
        except ConnectionError:
            pass
        finally:
            peer.writer.transport.abort()


FLOODS = {
    "declared": Flooding(HEAD + b"Content-Length: %d\r\n\r\n" % MANY, False),
    "chunked": Flooding(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", True),
    "until the end": Flooding(HEAD + b"\r\n", False),
    "an error": Flooding(b"HTTP/1.1 503 No\r\nTransfer-Encoding: chunked\r\n\r\n", True),
}
# What a part answers, and what the log says of it.
RUBBISH: dict[str, tuple[Handler, str]] = {
    "nothing": (answer(""), "not JSON"),
    "blanks": (answer(" \r\n\t"), "not JSON"),
    "text": (answer("hello"), "not JSON"),
    "cut off": (answer('{"a": [1, 2'), "not JSON"),
    "two values": (answer('{"a": 1} {"a": 2}'), "not JSON"),
    "two numbers": (answer("1 2"), "not JSON"),
    "trailing comma": (answer('{"a": 1,}'), "not JSON"),
    "comment": (answer('{"a": 1} // one'), "not JSON"),
    "single quotes": (answer("{'a': 1}"), "not JSON"),
    "NaN": (answer('{"a": NaN}'), "not JSON"),
    "infinity": (answer('{"a": -Infinity}'), "not JSON"),
    "hex": (answer('{"a": 0x10}'), "not JSON"),
    "leading zero": (answer('{"a": 010}'), "not JSON"),
    "byte order mark": (answer(b'\xef\xbb\xbf{"a": 1}'), "not JSON"),
    "UTF-16": (answer('{"a": 1}'.encode("utf-16")), "not JSON"),
    "latin-1": (answer('{"a": "é"}'.encode("latin-1")), "not JSON"),
    "overlong": (answer(b'{"a": "\xc0\xaf"}'), "not JSON"),
    "surrogate": (answer(b'{"a": "\xed\xa0\x80"}'), "not JSON"),
    "escaped surrogate": (answer(r'{"a": "\ud800"}'), "not JSON"),
    "control character": (answer(b'{"a": "\x01"}'), "not JSON"),
    "NUL": (answer(b'{"a": 1}\0'), "not JSON"),
    "gzip": (answer(gzip.compress(b'{"a": 1}'), b"Content-Encoding: gzip"), "compressed"),
    "called gzip": (answer('{"a": 1}', b"Content-Encoding: gzip"), "compressed"),
    "HTML": (answer("<html></html>", content_type=b"text/html; charset=utf-8"), "'text/html; charset=utf-8'"),
    "JSON as text": (answer('{"a": 1}', content_type=b"text/plain"), "'text/plain' and no JSON"),
    "long type": (answer('{"a": 1}', content_type=b"x/" + b"y" * 10_000), "no JSON"),
    "deep lists": (answer(b"[" * LEVELS + b"]" * LEVELS), "not JSON"),
    "open lists": (answer(b"[" * LEVELS), "not JSON"),
    "deep objects": (answer(b'{"a":' * LEVELS + b"1" + b"}" * LEVELS), "not JSON"),
    "rather deep": (answer(b"[" * 200 + b"]" * 200), "nested more than 128 levels"),
    "two members": (answer('{"a": 1, "b": 2, "a": 3}'), "two members of one name"),
    "the same members": (answer(r'{"a": 1, "\u0061": 1}'), "two members of one name"),
    "two members inside": (answer('[{"x": [{"a": {}, "a": {}}]}]'), "two members of one name"),
    "huge integer": (answer(b"9" * 1_000_000), "not JSON"),
    "huge fraction": (answer(b"0." + b"1" * 1_000_000), "more than 1000 characters"),
    "huge exponent": (answer("1e400"), "not JSON"),
    "endless exponent": (answer(b"1e" + b"9" * 100_000), "not JSON"),
    "too large": (answer(b'"%b"' % (b"x" * (1 << 20))), "too large"),
    "too large in chunks": (
        HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"100000\r\n%b\r\n1\r\n1\r\n0\r\n\r\n" % (b" " * (1 << 20)),
        "too large",
    ),
}
# What is unusual and good.
GOOD: dict[str, tuple[bytes, bytes]] = {
    "blanks around": (answer(' \n{"a" : 9.990}\n'), b' \n{"a" : 9.990}\n'),
    "a scalar": (answer("-0.0"), b"-0.0"),
    "more digits": (answer("123456789012345678901234567890"), b"123456789012345678901234567890"),
    "another JSON": (answer("[]", content_type=b"application/hal+json; charset=utf-8"), b"[]"),
    "no type": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"{}"),
    "identity": (answer("{}", b"Content-Encoding: identity"), b"{}"),
    "created": (answer("{}", code=201), b"{}"),
    "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b"null"),
    "as large as it may be": (answer(b'"%b"' % (b"x" * ((1 << 20) - 2))), b'"%b"' % (b"x" * ((1 << 20) - 2))),
}


def path_of(name: str) -> str:
    return "/" + name.replace(" ", "-")


def page(name: str) -> list[Any]:
    """The same answer for a part that is passed on, one that is picked from, one that others refer to, items, and one
    that is required."""
    path = path_of(name)
    optional = {"on_error": {"value": "instead"}}
    parts = {
        "before": part("calm", "/list"),
        "passed": part("up", path, **optional),
        "picked": part("up", path, pick="@", **optional),
        "referred": part("up", path, **optional),
        "refers": part("calm", "/after?a={referred.a:-none}"),
        "items": part("up", path, foreach="before", **optional),
        "after": part("calm", "/after"),
    }
    return [
        route(parts, f"/optional{path}", f"optional{path.replace('/', '-')}"),
        route({"bad": part("up", path, required=True)}, f"/required{path}", f"required{path.replace('/', '-')}"),
    ]


CALM = serving({"/list": answer("[1, 2]"), "/after": answer("3")})


async def test_rubbish_is_replaced_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handlers = {path_of(name): handler for name, (handler, _) in RUBBISH.items()}
    routes = [one for name in RUBBISH for one in page(name)]
    async with (
        upstream(serving(handlers)) as service,
        upstream(CALM) as calm,
        composing(tmp_path, config({"up": service.port, "calm": calm.port}, *routes)) as served,
    ):
        for name, (_, told) in RUBBISH.items():
            caplog.clear()
            message = await served.ask(f"/optional{path_of(name)}")
            assert message.status == 200, (name, message.body)
            assert message.get("x-gateway-completed") == "false"
            assert json.loads(message.body) == {
                "before": [1, 2],
                "passed": "instead",
                "picked": "instead",
                "referred": "instead",
                "refers": 3,
                "items": ["instead"] * 2,
                "after": 3,
            }, name
            for bad in ("passed", "picked", "referred", "items"):
                lines = [text for text in caplog.messages if text.startswith(f"optional-{path_of(name)[1:]}/{bad}: ")]
                assert lines, (name, bad)
                assert all(told in text and len(text) < 300 for text in lines), (name, lines)
            required = await served.ask(f"/required{path_of(name)}")
            assert required.status == 502, (name, required.body)
            await served.at_rest()
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_what_is_unusual_and_good(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handlers = {path_of(name): handler for name, (handler, _) in GOOD.items()}
    routes = [one for name in GOOD for one in page(name)]
    async with (
        upstream(serving(handlers)) as service,
        upstream(CALM) as calm,
        composing(tmp_path, config({"up": service.port, "calm": calm.port}, *routes)) as served,
    ):
        for name, (_, shown) in GOOD.items():
            message = await served.ask(f"/required{path_of(name)}")
            assert (message.status, message.body) == (200, b'{"bad":%b}' % shown), name
            whole = json.loads((await served.ask(f"/optional{path_of(name)}")).body)
            assert whole["passed"] == whole["picked"] == whole["referred"] == json.loads(shown), name
            assert whole["items"] == [json.loads(shown)] * 2, name


async def test_who_sends_without_end_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    routes = [one for name in FLOODS for one in page(name)]
    async with (
        upstream(serving({path_of(name): flood for name, flood in FLOODS.items()})) as service,
        upstream(CALM) as calm,
        composing(tmp_path, config({"up": service.port, "calm": calm.port}, *routes)) as served,
    ):
        for name, flood in FLOODS.items():
            flood.sent.clear()
            message = await served.ask(f"/optional{path_of(name)}")
            assert json.loads(message.body)["after"] == 3
            assert json.loads(message.body)["passed"] == "instead"
            assert (await served.ask(f"/required{path_of(name)}")).status == 502
            await eventually(lambda: service.open == 0)
            # What was sent is in the buffers of the system for the most part.
            assert len(flood.sent) == 5
            assert max(flood.sent) < MANY / 3
            assert [text for text in caplog.messages if f"optional-{path_of(name)[1:]}/passed: the part passed" in text]


async def test_answer_to_a_head_has_the_length_of_another(tmp_path: Path) -> None:
    parts = {"there": part("up", "/there", method="HEAD", required=True)}
    async with (
        upstream(serving({"/there": HEAD + b"Content-Length: %d\r\n\r\n" % MANY})) as service,
        composing(tmp_path, config({"up": service.port}, route(parts))) as served,
    ):
        assert (await served.ask()).body == b'{"there":null}'


async def test_what_is_no_object_cannot_be_merged_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    said = [b"[1]", b"null", b'"text"', b"1"]
    routes = []
    for number in range(len(said)):
        parts = {"good": part("up", "/good"), "bad": part("up", f"/bad{number}")}
        for merge in ("shallow", "deep"):
            routes.append(route(parts, f"/{len(routes)}", f"r{len(routes)}", respond={"merge": merge}))
    handlers = {"/good": answer('{"a": 1}'), **{f"/bad{number}": answer(one) for number, one in enumerate(said)}}
    async with (
        upstream(serving(handlers)) as service,
        composing(tmp_path, config({"up": service.port}, *routes)) as served,
    ):
        for number in range(len(routes)):
            assert (await served.ask(f"/{number}")).body == b'{"a":1}'
            assert [text for text in caplog.messages if f"r{number}/bad: the part bad answered no object" in text]


class Collected(SubrequestStream):
    """Notes its end."""

    __slots__ = ("ended",)

    def over(self) -> None:
        self.ended = True


async def test_what_was_too_large_stays_so_however_fast_the_rest_comes() -> None:
    """The proxy is told a turn later, and the end may come before."""
    owner: Any = SimpleNamespace(exchange=SimpleNamespace(client=ClientStream(make_settings())), calls=set())
    stream = Collected(owner, 8)
    stream.exchange = SimpleNamespace()
    block = ResponseBlock(RESPONSES.shape(()), [], 200)
    stream.respond(ResponseHead(block), b"[1, 2, 3", False)
    stream.send_body(b", 4,", False)
    stream.send_body(b"[5]", True)
    stream.finished(0.0)
    assert stream.ended
    assert stream.error is not None
    assert stream.error.kind is Kind.UPSTREAM_BODY_TOO_LARGE
    assert stream.body == b""
