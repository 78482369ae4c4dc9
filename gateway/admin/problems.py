"""The admin listener's error answers: RFC 9457 problem details, whatever raised."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from aiohttp import web

log = logging.getLogger("gateway.admin")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """An answer that is no success. `detail` is for the user, `more` are further members of the problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.headers = dict(headers or {})
        self.more = dict(more or {})


def problem(request: web.Request, refused: Refused) -> web.Response:
    """The answer. `instance` is the path without its query."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(refused.status).phrase,
        "status": refused.status,
        "detail": refused.detail,
        "instance": request.path,
        **refused.more,
    }
    return web.Response(
        status=refused.status,
        body=orjson.dumps(body),
        content_type="application/problem+json",
        headers=refused.headers,
    )


@web.middleware
async def problems(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turns everything that is raised into a problem; a crash tells its trace to the log alone."""
    try:
        return await handler(request)
    except Refused as refused:
        return problem(request, refused)
    except web.HTTPException as error:
        if error.status < 400:
            raise
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        return problem(request, Refused(error.status, _detail(request, error), headers))
    except Exception:
        log.exception("%s %s failed", request.method, request.path)
        return problem(request, Refused(500, "the gateway's log says more"))


def _detail(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"nothing is at {request.path}; GET / lists what there is"
    if error.status == 405:
        return f"{request.method} is not allowed here"
    return error.text or error.reason
