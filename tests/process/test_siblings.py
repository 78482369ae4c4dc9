"""One worker, which has no siblings. Several are in tests/integration/test_several_workers.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.process.siblings import Alone
from tests.support.runtimes import prepared


async def test_one_worker_answers_for_all(tmp_path: Path) -> None:
    async with prepared(tmp_path) as worker:
        alone = Alone(worker.runtime)
        assert await alone.gather("routes") == [], "nothing is in service yet"
        await worker.runtime.start()
        ((first, *_),) = await alone.gather("routes")
        assert first["name"] == "ping"
        assert await alone.tell("force_breaker", "none", "auto") == [[]]
        with pytest.raises(LookupError):
            await alone.gather("everything")
