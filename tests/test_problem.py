"""The gateway's own error answers."""

from __future__ import annotations

import orjson
import pytest

from gateway.errors import ANSWERS, GatewayError, Kind, not_allowed
from gateway.exchange import Attempt, Exchange, Reply
from gateway.problem import problem_reply
from gateway.testing import make_exchange
from gateway.wire.reply_head import reply_head


def exchange(
    accept: str | None = None, trusted: bool = False, attempt: Attempt | None = None, path: str = "/x"
) -> Exchange:
    headers = {} if accept is None else {"Accept": accept}
    return make_exchange("GET", path, headers, request_id="id", route="-", peer_trusted=trusted, attempt=attempt)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind(kind: Kind) -> None:
    answer = ANSWERS[kind]
    reply = problem_reply(GatewayError(kind, cause="10.0.0.1:80 said no"), exchange(), "edge")
    assert reply.status == answer.status
    problem = orjson.loads(reply.body)
    assert set(problem) == {"type", "title", "status", "detail", "instance", "request_id"}
    assert (problem["status"], problem["instance"], problem["request_id"]) == (answer.status, "/x", "id")
    assert problem["type"] == f"urn:aiogate:problem:{kind.word}"
    assert b"10.0.0.1" not in reply.body
    status = reply.headers.get("Proxy-Status")
    assert status == (None if answer.side == "client" else f"edge; error={answer.error_type}")
    assert ("Retry-After" in reply.headers) == (answer.status in (429, 503))
    assert "Allow" not in reply.headers
    assert reply.headers["Content-Type"] == "application/problem+json"
    reply_head(reply)


def test_trusted_peer_reads_the_cause() -> None:
    attempt = Attempt(1, "10.0.0.1:80", 0.0)
    attempt.status = 200
    error = GatewayError(Kind.UPSTREAM_INCOMPLETE, cause='said "no"\r\n\\ \u2713')
    reply = problem_reply(error, exchange(trusted=True, attempt=attempt), "edge")
    assert reply.headers["Proxy-Status"] == (
        'edge; error=http_response_incomplete; next-hop="10.0.0.1:80"; received-status=200; '
        'details="said \\"no\\"??\\\\ ?"'
    )
    reply_head(reply)


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (None, False),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("text/html", True),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("text/html;q=0.5, application/json", False),
        ("application/json;q=0.5, text/html;q=0.6", True),
        ("application/problem+json, text/html", True),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
    ],
)
def test_page_or_problem(accept: str | None, html: bool) -> None:
    reply = problem_reply(GatewayError(Kind.NO_ROUTE), exchange(accept), "edge")
    assert reply.headers["Content-Type"].startswith("text/html" if html else "application/problem+json")


def test_page_is_escaped() -> None:
    error = GatewayError(Kind.METHOD_NOT_ALLOWED, "<script>{0} is not allowed")
    reply = problem_reply(error, exchange("text/html", path="/<b>"), "edge")
    assert b"<script>" not in reply.body
    assert b"&lt;script&gt;{0}" in reply.body


@pytest.mark.parametrize("accept", [None, "text/html"])
def test_what_is_allowed_instead(accept: str | None) -> None:
    reply = problem_reply(not_allowed("PUT", {"POST", "GET", "HEAD"}), exchange(accept), "edge")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, POST")
    assert b"PUT is not allowed here" in reply.body
    reply_head(reply)


@pytest.mark.parametrize(("seconds", "shown"), [(None, "1"), (0.0, "1"), (7, "7"), (6.2, "7")])
def test_retry_after(seconds: float | None, shown: str) -> None:
    error = GatewayError(Kind.QUEUE_FULL, retry_after=seconds)
    assert problem_reply(error, exchange(), "edge").headers["Retry-After"] == shown


@pytest.mark.parametrize("accept", [None, "text/html"])
def test_headers_of_the_failure(accept: str | None) -> None:
    headers = {"WWW-Authenticate": 'Bearer realm="edge"', "Cache-Control": "private"}
    reply = problem_reply(GatewayError(Kind.UNAUTHENTICATED, headers=headers), exchange(accept), "edge")
    assert (reply.status, reply.headers["WWW-Authenticate"]) == (401, 'Bearer realm="edge"')
    assert reply.headers["Cache-Control"] == "private"
    assert reply.headers["Content-Type"].startswith("text/html" if accept else "application/problem+json")
    reply_head(reply)


@pytest.mark.parametrize(("status", "retry_after"), [(403, None), (502, None), (429, "7"), (503, "7")])
def test_another_status_than_the_tables(status: int, retry_after: str | None) -> None:
    error = GatewayError(Kind.AUTH_UNAVAILABLE, retry_after=6.5, status=status)
    reply = problem_reply(error, exchange(), "edge")
    assert (reply.status, orjson.loads(reply.body)["status"]) == (status, status)
    assert orjson.loads(reply.body)["type"] == "urn:aiogate:problem:auth_unavailable"
    assert reply.headers.get("Retry-After") == retry_after
    assert reply.headers["Proxy-Status"] == "edge; error=proxy_internal_error"


def test_heads_that_are_used_again_are_what_they_would_be() -> None:
    heads = []
    own = GatewayError(Kind.NO_ROUTE, headers={"Cache-Control": "max-age=1"})
    errors = [GatewayError(Kind.NO_ROUTE), GatewayError(Kind.BODY_TOO_LARGE), not_allowed("PUT", ["GET"]), own]
    for path in ("/a", "/b", "/long", "/a"):
        for error in errors:
            reply = problem_reply(error, exchange(path=path), "edge")
            fresh = reply_head(Reply(reply.status, reply.headers, reply.body))
            assert reply_head(reply).pieces() == fresh.pieces()
            heads.append(b"".join(fresh.pieces()))
    assert len(set(heads)) == 8
