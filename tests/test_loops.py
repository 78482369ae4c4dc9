"""The loop that async tests run on."""

import asyncio

import pytest
import uvloop


async def test_async_tests_run_on_uvloop(request: pytest.FixtureRequest) -> None:
    on_uvloop = isinstance(asyncio.get_running_loop(), uvloop.Loop)

    assert on_uvloop or request.config.getoption("--both-loops")
