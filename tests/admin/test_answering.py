"""What one worker answers, and what is left of it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from gateway.admin.answering import FOLDS, answer, fold, remains
from gateway.telemetry.merging import Packed
from tests.support.gateways import request
from tests.support.runtimes import HEAD, PING, prepared, running

COUNTED = HEAD + "plugins: [rate_metrics]\nupstreams: {up: {endpoints: ['http://127.0.0.1:9']}}\n"
COUNTED += PING + "  - {name: up, match: {path: /up}, to: up, plugins: [breaker: {requests: 1}]}\n"
QUESTIONS = ("metrics", "worker", "routes", "upstreams", "breakers", "summary")


def plain(data: Any) -> bool:
    if isinstance(data, dict):
        return all(plain(key) and plain(value) for key, value in data.items())
    if isinstance(data, list | tuple):
        return all(map(plain, data))
    return data is None or type(data) in (str, int, float, bool, bytes)


@pytest.mark.parametrize("what", QUESTIONS)
async def test_answers_are_plain_data(tmp_path: Path, what: str) -> None:
    async with running(tmp_path, COUNTED) as worker:
        found = answer(worker.runtime, what)
        assert found
        assert plain(found)
        assert pickle.loads(pickle.dumps(found)) == found


async def test_before_the_start(tmp_path: Path) -> None:
    async with prepared(tmp_path, COUNTED) as worker:
        assert answer(worker.runtime, "routes") is None
        assert answer(worker.runtime, "force_breaker", "up", "auto") is None
        assert answer(worker.runtime, "worker")["version"] == 0
        assert "gateway_build_info" in Packed(answer(worker.runtime, "metrics"))
        assert set(await remains(worker.runtime)) == {"metrics"}


async def test_an_unknown_question(tmp_path: Path) -> None:
    async with prepared(tmp_path) as worker:
        with pytest.raises(LookupError, match="nobody knows what 'route' is"):
            answer(worker.runtime, "route")


async def test_no_secret_leaves_a_worker(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("geheim")
    text = HEAD + 'routes: [{name: a, match: {headers: {X-Key: "${file:secret}"}}, respond: {text: ok}}]\n'
    async with running(tmp_path, text) as worker:
        row = answer(worker.runtime, "routes")[0]
        assert row["conditions"] == ["***"]


async def test_what_is_left(tmp_path: Path) -> None:
    async with running(tmp_path, COUNTED) as worker, worker.client() as client:
        await client.ask(request("/ping"))
        await client.ask(request("/up"))
        found = await remains(worker.runtime)
        assert plain(found)
        assert {row["name"]: (row["calls"], row["rate_1m"]) for row in found["routes"]} == {
            "ping": (1, 0),
            "up": (1, 0),
        }
        assert found["upstreams"][0]["endpoints"] == [{"address": "127.0.0.1:9", "requests": 1, "errors": 1}]
        assert found["summary"] == {"calls": 2, "errors": 1}
        metrics = Packed(found["metrics"])
        assert metrics["gateway_requests_total"]["children"]["ping", "GET", "200"] == 1
        assert "gateway_active_requests" not in metrics
        assert set(FOLDS) == set(found)

        twice = fold(fold({}, found), found)
        assert set(twice) == set(found)
        assert twice["summary"] == {"calls": 4, "errors": 2}
        assert twice["upstreams"][0]["endpoints"][0]["requests"] == 2
        assert {row["name"]: row["calls"] for row in twice["routes"]} == {"ping": 2, "up": 2}
        assert Packed(twice["metrics"])["gateway_requests_total"]["children"]["ping", "GET", "200"] == 2
        early = {"metrics": found["metrics"]}
        assert fold(found, early)["summary"] == found["summary"], "one that never got so far takes nothing away"


async def test_answers_are_as_good_as_what_is_handed_in(tmp_path: Path) -> None:
    """Whoever was asked a moment before a worker was killed has seen more than it had handed in."""
    async with running(tmp_path, COUNTED) as worker, worker.client() as client:
        await client.ask(request("/ping"))
        await client.ask(request("/up"))
        seen = {what: answer(worker.runtime, what) for what in QUESTIONS}
        assert fold({}, seen) == fold({}, await remains(worker.runtime))
