"""What every answer of the admin listener carries."""

from pathlib import Path

import pytest

from tests.support.runtimes import running


@pytest.mark.parametrize("path", ["/", "/healthz", "/metrics", "/api/routes", "/nowhere"])
async def test_heads(tmp_path: Path, path: str) -> None:
    async with running(tmp_path) as worker:
        answer = await worker.get(path)
        assert answer.headers["Server"] == "gateway"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        head = await worker.ask("HEAD", path)
        assert (head.status, head.body) == (answer.status, b"")
