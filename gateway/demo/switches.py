"""What the four sample services have in common: health, and switches that make a service slow or broken.

For one request by its query, `?delay=200ms&error=503&error_share=50%`; for all of a service's requests by
`POST /_switch {"delay": "200ms", "error": 503, "share": 0.5}`, until `DELETE /_switch`. The query wins.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass

from aiohttp import web

from gateway.demo.quantities import BadValue, duration, error_status, share

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True)
class Switch:
    """How a service misbehaves: seconds of delay, then perhaps an error for a share of the requests."""

    delay: float = 0.0
    error: int | None = None
    share: float = 1.0

    @classmethod
    def from_json(cls, body: object) -> Switch:
        """What `POST /_switch` was given; BadValue says what is wrong with it."""
        if not isinstance(body, dict):
            raise BadValue('the body must be a JSON object such as {"delay": "200ms", "error": 503, "share": 0.5}')
        unknown = sorted(set(body) - {"delay", "error", "share"})
        if unknown:
            raise BadValue(f"unknown: {', '.join(unknown)}; a switch has delay, error and share")
        return cls()._changed(body.get("delay"), body.get("error"), body.get("share"), share_name="share")

    def for_query(self, query: Mapping[str, str]) -> Switch:
        """This switch with what one request's query asks for put in."""
        return self._changed(query.get("delay"), query.get("error"), query.get("error_share"), share_name="error_share")

    def _changed(self, delay: object, error: object, portion: object, share_name: str) -> Switch:
        if portion is not None and error is None and self.error is None:
            raise BadValue(f"{share_name} needs an error to be a share of, such as error=503")
        new_share = self.share if error is None else 1.0
        return Switch(
            delay=self.delay if delay is None else duration(delay, "delay"),
            error=self.error if error is None else error_status(error, "error"),
            share=new_share if portion is None else share(portion, share_name),
        )


class Switchboard:
    """The one switch of a running service, and the dice for its share of errors."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.switch = Switch()
        self.random = random.Random()

    async def misbehave(self, switch: Switch) -> web.Response | None:
        """Wait as long as the switch says; the error to answer with, if it is this request's turn."""
        if switch.delay:
            await asyncio.sleep(switch.delay)
        if switch.error is not None and self.random.random() < switch.share:
            return problem(switch.error, f"{self.service} was told to fail")
        return None

    async def show(self, request: web.Request) -> web.Response:
        """Answer with the switch as it stands."""
        return web.json_response(asdict(self.switch))

    async def set(self, request: web.Request) -> web.Response:
        """Put another switch in place."""
        self.switch = Switch.from_json(await read_json(request))
        return await self.show(request)

    async def reset(self, request: web.Request) -> web.Response:
        """Behave again."""
        self.switch = Switch()
        return await self.show(request)

    async def health(self, request: web.Request) -> web.Response:
        """Always well: switches do not reach the health check."""
        return web.json_response({"service": self.service, "status": "up"})


SWITCHBOARD = web.AppKey("SWITCHBOARD", Switchboard)
_UNSWITCHED = frozenset({"/health", "/_switch"})


def problem(status: int, text: str) -> web.Response:
    """An error as the sample services say it."""
    return web.json_response({"error": text}, status=status)


async def read_json(request: web.Request) -> object:
    """The request's JSON body; BadValue with a sentence for the client when it is none."""
    try:
        body: object = json.loads(await request.read())
    except ValueError as error:
        raise BadValue(f"the body is not JSON: {error}") from None
    return body


@web.middleware
async def _errors_as_json(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except BadValue as error:
        return problem(400, str(error))
    except web.HTTPException as error:
        error.content_type = "application/json"
        error.text = json.dumps({"error": error.reason})
        raise


@web.middleware
async def _switched(request: web.Request, handler: Handler) -> web.StreamResponse:
    if request.path in _UNSWITCHED:
        return await handler(request)
    board = request.app[SWITCHBOARD]
    return await board.misbehave(board.switch.for_query(request.query)) or await handler(request)


def make_app(service: str, routes: list[web.RouteDef]) -> web.Application:
    """An application with `routes`, health and switches."""
    board = Switchboard(service)
    app = web.Application(middlewares=[_errors_as_json, _switched])
    app[SWITCHBOARD] = board
    app.add_routes(routes)
    app.add_routes(
        [
            web.get("/health", board.health),
            web.get("/_switch", board.show),
            web.post("/_switch", board.set),
            web.delete("/_switch", board.reset),
        ]
    )
    return app
