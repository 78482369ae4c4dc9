"""What each path of the admin listener does."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from gateway import __version__
from gateway.admin import merged_rows, views
from gateway.admin.bodies import json_body, text_of
from gateway.admin.hystrix import PING, events
from gateway.admin.page import index_page
from gateway.admin.problems import Handler, Refused
from gateway.admin.revocations import KEYS as REVOCATION_KEYS
from gateway.admin.revocations import revoke
from gateway.admin.streams import Stream
from gateway.breaker.circuit import FORCES
from gateway.dry_run import dry_run, header_pairs, make_request
from gateway.process.channel import Refusal
from gateway.process.reloading import VersionChanged
from gateway.process.runtime import Runtime
from gateway.process.siblings import Siblings
from gateway.process.versions import PREVIOUS
from gateway.telemetry.exposition import expose
from gateway.telemetry.merging import Packed

STATES = ("drain", "enabled")
# Hystrix's own figures: so many readers, and milliseconds from one round of events to the next.
MOST_STREAMS = 5
STREAM_DELAY = 0.5
SHORTEST_DELAY = 50
MOST_EVENT_STREAMS = 20
EVENTS_DELAY = 1.0
VERSION_TAG = re.compile(r'(?:W/)?"([0-9]{1,18})"|([0-9]{1,18})')


class Handlers:
    """The handlers of one worker, which show the whole gateway."""

    def __init__(self, runtime: Runtime, siblings: Siblings) -> None:
        self._runtime = runtime
        self._siblings = siblings
        self._hystrix = Stream(runtime, MOST_STREAMS)
        self._events = Stream(runtime, MOST_EVENT_STREAMS)

    def routes(self) -> list[web.RouteDef]:
        """All paths."""
        return [
            web.get("/", self.index),
            web.get("/healthz", self.healthz),
            web.get("/readyz", self.readyz),
            web.get("/metrics", self.metrics),
            web.get("/api/routes", self._whole("routes", merged_rows.routes)),
            web.get("/api/upstreams", self._whole("upstreams", merged_rows.upstreams)),
            web.get("/api/plugins", self._view("plugins", views.plugins)),
            web.get("/api/breakers", self._whole("breakers", merged_rows.breakers)),
            web.get("/api/workers", self.workers),
            web.get("/api/events", self.events),
            web.get("/hystrix.stream", self.hystrix),
            web.get("/api/config", self.config),
            web.post("/api/explain", self.explain),
            web.get("/api/versions", self._view("versions", views.versions)),
            web.post("/api/reload", self.reload),
            web.post("/api/rollback", self.rollback),
            web.post("/api/restart", self.restart),
            web.post("/api/revocations", self.revoke),
            web.post("/api/upstreams/{name}/endpoints/{address}", self.endpoint),
            web.post("/api/breakers/{name:.+}", self.breaker),
        ]

    async def index(self, request: web.Request) -> web.Response:
        """A small page of what is there."""
        self._check_started()
        spec = self._runtime.spec
        frontends = self._runtime.generation.frontends if self._runtime.generation is not None else ()
        routes = len(spec.routes) + sum(len(frontend.routes) for frontend in frontends)
        summary = (
            f"configuration {self._runtime.version} of {self._runtime.path}, routes: {routes}, "
            f"{f'frontends: {len(frontends)}, ' if frontends else ''}upstreams: {len(spec.upstreams)}"
        )
        page = index_page(spec.name, __version__, summary)
        policy = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"}
        return web.Response(text=page, content_type="text/html", headers=policy)

    async def healthz(self, request: web.Request) -> web.Response:
        """The process is alive."""
        return web.Response(text="ok\n")

    async def readyz(self, request: web.Request) -> web.Response:
        """Requests are served and new ones are welcome."""
        runtime = self._runtime
        if runtime.ready:
            return web.Response(text="ready\n")
        return web.Response(status=503, text="draining\n" if runtime.leaving else "starting\n")

    async def metrics(self, request: web.Request) -> web.Response:
        """Prometheus text, or OpenMetrics for who accepts it."""
        parts = list(map(Packed, await self._siblings.gather("metrics")))
        accept = ",".join(request.headers.getall("Accept", []))
        # With 1,000 routes and 4 workers it takes a tenth of a second.
        body, content_type = await asyncio.to_thread(expose, parts, accept)
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def config(self, request: web.Request) -> web.Response:
        """The effective configuration."""
        self._check_started()
        data = {**views.config(self._runtime), "workers": await self._workers()}
        return self._json(data, {"ETag": self._etag()})

    async def workers(self, request: web.Request) -> web.Response:
        """A row for each worker."""
        return self._json({"workers": await self._workers()})

    async def _workers(self) -> list[dict[str, Any]]:
        return sorted(await self._siblings.gather("worker"), key=lambda row: row["slot"])

    async def explain(self, request: web.Request) -> web.Response:
        """Where a request would go."""
        self._check_started()
        data = await json_body(request, ("method", "url", "headers", "frontend"))
        headers = data.get("headers", {})
        if not isinstance(headers, dict):
            raise Refused(400, "'headers' should be an object of name: value")
        generation, loaded = self._runtime.generation, self._runtime.loaded
        assert generation is not None
        assert loaded is not None
        try:
            identities = generation.table.identity_headers
            asked = make_request(
                text_of(data, "method", "GET"), text_of(data, "url"), header_pairs(headers), identities
            )
            run = dry_run(generation, loaded, asked, others=True, frontend=text_of(data, "frontend", ""))
        except (LookupError, ValueError) as error:
            raise Refused(400, str(error)) from None
        return self._json(run.to_json())

    async def reload(self, request: web.Request) -> web.Response:
        """Read the configuration again, on condition of the version in service where If-Match asks for one."""
        self._check_started()
        await json_body(request, ())
        return await self._reload(request, None)

    async def rollback(self, request: web.Request) -> web.Response:
        """Bring back a version that was in service, by default the one before; on condition as a reload. The files on
        the disk stay as they are."""
        self._check_started()
        number = (await json_body(request, ("version",))).get("version", PREVIOUS)
        if type(number) is not int or number < PREVIOUS:
            raise Refused(400, "'version' should be the number of a version; GET /api/versions lists them")
        return await self._reload(request, number)

    async def restart(self, request: web.Request) -> web.Response:
        """Replace all workers. The answer comes before the first of them is."""
        self._check_started()
        await json_body(request, ())
        try:
            await self._siblings.restart()
        except Refusal as refusal:
            raise Refused(422, str(refusal)) from None
        return self._json({"restarting": True}, status=202)

    async def _reload(self, request: web.Request, back_to: int | None) -> web.Response:
        runtime = self._runtime
        if runtime.leaving:
            raise Refused(503, "the gateway is stopping")
        try:
            accepted = await self._siblings.reload(_expected(request.headers.getall("If-Match", [])), back_to=back_to)
        except VersionChanged:
            more = {"version": runtime.version}
            raise Refused(412, f"the version in service is {runtime.version}", {"ETag": self._etag()}, more) from None
        except LookupError as error:
            raise Refused(404, str(error), {"ETag": self._etag()}) from None
        except Refusal as refusal:
            # The supervisor cannot just now.
            raise Refused(503, str(refusal), {"Retry-After": "1"}) from None
        if not accepted:
            last = runtime.last
            rows = views.without_secrets(runtime, views.problem_rows(last.problems, last.texts))
            detail = "the new configuration is refused, the one in service stays"
            more = {**views.version(runtime), "problems": rows}
            raise Refused(422, detail, {"ETag": self._etag()}, more)
        rows = views.problem_rows(runtime.last.problems, runtime.last.texts)
        answer = {**views.version(runtime), "problems": rows}
        if back_to is not None:
            answer["restored"] = runtime.versions.find(runtime.version).restored
        return self._json(answer, {"ETag": self._etag()})

    async def endpoint(self, request: web.Request) -> web.Response:
        """Drain an endpoint, or give it requests again. It stays so across reloads."""
        self._check_started()
        state = text_of(await json_body(request, ("state",)), "state")
        name, address = request.match_info["name"], request.match_info["address"]
        if state not in STATES:
            raise Refused(400, f"'state' is {' or '.join(STATES)}, not {state!r}")
        # A row, or the addresses that there are, of each worker that knows the upstream.
        found = await self._siblings.tell("put_endpoint", name, address, state)
        if not found:
            raise Refused(404, f"no upstream {name!r}")
        rows = [one for one in found if isinstance(one, dict)]
        if not rows:
            known = ", ".join(found[0])
            raise Refused(404, f"the upstream {name!r} has no endpoint {address!r}; it has {known}")
        return self._json(merged_rows.endpoint(rows))

    async def breaker(self, request: web.Request) -> web.Response:
        """Hold a breaker open or closed, or leave it to itself again."""
        self._check_started()
        state = text_of(await json_body(request, ("state",)), "state")
        name = request.match_info["name"]
        if state not in FORCES:
            raise Refused(400, f"'state' is {', '.join(FORCES)}, not {state!r}")
        # A row, or the names that there are, of each worker.
        found = await self._siblings.tell("force_breaker", name, state)
        rows = [one for one in found if isinstance(one, dict)]
        if not rows:
            names = ", ".join(dict.fromkeys(known for one in found for known in one))
            raise Refused(404, f"no breaker {name!r}; {f'there are {names}' if names else 'there is none'}")
        return self._json(merged_rows.breaker(rows))

    async def revoke(self, request: web.Request) -> web.Response:
        """Take tokens back, for the jwt plugins that have `revocation: true`."""
        self._check_started()
        return self._json(await revoke(self._runtime.env, await json_body(request, REVOCATION_KEYS)))

    async def hystrix(self, request: web.Request) -> web.StreamResponse:
        """Breakers and pools for the Hystrix dashboard, again and again until the client leaves."""
        self._check_started()
        given = request.query.get("delay", "")
        delay = max(int(given), SHORTEST_DELAY) / 1000 if re.fullmatch("[0-9]{1,6}", given) else STREAM_DELAY
        return await self._hystrix.serve(request, self._hystrix_events, delay)

    async def _hystrix_events(self) -> bytes:
        breakers = merged_rows.breakers(await self._siblings.gather("breakers"))
        upstreams = merged_rows.upstreams(await self._siblings.gather("upstreams"))
        return b"".join(events(breakers, upstreams, self._runtime.spec.name, self._runtime.env.clock.wall())) or PING

    async def events(self, request: web.Request) -> web.StreamResponse:
        """How the gateway is, in a few numbers, every second."""
        self._check_started()
        return await self._events.serve(request, self._summary, EVENTS_DELAY)

    async def _summary(self) -> bytes:
        at = views.iso(self._runtime.env.clock.wall())
        shown = {"at": at, **merged_rows.summary(await self._siblings.gather("summary"))}
        return b"data: " + orjson.dumps(shown) + b"\n\n"

    def _whole(self, what: str, merge: Callable[[list[Any]], list[dict[str, Any]]]) -> Handler:
        """What all workers say, merged."""

        async def show(request: web.Request) -> web.Response:
            self._check_started()
            return self._json({what: merge(await self._siblings.gather(what))})

        return show

    def _view(self, key: str, view: Callable[[Runtime], Any]) -> Handler:
        """What is the same in all workers."""

        async def show(request: web.Request) -> web.Response:
            self._check_started()
            return self._json({key: view(self._runtime)})

        return show

    def _check_started(self) -> None:
        if self._runtime.generation is None:
            raise Refused(503, "the gateway is starting", {"Retry-After": "1"})

    def _etag(self) -> str:
        return f'"{self._runtime.version}"'

    def _json(self, data: Any, headers: dict[str, str] | None = None, status: int = 200) -> web.Response:
        body = orjson.dumps(views.without_secrets(self._runtime, data), option=orjson.OPT_APPEND_NEWLINE)
        return web.Response(body=body, content_type="application/json", headers=headers, status=status)


def _expected(fields: list[str]) -> frozenset[int] | None:
    """The versions that If-Match names; None where it is absent or `*`. A tag that is none of ours matches nothing."""
    tags = [tag.strip() for field in fields for tag in field.split(",")]
    if not tags or tags == ["*"]:
        return None
    matches = [VERSION_TAG.fullmatch(tag) for tag in tags]
    return frozenset(int(match[1] or match[2]) for match in matches if match is not None)
