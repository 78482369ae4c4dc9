"""The admin application: its handlers behind the guard, and what every answer carries."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.admin.bodies import MAX_BODY
from gateway.admin.guard import make_guard
from gateway.admin.handlers import Handlers
from gateway.admin.problems import problems

if TYPE_CHECKING:
    from gateway.process.runtime import Runtime
    from gateway.process.siblings import Siblings


def make_app(runtime: Runtime, siblings: Siblings) -> web.Application:
    """The application of one worker."""
    app = web.Application(middlewares=[problems, make_guard(runtime)], client_max_size=MAX_BODY)
    app.add_routes(Handlers(runtime, siblings).routes())
    app.on_response_prepare.append(_finish_head)
    return app


async def _finish_head(request: web.Request, response: web.StreamResponse) -> None:
    response.headers["Server"] = "gateway"
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
