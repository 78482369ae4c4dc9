"""Whatever goes wrong on the admin listener is a problem as of RFC 9457, and tells no more than it should."""

import json
from pathlib import Path

import pytest

from gateway.admin import views
from gateway.admin.bodies import MAX_BODY
from tests.support.runtimes import running


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nowhere?secret=1", 404, "nothing is at /nowhere; GET / lists what there is"),
        ("POST", "/api/routes", 405, "POST is not allowed here"),
        ("DELETE", "/api/reload", 405, "DELETE is not allowed here"),
        ("GET", "/api/nothing", 404, "nothing is at /api/nothing; GET / lists what there is"),
    ],
)
async def test_shape(tmp_path: Path, method: str, path: str, status: int, detail: str) -> None:
    async with running(tmp_path) as worker:
        answer = await worker.ask(method, path)
        assert answer.status == status
        assert answer.headers["Content-Type"] == "application/problem+json"
        assert answer.data["status"] == status
        assert answer.data["detail"] == detail
        assert answer.data["instance"] == path.partition("?")[0]
        assert ("Allow" in answer.headers) == (status == 405)


async def test_a_crash_tells_its_trace_to_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(_: object) -> object:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr(views, "config", crash)
    async with running(tmp_path) as worker:
        answer = await worker.get("/api/config")
    assert (answer.status, answer.data["title"]) == (500, "Internal Server Error")
    assert b"inside" not in answer.body
    assert "ZeroDivisionError: inside" in caplog.text


async def test_bodies_are_bounded(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        for body in (b"x" * (MAX_BODY + 1), json.dumps({"url": "x" * MAX_BODY}).encode()):
            answer = await worker.ask("POST", "/api/explain", data=body)
            assert (answer.status, answer.data["status"]) == (413, 413)
