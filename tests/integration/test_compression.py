"""Compressed answers, read by clients that other people wrote."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import aiohttp
import pytest

from tests.support.codings import decoded
from tests.support.gateways import request
from tests.support.polling import soon
from tests.support.raw_upstream import answering, upstream
from tests.support.runtimes import HEAD, running, write_plugin

CURL = shutil.which("curl")
ITEMS = {"items": [{"id": number, "name": "a shoe"} for number in range(200)]}
ROUTES = f"""
plugins:
  - compression: {{min_size: 100B}}
  - cors: {{origins: ["https://app.example"]}}
upstreams: {{up: {{endpoints: ["http://127.0.0.1:PORT"]}}, gone: {{endpoints: ["http://127.0.0.1:9"]}}}}
routes:
  - {{name: items, match: {{path: /items}}, respond: {{headers: {{ETag: '"1"'}}, json: {json.dumps(ITEMS)}}}}}
  - {{name: short, match: {{path: /short}}, respond: {{text: pong}}}}
  - {{name: gone, match: {{path: /gone}}, to: gone}}
  - {{name: rest, match: {{path: "/**"}}, to: up}}
"""


def routes(port: int = 9) -> str:
    return HEAD + ROUTES.replace("PORT", str(port))


@pytest.mark.parametrize("coding", ("gzip", "br", "zstd"))
async def test_aiohttp_reads_each_coding(coding: str, tmp_path: Path) -> None:
    # For zstd aiohttp wants yet another library.
    own = coding != "zstd"
    async with running(tmp_path, routes()) as worker, aiohttp.ClientSession(auto_decompress=own) as session:
        url, headers = f"http://127.0.0.1:{worker.port}", {"Accept-Encoding": coding}
        for _ in range(2):
            async with session.get(f"{url}/items", headers=headers) as answer:
                body = await soon(answer.read())
                assert json.loads(body if own else decoded(body, coding)) == ITEMS
                assert answer.headers["Content-Encoding"] == coding
                assert answer.headers["Vary"] == "Origin, Accept-Encoding"
                assert answer.headers["ETag"] == 'W/"1"'
                assert int(answer.headers["Content-Length"]) < len(json.dumps(ITEMS)) / 4
        async with session.get(f"{url}/gone", headers=headers) as problem:
            body = await soon(problem.read())
            assert (problem.status, problem.headers["Content-Encoding"]) == (502, coding)
            assert json.loads(body if own else decoded(body, coding))["status"] == 502


async def test_heads_and_bodies_agree_on_one_connection(tmp_path: Path) -> None:
    async with running(tmp_path, routes()) as worker, worker.client() as client:
        for accepts, coding in ((b"gzip, br", "br"), (b"gzip;q=1, br;q=0.1", "gzip"), (b"identity", None), (b"", None)):
            fields = [b"Accept-Encoding: " + accepts] if accepts else []
            full = await client.ask(request("/items", *fields))
            assert (full.get("content-encoding"), json.loads(decoded(full.body, coding))) == (coding, ITEMS)
            head = await client.ask(request("/items", *fields, method="HEAD"), "HEAD")
            assert [head.get(name) for name in head.names] == [full.get(name) for name in full.names]
            assert full.get("content-length") == str(len(full.body))
        short = await client.ask(request("/short", b"Accept-Encoding: br"))
        assert (short.body, short.get("content-encoding"), short.get("vary")) == (b"pong", None, "Origin")


async def test_a_services_answer_streams_through(tmp_path: Path) -> None:
    async with (
        upstream(answering) as service,
        running(tmp_path, routes(service.port)) as worker,
        worker.client() as client,
    ):
        answer = await client.ask(request("/x", b"Accept-Encoding: br"))
        assert (answer.body, answer.get("content-encoding"), answer.get("vary")) == (b"ok", None, "Origin")


TAGGED = '''
from gateway.answers.conditional import entity_tag, not_modified, not_modified_headers
from gateway.plugin import Plugin, Reply

BODY = b"what changes seldom " * 100
HEADERS = {"Content-Type": "text/plain", "Cache-Control": "max-age=5", "ETag": entity_tag(BODY)}

class Tagged(Plugin):
    """Answers with a tag, and with 304 who has it."""

    def on_request(self, exchange):
        if not_modified(exchange.headers.get("if-none-match"), HEADERS["ETag"]):
            return Reply.empty(304, not_modified_headers(HEADERS))
        return Reply(200, HEADERS, BODY)
'''


async def test_a_compressed_answer_is_known_again(tmp_path: Path) -> None:
    write_plugin(tmp_path, "tagged", TAGGED)
    text = HEAD + "plugins: [compression, tagged]\nroutes: [{name: x, match: {path: /x}, respond: {text: x}}]\n"
    async with running(tmp_path, text) as worker, worker.client() as client:
        for accepts in (b"br", b"identity"):
            first = await client.ask(request("/x", b"Accept-Encoding: " + accepts))
            tag = first.get("etag") or ""
            assert (first.status, first.get("vary"), tag.startswith("W/")) == (200, "Accept-Encoding", accepts == b"br")
            again = await client.ask(request("/x", b"Accept-Encoding: " + accepts, b"If-None-Match: " + tag.encode()))
            assert (again.status, again.get("etag"), again.get("vary")) == (304, tag, "Accept-Encoding")
            assert (again.get("cache-control"), again.get("content-length"), again.body) == ("max-age=5", None, b"")


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
async def test_curl_reads_it(tmp_path: Path) -> None:
    async with running(tmp_path, routes()) as worker:
        process = await asyncio.create_subprocess_exec(
            str(CURL),
            *("--silent", "--compressed", "--write-out", "%{size_download} %header{content-encoding}"),
            f"http://127.0.0.1:{worker.port}/items",
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await soon(process.communicate())
        body, _, figures = out.rpartition(b"}")
        size, coding = figures.decode().split()

    assert json.loads(body + b"}") == ITEMS
    assert coding in ("gzip", "br", "zstd")
    assert int(size) < len(body) / 4
