"""An authorisation service that answers as it is told, and the plugin that asks it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from gateway.plugins.auth_delegation import AuthDelegation

from gateway.auth.delegation import Question
from gateway.errors import GatewayError, Kind
from gateway.exchange import Exchange
from gateway.plugin import UpstreamReply
from gateway.telemetry.metrics import Metrics
from gateway.testing import FakeClock, make_env, make_exchange, make_plugin, run, run_async
from gateway.wire.head import ResponseHead
from tests.support.polling import soon

Answer = UpstreamReply | Exception
GOOD = UpstreamReply(200, {"x-user-id": "5"}, b"")
DENIED = UpstreamReply(401, {"www-authenticate": "Bearer"}, b"who?")
DOWN = GatewayError(Kind.CONNECT_FAILED, cause="10.0.0.1:80 refused")
CACHE = {"ttl": "30s", "negative_ttl": "3s"}


class Service:
    """An authorisation service. Mutable state: `judge`, what it answers; `calls`, what it was asked; the `timeouts` it
    was given; `gate`, which holds its answers back while it is there and not set."""

    def __init__(self, judge: Callable[[Question], Answer] | Answer = GOOD) -> None:
        self.judge = judge
        self.calls: list[Question] = []
        self.timeouts: set[float] = set()
        self.gate: asyncio.Event | None = None

    async def request(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float = 5.0,
        max_body: int = 1 << 20,
    ) -> UpstreamReply:
        question = Question(method, path, dict(headers or {}), body)
        self.calls.append(question)
        self.timeouts.add(timeout)
        if self.gate is not None:
            await self.gate.wait()
        answer = self.judge(question) if callable(self.judge) else self.judge
        if isinstance(answer, Exception):
            raise answer
        return answer


class Bench:
    """The plugin with its service, its clock and its metrics."""

    def __init__(self, judge: Callable[[Question], Answer] | Answer = GOOD, **options: Any) -> None:
        self.service = Service(judge)
        self.clock = FakeClock()
        self.metrics = Metrics()
        self.env = make_env(self.clock, self.metrics, upstreams={"auth": self.service})
        self.plugin = make_plugin(
            AuthDelegation, self.env, **{"upstream": "auth", "copy_on_allow": ["X-User-Id"], **options}
        )

    def ask(self, exchange: Exchange | None = None) -> ResponseHead:
        """Without an event loop: where nothing is waited for."""
        return run(self.plugin, exchange or asking())

    async def ask_async(self, exchange: Exchange | None = None) -> ResponseHead:
        return await soon(run_async(self.plugin, exchange or asking()))

    async def user(self, exchange: Exchange | None = None) -> str | int | None:
        """Whose the request is for the service behind, or the status of its refusal."""
        exchange = exchange or asking()
        head = await self.ask_async(exchange)
        return exchange.headers.get("x-user-id") if head.status == 200 else head.status

    @property
    def asked(self) -> int:
        return len(self.service.calls)

    @property
    def state(self) -> str:
        (circuit,) = self.plugin.breakers().values()
        assert circuit.in_flight == 0
        return circuit.state

    def counted(self) -> dict[str, float]:
        family = self.metrics.counter("gateway_auth_total", "", ("plugin", "result"))
        return {result: child.value for (_, result), child in family.children.items() if child.value}


def asking(token: str = "t", path: str = "/a", method: str = "GET", **fields: Any) -> Exchange:
    return make_exchange(method, path, {"Authorization": f"Bearer {token}", "Host": "a.example"}, **fields)


def by_token(question: Question) -> UpstreamReply:
    """Each token is a user of that name."""
    return UpstreamReply(200, {"x-user-id": question.headers["Authorization"].removeprefix("Bearer ")}, b"")
