"""An application starts, serves, stops, and lives on while its code is what it was."""

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gateway.application.load import Reference
from gateway.application.mount import Mount
from gateway.errors import ConfigError
from gateway.plugin import Env
from gateway.testing import make_env
from tests.application.test_pool import REQUEST, Asking
from tests.support.apps import APP, TOP, module, write_app, write_module
from tests.support.polling import eventually

LIFE = """
async def begin(app):
    EVENTS.append("startup")

async def close(app):
    EVENTS.append("shutdown")

async def clean(app):
    EVENTS.append("cleanup")

async def context(app):
    EVENTS.append("enter")
    yield
    EVENTS.append("exit")

@routes.get("/")
async def root(request):
    return web.Response(text=request[GATEWAY].exchange.client_ip)

app = web.Application()
app.add_routes(routes)
app.on_startup.append(begin)
app.on_shutdown.append(close)
app.on_cleanup.append(clean)
app.cleanup_ctx.append(context)
"""
REFERENCE = Reference("bff.web", "app")


def env(folder: Path) -> Env:
    return replace(make_env(), folder=folder)


async def test_its_life(tmp_path: Path) -> None:
    write_app(tmp_path, LIFE, end="")
    mount = Mount(REFERENCE, env(tmp_path))
    noted = module(mount).EVENTS
    assert noted == [], "it is imported, and no more than that"
    await mount.start()
    assert noted == ["enter", "startup"]
    asking = Asking()
    connection = mount.endpoint.pool.take(asking, 0.0)
    assert connection is not None
    connection.send(REQUEST, True, False, False)
    await eventually(lambda: asking.ended)
    assert asking.body == b"192.0.2.7"
    await mount.stop()
    assert noted == ["enter", "startup", "shutdown", "exit", "cleanup"]
    assert not mount.endpoint.pool.connections
    await mount.stop()


async def test_what_no_exchange_asks_for_has_no_gateway(tmp_path: Path) -> None:
    write_app(
        tmp_path, "@routes.get('/')\nasync def root(request):\n    return web.Response(text=str(GATEWAY in request))"
    )
    mount = Mount(REFERENCE, env(tmp_path))
    await mount.start()
    asking: Any = Asking()
    del asking.exchange
    mount.endpoint.pool.take(asking, 0.0).send(REQUEST, True, False, False)  # type: ignore[union-attr]
    await eventually(lambda: asking.ended)
    assert asking.body == b"False"
    await mount.stop()


async def test_a_start_that_fails_leaves_nothing(tmp_path: Path) -> None:
    end = """
async def entered(app):
    yield
    EVENTS.append("left")

async def fail(app):
    raise OSError("no database")

app.cleanup_ctx.append(entered)
app.on_startup.append(fail)
"""
    write_app(tmp_path, "", end=APP + end)
    mount = Mount(REFERENCE, env(tmp_path))
    noted = module(mount).EVENTS
    with pytest.raises(OSError, match="no database"):
        await mount.start()
    assert noted == ["left"]
    await mount.stop()
    assert noted == ["left"]


async def test_a_coroutine_function_makes_it_at_the_start(tmp_path: Path) -> None:
    write_app(tmp_path, "async def made():\n    return app\nasync def wrong():\n    return 1\n")
    mount = Mount(Reference("bff.web", "made"), env(tmp_path))
    await mount.start()
    await mount.stop()
    with pytest.raises(ConfigError, match="bff.web:wrong makes no aiohttp web.Application"):
        await Mount(Reference("bff.web", "wrong"), env(tmp_path)).start()


def test_it_is_current_while_its_code_and_its_folder_are(tmp_path: Path) -> None:
    path = write_app(tmp_path, "")
    mount = Mount(REFERENCE, env(tmp_path))
    assert mount.is_current(env(tmp_path))
    assert not mount.is_current(env(tmp_path / "other"))
    path.write_text(TOP + "# changed\n" + APP)
    assert not mount.is_current(env(tmp_path))


def test_a_helpers_change_counts(tmp_path: Path) -> None:
    write_module(tmp_path, "bff.helper", "")
    write_app(tmp_path, "from . import helper\n")
    mount = Mount(REFERENCE, env(tmp_path))
    write_module(tmp_path, "bff.helper", "X = 1")
    assert not mount.is_current(env(tmp_path))


async def test_a_handler_that_does_not_end_is_ended(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handler = """
@routes.get("/")
async def root(request):
    try:
        await asyncio.Event().wait()
    finally:
        EVENTS.append("ended")
"""
    write_app(tmp_path, handler)
    mount = Mount(REFERENCE, env(tmp_path))
    noted = module(mount).EVENTS
    await mount.start()
    asking = Asking()
    connection = mount.endpoint.pool.take(asking, 0.0)
    assert connection is not None
    connection.send(REQUEST, True, False, False)
    await eventually(lambda: connection.transport.peer.busy)  # type: ignore[union-attr]
    assert isinstance(mount._runner, web.AppRunner)
    mount._runner._shutdown_timeout = 0.05
    with caplog.at_level(logging.ERROR):
        await mount.stop()
    await eventually(lambda: noted == ["ended"])
    await eventually(lambda: asking.error is not None)
