"""An application of this process, alive: its runner, and the one endpoint of its upstream."""

from __future__ import annotations

from typing import cast

from aiohttp import web

from gateway.application.context import GATEWAY, Gateway
from gateway.application.fetch import fetch_through
from gateway.application.load import Reference, checked_app, load
from gateway.application.pool import ApplicationPool, ServerEnd
from gateway.live import LiveExchange
from gateway.plugin import Env, Plugin
from gateway.subrequest import Subrequests
from gateway.subrequest_client import SubrequestClient
from gateway.upstreams.endpoint import Endpoint

# Heads are limited where clients' connections are read.
ANY_SIZE = 1 << 30
# How long a handler may go on, in seconds, when it is told to end since its application stops. By then no request
# waits for an answer.
PATIENCE = 2.0


class Mount(Plugin):
    """One application. It is in no route's chain, and a plugin since it starts, stops and stays across reloads as
    plugins do; all routes that go to the application share it.

    Mutable state: the runner while the application runs, the endpoint with its pipes, and the calls of handlers.
    """

    spans_routes = True
    options: Reference

    def __init__(self, options: Reference, env: Env) -> None:
        """ConfigError for what cannot be loaded."""
        super().__init__(options, env)
        subrequests = Subrequests()
        # A handler calls upstreams of the configuration that serves its exchange.
        self._fetch = fetch_through(
            lambda exchange, name: SubrequestClient(subrequests, cast(LiveExchange, exchange), name)
        )
        self._code = load(options, env.folder)
        self._pool = ApplicationPool(str(options))
        self.endpoint = Endpoint(self._pool)
        self._runner: web.AppRunner | None = None

    def is_current(self, env: Env) -> bool:
        return env.folder == self.env.folder and self._code.is_current

    async def start(self) -> None:
        found = self._code.app
        app = found if isinstance(found, web.Application) else checked_app(await found(), self.options, "makes")
        runner = web.AppRunner(
            app,
            handler_cancellation=True,
            access_log=None,
            shutdown_timeout=PATIENCE,
            max_line_size=ANY_SIZE,
            max_field_size=ANY_SIZE,
            max_headers=ANY_SIZE,
        )
        try:
            await runner.setup()
        except BaseException:
            await runner.cleanup()
            raise
        server = runner.server
        assert server is not None
        self._handle = server.request_handler
        server.request_handler = self._serve
        self._pool.open(server)
        self._runner = runner

    async def stop(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        self._pool.close()
        self._code.forget()

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Give a request what it has of the gateway, then let the application handle it."""
        end = request.transport
        if not isinstance(end, ServerEnd):
            return await self._handle(request)
        if end.exchange is not None:
            request[GATEWAY] = Gateway(end.exchange, self._fetch)
            end.request = request
        end.busy = True
        try:
            return await self._handle(request)
        except SystemExit as error:
            # asyncio would end the gateway with it. What calls `sys.exit` was written for a command.
            raise RuntimeError(f"a handler called sys.exit({error.code!r})") from error
        finally:
            self._pool.handled(end)
