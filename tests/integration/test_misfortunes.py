"""Retries, two attempts at once, copies, limits and fallbacks together, at services that fail in every way by turns:
each request has one answer, its own, and nothing is left."""

from __future__ import annotations

import asyncio
import contextlib
from random import Random

import pytest

from gateway.plugin import Exchange, Failure, Plugin, Reply
from gateway.routing.actions import Forward, Mirror
from gateway.upstreams.concurrency import Fixed, Limiter
from gateway.upstreams.outliers import OutlierPolicy
from gateway.upstreams.retry import HedgePolicy
from tests.support.gateways import Gateway, gateway, limits, make_settings, make_upstream, request, timeouts
from tests.support.messages import Message, read_body
from tests.support.misbehaving import CHUNKED, retry, status
from tests.support.raw_upstream import Peer, Script, upstream
from tests.support.standins import INSTEAD

BODILESS = ("GET", "HEAD", "DELETE")
METHODS = (*BODILESS, "PUT", "POST")
TURNS = (*["answer"] * 3, "slow", "close", "reset", "rubbish", "error", "busy", "endless", "broken", "late")


def unsteady(chance: Random) -> Script:
    """Answers with the request's method, target and body, or does something else."""

    async def script(peer: Peer) -> None:
        while True:
            turn = chance.choice(TURNS)
            message = await peer.head()
            if turn == "late" and not message.all("expect"):
                # The body is not read to its end.
                peer.send(status(503))
                return
            await read_body(peer.reader, message)
            if not await _take_turn(peer, message, turn):
                return

    return script


async def _take_turn(peer: Peer, message: Message, turn: str) -> bool:
    """Is the connection still good?"""
    words = message.first.split(b" ")
    echo = b" ".join([*words[:2], message.body])
    length = b"Content-Length: %d\r\n\r\n" % len(echo)
    body = b"" if words[0] == b"HEAD" else echo
    if turn in ("answer", "slow", "late"):
        if turn == "slow":
            await asyncio.sleep(0.03)
        peer.send(b"HTTP/1.1 200 OK\r\n" + length)
        await peer.writer.drain()
        peer.send(body)
        return True
    if turn in ("error", "busy"):
        fields = b"Retry-After: 0\r\n" if turn == "busy" else b""
        peer.send(b"HTTP/1.1 %d No\r\n%b%b%b" % (503 if turn == "busy" else 500, fields, length, body))
        return True
    if turn == "reset":
        peer.reset()
    elif turn == "rubbish":
        peer.send(b"HTTP/1.1 whatever\r\n\r\n")
    elif turn == "endless":
        peer.send(b"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbad\r\n")
        await peer.gone()
    elif turn == "broken":
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + body)
    return False


class Client:
    """Sends requests on connections, some of them at once, and some it does not wait for."""

    def __init__(self, running: Gateway, name: int, chance: Random) -> None:
        self.running = running
        self.name = name
        self.chance = chance
        self.answers = 0

    async def run(self, rounds: int) -> None:
        for number in range(rounds):
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                async with self.running.client() as client:
                    many = self.chance.randint(1, 4)
                    asked = [self._request(number, place, METHODS if many == 1 else BODILESS) for place in range(many)]
                    for _, _, data in asked:
                        step = self.chance.choice([len(data), 20])
                        await client.send_slowly(data, step)
                    if self.chance.random() < 0.15:
                        client.reset()
                        continue
                    for method, echo, _ in asked:
                        answer = await client.response(method)
                        self._check(answer, method, echo)

    def _request(self, number: int, place: int, methods: tuple[str, ...]) -> tuple[str, bytes, bytes]:
        """Method, the answer that is its own, and the bytes."""
        method = self.chance.choice(methods)
        target = f"/{self.name}/{number}/{place}"
        body = b"body of %d" % self.name if method in ("PUT", "POST") else b""
        fields = [CHUNKED] if body and self.chance.random() < 0.5 else []
        sent = b"4\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (body[:4], len(body) - 4, body[4:]) if fields else body
        return method, f"{method} {target} ".encode() + body, request(target, *fields, method=method, body=sent)

    def _check(self, answer: Message, method: str, echo: bytes) -> None:
        self.answers += 1
        if method == "HEAD":
            assert answer.body == b""
        elif answer.get("content-type") == "application/problem+json":
            assert f'"instance":"/{self.name}/'.encode() in answer.body
        else:
            assert answer.body in (echo, INSTEAD.body, b"broken"), "it is another's"
        assert answer.status in (200, 500, 502, 503, 504), answer.head


class Lucky(Plugin):
    """In place of a failure it replies, sends the request to the standby, or does nothing."""

    resends = True

    def __init__(self, chance: Random) -> None:
        super().__init__(None, None)  # type: ignore[arg-type]
        self.chance = chance

    def on_failure(self, exchange: Exchange, failure: Failure) -> Reply | None:
        drawn = self.chance.random()
        if drawn < 0.3:
            exchange.set_upstream("standby")
        return INSTEAD if drawn > 0.7 else None


@pytest.mark.parametrize("seed", range(6))
async def test_each_request_has_one_answer_and_nothing_is_left(seed: int) -> None:
    chance = Random(seed)
    never = OutlierPolicy(errors=0, connect_errors=0, success_rate=None)
    settings = timeouts(response=0.15, body=0.2, total=1.0 if seed % 2 else None)
    pool = limits(max_connections=4, max_queue=4, queue_timeout=0.1)
    action = Forward((("up", 1),), mirror=Mirror("copies", share=0.5, body=12))
    async with (
        upstream(unsteady(chance)) as one,
        upstream(unsteady(chance)) as other,
        upstream(unsteady(chance)) as spare,
        gateway(
            *(one.port, other.port, 1),
            paths=[("/**", action)],
            plugins=[Lucky(chance)] if seed % 3 else [],
            settings=make_settings(body_timeout=0.5),
            limits=pool,
            timeouts=settings,
            retries=retry(attempts=3, per_try=0.1, base=0.01, min_retries=2, replay=10 if seed % 2 else 1000),
            hedge=HedgePolicy(0.01),
            limiter=Limiter(Fixed(6)),
            outliers=never,
            others=[
                make_upstream("standby", spare.port, limits=pool, timeouts=settings, limiter=Limiter(Fixed(4))),
                make_upstream("copies", spare.port, limits=pool, timeouts=settings, outliers=never),
            ],
        ) as running,
    ):
        clients = [Client(running, name, chance) for name in range(8)]
        await asyncio.gather(*(client.run(6) for client in clients))
        await running.idle()
        assert sum(client.answers for client in clients) > 50
        assert running.recorder.total("on_finish") == len(running.recorder.exchanges)
        assert running.recorder.total("on_attempt") == running.recorder.total("on_attempt_end")
