"""Real processes that are killed, stopped, reset and answer 500 under steady load: callers hardly notice.

The latencies of the same episodes are measured in `make bench`.
"""

from __future__ import annotations

import aiohttp
import pytest

from loadtest.bench.process import Sandbox
from loadtest.episodes import Stage, play


@pytest.mark.timeout(180)
async def test_episodes() -> None:
    with Sandbox() as sandbox, Stage(sandbox, ejection="500ms") as stage:
        found = {episode.name: episode for episode in await play(stage, rate=150, count=100)}
        shares = {name: episode.error_share for name, episode in found.items()}
        assert max(shares.values()) <= 0.01, shares
        for name in ("killed", "hung", "resetting", "answering 500"):
            back = found[f"{name}, then back"]
            assert set(back.served) == {str(port) for port in stage.services}, (name, back.served)
        last = found["all killed, fallback"]
        assert (last.fallbacks, last.errors) == (last.requests, 0)
        url = f"http://127.0.0.1:{stage.admin}/api/upstreams"
        async with aiohttp.ClientSession() as session, session.get(url) as answer:
            (service,) = (await answer.json())["upstreams"]
        assert service["retries"]["in_flight"] == 0
        assert [endpoint["in_flight"] for endpoint in service["endpoints"]] == [0, 0, 0]
