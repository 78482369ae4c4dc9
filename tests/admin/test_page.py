"""The page lists what there is."""

from pathlib import Path

from gateway.admin.page import ENTRIES, index_page
from tests.support.runtimes import running


def test_everything_is_escaped() -> None:
    page = index_page("<name>", "1&2", '"sum"', [("GET", "/a<b", "c<d")])
    assert "<name>" not in page
    assert "&lt;name&gt;" in page
    assert "1&amp;2" in page
    assert '<a href="/a&lt;b"><code>/a&lt;b</code></a>' in page


async def test_what_it_lists_is_there(tmp_path: Path) -> None:
    async with running(tmp_path) as worker:
        page = await worker.get("/")
        assert page.headers["Content-Type"].startswith("text/html")
        assert "default-src 'none'" in page.headers["Content-Security-Policy"]
        assert "routes: 1" in page.body.decode()
        # Streams never end, and have tests of their own.
        for method, path, _ in [entry for entry in ENTRIES if entry[1] not in ("/hystrix.stream", "/api/events")]:
            filled = path.replace("{name}", "n").replace("{host:port}", "h:1")
            answer = await worker.ask(method, filled)
            missing = ("no upstream", "no breaker", "no version")
            assert answer.status not in (404, 405) or answer.data["detail"].startswith(missing), path
